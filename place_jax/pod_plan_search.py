"""Which change of the config makes a step fit a pod, and which plan that fits is the fastest.

Every answer has been compiled. What cannot fit, by what was compiled before it, is passed over.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from ml_collections import ConfigDict

from place_jax.configuration import flatten
from place_jax.parallel.hardware import GIB
from place_jax.parallel.topology import Topology
from place_jax.pod_plan import BERT_VOCABULARY, Plan, make_plan

REMAT = ("none", "dots", "full")  # from the least recomputing to the most
PARTS = (2, 4, 8, 16)
_STATE = ("parameters", "optimizer", "moving average")


def smallest_change(
    config: ConfigDict,
    topology: Topology,
    *,
    too_large: Plan,
    vocab_size: int = BERT_VOCABULARY,
    say: Callable[[str], None] = lambda words: None,
) -> Plan | None:
    """The first plan that fits, of changes in the order of what they cost.

    Recomputing comes first, then the batch in parts, then parameters spread over the chips, then
    all of them.

    Args:
      config: the whole config.
      topology: from `parse_topology`.
      too_large: its plan without changes.
      vocab_size: as of `make_plan`.
      say: told of each change as it is compiled or passed over.
    """
    tried = [too_large]
    for changes in changes_to_try(config, topology, fsdp=too_large.mesh["fsdp"]):
        words = ", ".join(f"{key}={value}" for key, value in changes.items())
        limit = f"{too_large.limit_bytes / GIB:.2f} GiB"
        least = least_bytes(config, changes, tried)
        if least > too_large.limit_bytes:
            say(f"{words}: passed over, takes {least / GIB:.2f} of {limit} at the least")
            continue
        try:
            plan = make_plan(config, topology, vocab_size=vocab_size, changes=changes)
        except ValueError:
            continue  # a batch that does not divide so
        tried.append(plan)
        fits = "fits" if plan.fits else "does not fit"
        say(f"{words}: {fits}, {plan.per_chip_bytes / GIB:.2f} of {limit}")
        if plan.fits:
            return plan
    return None


def least_bytes(config: ConfigDict, changes: dict[str, Any], tried: Sequence[Plan]) -> int:
    """What a chip would need at the least with these changes, by plans of the same recomputing.

    Parts divide at most all that is neither state nor gradients, and fsdp divides at most those.

    Args:
      config: the whole config.
      changes: of it.
      tried: plans, that without changes first.
    """
    found = 0
    for plan in tried:
        if _value(config, plan.changes, "model.remat") != _value(config, changes, "model.remat"):
            continue
        parts = _value(config, changes, "train.accumulation")
        parts = max(parts / _value(config, plan.changes, "train.accumulation"), 1)
        fsdp = max(changes.get("mesh.fsdp", tried[0].mesh["fsdp"]) / plan.mesh["fsdp"], 1)
        state = sum(plan.memory.get(kind, 0) for kind in _STATE)
        gradients = plan.memory["parameters"]
        rest = max(plan.per_chip_bytes - state - gradients, 0)
        found = max(found, int((state + gradients) / fsdp + rest / parts))
    return found


def _value(config: ConfigDict, changes: dict[str, Any], key: str) -> Any:
    return changes[key] if key in changes else dict(flatten(config))[key]


def changes_to_try(config: ConfigDict, topology: Topology, *, fsdp: int) -> list[dict[str, Any]]:
    """Sets of config keys, from the least costly on; `fsdp` is its size without changes."""
    remat = [{"model.remat": r} for r in REMAT[REMAT.index(config.model.remat) + 1 :]]
    parts = [{"train.accumulation": config.train.accumulation * n} for n in PARTS]
    # Within a slice: what crosses slices should stay one reduction of the gradients.
    devices = _devices_of_slice(topology)
    spreads = [{"mesh.fsdp": devices, "mesh.data": -1}] if fsdp < devices else []
    full = remat[-1] if remat else {}
    return [
        *remat,
        *parts[:2],
        *spreads,
        *[full | part for part in parts if full],
        *[full | part | s for part in parts for s in spreads],
    ]


def _devices_of_slice(topology: Topology) -> int:
    return math.prod(topology.shape) * topology.chip.devices


def sweep(
    config: ConfigDict,
    topology: Topology,
    *,
    vocab_size: int = BERT_VOCABULARY,
    say: Callable[[str], None] = lambda words: None,
) -> list[Plan]:
    """Plans over remat, parts and fsdp, the fastest that fit first, then those that do not.

    More recomputing, or more parts, is not tried where less of it fits: it costs time alone.
    """
    plans = []
    devices = _devices_of_slice(topology)
    for fsdp in sorted({1, math.gcd(16, devices), devices}):
        for parts in (1, *PARTS[:3]):
            fitted = False
            for remat in REMAT:
                changes = {"model.remat": remat, "train.accumulation": parts}
                changes |= {"mesh.fsdp": fsdp, "mesh.data": -1}
                words = f"remat {remat}, {parts} parts, fsdp {fsdp}"
                try:
                    plan = make_plan(config, topology, vocab_size=vocab_size, changes=changes)
                except ValueError as error:
                    say(f"{words}: {error}")
                    continue
                plans.append(plan)
                fitted |= plan.fits
                fits = "fits" if plan.fits else "does not fit"
                say(f"{words}: {plan.per_chip_bytes / GIB:.2f} GiB, {fits}")
                if plan.fits:
                    break
            if fitted:
                break
    return sorted(plans, key=lambda p: (not p.fits, p.step_seconds or 0.0))
