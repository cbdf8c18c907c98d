"""`place plan`: the step that `train` runs, compiled for a pod that is not here.

Memory is what the TPU's own compiler says. Floating-point work is counted on the step's jaxpr,
bytes between chips on the compiled HLO, and both are set against the peaks of
`place_jax.parallel.hardware` for a step time: an estimate, with no overlap of computing and moving.
"""

import dataclasses
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from place_jax.models.functional import count_params
from place_jax.objectives import pairs
from place_jax.parallel.collective_bytes import Traffic, traffic_of
from place_jax.parallel.hardware import GIB
from place_jax.parallel.mesh import BATCH_AXES, make_mesh
from place_jax.parallel.topology import Topology, devices_of, hushed
from place_jax.training.assembly import Assembly, abstract_batch, assemble
from place_jax.training.flops import Flops, count, model_flops

BERT_VOCABULARY = 28996  # of BioClinicalBERT, for a config that leaves it to the data
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "": 1}
_SIZE = r"([\d.]+)([KMGT]?)"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training step needs of a pod, per chip where nothing else is said.

    Attributes:
      topology: its name, with slices.
      mesh: axis -> size.
      changes: config keys that were changed to make it fit, or to compare.
      fits: whether the compiler finds room.
      memory: kind -> bytes; "needed" alone where it does not fit.
      limit_bytes: that the compiler may use.
      parameters: trained numbers in all.
      step_flops: of all chips in a step, with what is computed again.
      model_flops: of all chips in a step, without.
      collectives: None where it does not fit.
      seconds: "compute", "hbm", "ici" and "dcn" of the estimate; None likewise.
      contrast: "gathered" or "chunked", and the loss.memory_bytes from which it is gathered.
      compile_seconds: on this machine.
    """

    topology: Topology
    mesh: dict[str, int]
    changes: dict[str, Any]
    fits: bool
    memory: dict[str, int]
    limit_bytes: int
    parameters: int
    step_flops: Flops
    model_flops: Flops
    collectives: list[Traffic] | None
    seconds: dict[str, float] | None
    contrast: dict[str, Any]
    compile_seconds: float

    @property
    def per_chip_bytes(self) -> int:
        """Of memory; where it does not fit, what the compiler says that it would take."""
        return self.memory["needed"] if "needed" in self.memory else sum(self.memory.values())

    @property
    def step_seconds(self) -> float | None:
        """Computing or its memory traffic, whichever is longer, and then all that moves."""
        if self.seconds is None:
            return None
        s = self.seconds
        return max(s["compute"], s["hbm"]) + s["ici"] + s["dcn"]


def make_plan(
    config: ConfigDict,
    topology: Topology,
    *,
    vocab_size: int = BERT_VOCABULARY,
    changes: Mapping[str, Any] = (),
) -> Plan:
    """Compiles the step for the topology.

    Args:
      config: the whole config, which is left as it is.
      topology: from `parse_topology`.
      vocab_size: where the config leaves it to the data.
      changes: config keys to change first.

    Raises:
      ConfigError, ValueError: a topology that cannot be compiled for, or a mesh or batch that does
        not divide over it.
    """
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(dict(changes))
    devices = devices_of(topology)
    mesh = make_mesh(config.mesh, devices)
    run, batch, traced = trace_step(config, mesh, vocab_size=vocab_size)
    flops = count(traced.jaxpr)
    start = time.perf_counter()
    memory, collectives, limit = _compile(traced.lower(), run, batch, topology.chip.devices)
    seconds = None
    if collectives is not None:
        seconds = _seconds(flops, memory, collectives, topology)
    return Plan(
        topology=topology,
        mesh=dict(mesh.shape),
        changes=dict(changes),
        fits=collectives is not None,
        memory=memory,
        limit_bytes=limit or compiler_limit(devices) * topology.chip.devices,
        parameters=count_params(run.abstract.params),
        step_flops=flops,
        model_flops=model_flops(config, vocab_size, batch),
        collectives=collectives,
        seconds=seconds,
        contrast=_contrast(config, mesh),
        compile_seconds=time.perf_counter() - start,
    )


def trace_step(config: ConfigDict, mesh, *, vocab_size: int) -> tuple[Assembly, dict, Any]:
    """The step that `train` runs on that mesh, traced for it.

    Returns:
      What it is made of, its batch, and the trace, which has a jaxpr and can be lowered.
    """
    run = assemble(config, mesh, vocab_size=vocab_size)
    batch = abstract_batch(config, mesh)
    return run, batch, run.step.trace(run.abstract, batch)


def _compile(
    lowered: Any, run: Assembly, batch: dict, devices: int
) -> tuple[dict[str, int], list[Traffic] | None, int]:
    """Memory by kind, collectives and the limit; too large a step is an answer too."""
    try:
        with hushed():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = _too_large(str(error))
        if found is None:
            raise
        needed, limit = found
        return {"needed": needed * devices}, None, limit * devices
    stats = compiled.memory_analysis()
    kept = {
        "parameters": shard_bytes(run.abstract.params),
        "optimizer": shard_bytes(run.abstract.opt_state),
        "moving average": shard_bytes(run.abstract.ema_params),
        "batch": shard_bytes(batch),
    }
    arguments = stats.argument_size_in_bytes
    memory = {kind: size for kind, size in kept.items() if size}
    memory["other arguments"] = max(arguments - sum(kept.values()), 0)  # padding of layouts
    memory["results"] = max(stats.output_size_in_bytes - stats.alias_size_in_bytes, 0)
    memory["temporaries"] = stats.temp_size_in_bytes
    memory["code"] = stats.generated_code_size_in_bytes
    memory = {kind: size * devices for kind, size in memory.items()}
    return memory, traffic_of(compiled.as_text(), run.mesh), 0


def _too_large(message: str) -> tuple[int, int] | None:
    """(needed, limit) bytes of a compiler's complaint that memory does not suffice."""
    for pattern in (
        rf"required for HLO temporaries \({_SIZE}\) exceeds available HBM \({_SIZE}\)",
        rf"Used {_SIZE} of {_SIZE} hbm",
        rf"\({_SIZE}\) exceeds .*\({_SIZE}\)",
    ):
        if match := re.search(pattern, message):
            size, unit, limit, limit_unit = match.groups()
            return int(float(size) * _UNITS[unit]), int(float(limit) * _UNITS[limit_unit])
    return None


def compiler_limit(devices: list) -> int:
    """Bytes of one device that the compiler may use: it says so of what is far too large."""
    from jax.sharding import SingleDeviceSharding

    size = jax.ShapeDtypeStruct((2**38,), "float32", sharding=SingleDeviceSharding(devices[0]))
    try:
        with hushed():
            jax.jit(lambda x: x * 2).lower(size).compile()
    except jax.errors.JaxRuntimeError as error:
        if found := _too_large(str(error)):
            return found[1]
    return 0


def shard_bytes(tree: Any) -> int:
    """That one device holds of arrays with shardings."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * _itemsize(leaf.dtype)
        for leaf in jax.tree.leaves(tree)
    )


def _itemsize(dtype) -> int:
    is_key = jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    return 8 if is_key else dtype.itemsize  # a threefry key is two uint32


def _seconds(
    flops: Flops, memory: Mapping[str, int], collectives: list[Traffic], topology: Topology
) -> dict[str, float]:
    chip = topology.chip
    crossing = sum(t.bytes_per_device for t in collectives if t.crosses_slices)
    within = sum(t.bytes_per_device for t in collectives) - crossing
    # State is read and written once, temporaries too: the least that goes through memory.
    touched = 2 * sum(size for kind, size in memory.items() if kind != "code")
    return {
        "compute": flops.passes / topology.chips / chip.peak_flops,
        "hbm": touched / chip.hbm_bandwidth,
        "ici": within * chip.devices / topology.ici_bandwidth,
        "dcn": crossing * chip.devices / chip.dcn_bandwidth,
    }


def _contrast(config: ConfigDict, mesh) -> dict[str, Any]:
    """How the widest contrast is taken, and from which budget it would be gathered."""
    batch = config.data.batch_size
    local = batch // math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    rows = local
    if config.objective == "place" and config.loss.lambda_p > 0:
        rows *= config.data.max_sentences
    at_once = pairs.columns_at_once(rows, batch, "float32", config)
    return {
        "form": "gathered" if at_once >= batch else "chunked",
        "gathered_from_memory_bytes": pairs.bytes_at_once(rows, batch, "float32"),
    }


def smallest_change(
    config: ConfigDict,
    topology: Topology,
    *,
    vocab_size: int = BERT_VOCABULARY,
    say: Callable[[str], None] = lambda words: None,
) -> Plan | None:
    """The first plan that fits, of changes in the order of what they cost; each is compiled.

    Recomputing comes first, then the batch in parts, then parameters spread over the chips, then
    all of them.
    """
    for changes in changes_to_try(config, topology):
        words = ", ".join(f"{key}={value}" for key, value in changes.items())
        try:
            plan = make_plan(config, topology, vocab_size=vocab_size, changes=changes)
        except ValueError:
            continue  # a batch that does not divide so
        need = f"{plan.per_chip_bytes / GIB:.2f} of {plan.limit_bytes / GIB:.2f} GiB"
        say(f"{words}: {'fits' if plan.fits else 'does not fit'}, {need}")
        if plan.fits:
            return plan
    return None


def changes_to_try(config: ConfigDict, topology: Topology) -> list[dict[str, Any]]:
    """Sets of config keys, from the least costly on."""
    levels = ("none", "dots", "full")
    remat = [{"model.remat": r} for r in levels[levels.index(config.model.remat) + 1 :]]
    parts = [{"train.accumulation": config.train.accumulation * n} for n in (2, 4, 8, 16)]
    spread = {"mesh.fsdp": topology.chips * topology.chip.devices, "mesh.data": 1}
    spreads = [spread] if config.mesh.fsdp == 1 and topology.slices == 1 else []
    full = remat[-1] if remat else {}
    return [
        *remat,
        *parts[:2],
        *spreads,
        *[full | part for part in parts if full],
        *[full | part | s for part in parts for s in spreads],
    ]


def sweep(
    config: ConfigDict,
    topology: Topology,
    *,
    vocab_size: int = BERT_VOCABULARY,
    say: Callable[[str], None] = lambda words: None,
) -> list[Plan]:
    """Plans over remat, parts and fsdp, the fastest that fit first, then those that do not.

    More recomputing, or more parts, is not tried where less of it fits.
    """
    plans = []
    chips = topology.chips * topology.chip.devices
    for fsdp in (1, chips) if topology.slices == 1 else (1,):
        for parts in (1, 2, 4, 8):
            fitted = False
            for remat in ("none", "dots", "full"):
                changes = {"model.remat": remat, "train.accumulation": parts, "mesh.fsdp": fsdp}
                try:
                    plan = make_plan(config, topology, vocab_size=vocab_size, changes=changes)
                except ValueError:
                    continue  # a batch or a width that does not divide so
                plans.append(plan)
                need = f"{plan.per_chip_bytes / GIB:.2f} GiB"
                say(f"remat {remat}, {parts} parts, fsdp {fsdp}: {need}")
                fitted |= plan.fits
                if plan.fits:
                    break
            if fitted:
                break
    return sorted(plans, key=lambda p: (not p.fits, p.step_seconds or 0.0))
