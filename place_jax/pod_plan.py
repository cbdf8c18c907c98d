"""`place plan`: the step that `train` runs, compiled for a pod that is not here.

Memory is what the TPU's own compiler says. Floating-point work is counted on the step's jaxpr,
bytes between chips on the compiled HLO, and both are set against the peaks of
`place_jax.parallel.hardware` for a step time: an estimate, with no overlap of computing and moving.
"""

import dataclasses
import hashlib
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from place_jax.models.functional import count_params
from place_jax.objectives import pairs
from place_jax.parallel.collective_bytes import Traffic, traffic_of
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
      step: a fingerprint of the traced step: another one, and the plan is no longer the code's.
      fits: whether the compiler finds room.
      memory: kind -> bytes; all but the state and the batch is "the rest" where it does not fit.
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
    step: str
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
        return sum(self.memory.values())

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
        step=fingerprint(traced),
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


def fingerprint(traced: Any) -> str:
    """Of a traced step: it changes with the model, the losses, the mesh and the version of JAX.

    The name of the hardware, which a mesh carries, is left out.
    """
    jaxpr = re.sub(r"device_kind=[^)]*\)", "", str(traced.jaxpr))
    return hashlib.blake2b(jaxpr.encode(), digest_size=8).hexdigest()


def _compile(
    lowered: Any, run: Assembly, batch: dict, devices: int
) -> tuple[dict[str, int], list[Traffic] | None, int]:
    """Memory by kind, collectives and the limit; too large a step is an answer too."""
    kept = {
        "parameters": shard_bytes(run.abstract.params),
        "optimizer": shard_bytes(run.abstract.opt_state),
        "moving average": shard_bytes(run.abstract.ema_params),
        "batch": shard_bytes(batch),
    }
    memory = {kind: size for kind, size in kept.items() if size}
    try:
        with hushed():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        found = _too_large(str(error))
        if found is None:
            raise
        needed, limit = found
        memory["the rest"] = max(needed - sum(kept.values()), 0)
        return _of_chip(memory, devices), None, limit * devices
    stats = compiled.memory_analysis()
    arguments = stats.argument_size_in_bytes
    memory["other arguments"] = max(arguments - sum(kept.values()), 0)  # padding of layouts
    memory["results"] = max(stats.output_size_in_bytes - stats.alias_size_in_bytes, 0)
    memory["temporaries"] = _at_the_peak(stats, arguments + memory["results"])
    memory["code"] = stats.generated_code_size_in_bytes
    return _of_chip(memory, devices), traffic_of(compiled.as_text(), run.mesh), 0


def _at_the_peak(stats: Any, beside: int) -> int:
    """Bytes of temporaries where a step holds most, `beside` those of arguments and results.

    The compiler's temp_size_in_bytes counts what is never there together: a step of 16.1 GiB by it,
    beside 2.5 of arguments, compiles for 15.75. Its own refusals agree with the peak, to 1 %.
    """
    if not stats.peak_memory_in_bytes:  # of a compiler that does not tell
        return stats.temp_size_in_bytes
    return max(stats.peak_memory_in_bytes - beside, 0)


def _of_chip(memory: dict[str, int], devices: int) -> dict[str, int]:
    return {kind: size * devices for kind, size in memory.items()}


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
    """How the widest contrast is taken, and at which budget `auto` switches."""
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
