"""A pod plan in words for the screen, and as JSON for whatever reads it."""

import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from place_jax.parallel.hardware import GIB
from place_jax.pod_plan import Plan

ESTIMATE = "estimate, no overlap"


def throughput(plan: Plan, config: ConfigDict) -> dict[str, float]:
    """What the estimated step comes to over the configured run; empty where it does not fit."""
    if plan.step_seconds is None:
        return {}
    hours = plan.step_seconds * config.train.steps / 3600
    pairs = config.data.batch_size / plan.step_seconds
    peak = plan.topology.chips * plan.topology.chip.peak_flops
    return {
        "pairs_per_second": pairs,
        "hours": hours,
        "chip_hours": hours * plan.topology.chips,
        "mfu": plan.model_flops.total / plan.step_seconds / peak,
    }


def to_json(plan: Plan, config: ConfigDict, *, command: str = "") -> dict[str, Any]:
    """The plan as plain data. Bytes and seconds are a chip's, operations those of all chips."""
    return {
        "command": command,
        "topology": plan.topology.name,
        "slices": plan.topology.slices,
        "chips": plan.topology.chips,
        "mesh": plan.mesh,
        "batch_size": config.data.batch_size,
        "changes": plan.changes,
        "step": plan.step,
        "parameters": plan.parameters,
        "fits": plan.fits,
        "per_chip_bytes": plan.per_chip_bytes,
        "limit_bytes": plan.limit_bytes,
        "memory_bytes": plan.memory,
        "contrast": plan.contrast,
        "flops": {
            "model": plan.model_flops.total,
            "step": plan.step_flops.total,
            "step_in_bf16_passes": plan.step_flops.passes,
            "model_per_pair": plan.model_flops.total / config.data.batch_size,
        },
        "collectives": [
            {
                "kind": t.kind,
                "axes": list(t.axes),
                "network": "dcn" if t.crosses_slices else "ici",
                "count": t.count,
                "bytes_per_device": t.bytes_per_device,
            }
            for t in plan.collectives or ()
        ],
        "step_seconds_estimate": plan.step_seconds,
        "step_seconds_by_part": plan.seconds,
        "bound_by": bound_by(plan),
        "estimate": ESTIMATE,
        **throughput(plan, config),
        "compile_seconds": round(plan.compile_seconds, 1),
        "optimization_level": str(jax.config.jax_optimization_level),
        "versions": {name: _version(name) for name in ("jax", "libtpu")},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("TPU_LIBRARY_PATH", "unknown")


def bound_by(plan: Plan) -> str | None:
    """The largest part of the step."""
    return max(plan.seconds, key=plan.seconds.get) if plan.seconds else None


def in_words(plan: Plan, config: ConfigDict) -> str:
    """The plan for a person."""
    chip, gib = plan.topology.chip, f"{plan.per_chip_bytes / GIB:.2f}"
    slices = f"{plan.topology.slices} slices of " if plan.topology.slices > 1 else ""
    mesh = ", ".join(f"{axis} {size}" for axis, size in plan.mesh.items())
    pairs, chips = config.data.batch_size, plan.topology.chips
    lines = [
        f"{slices}{plan.topology.name}: {chips} chips; mesh {mesh}",
        f"{plan.parameters / 1e6:.1f} million parameters; batch {pairs}, "
        f"{pairs / chips:g} pairs a chip",
    ]
    if plan.changes:
        lines.append("with " + ", ".join(f"{k}={v}" for k, v in plan.changes.items()))
    limit = f"{plan.limit_bytes / GIB:.2f}"
    lines.append(
        f"memory a chip: {gib} of {limit} GiB, " + ("fits" if plan.fits else "does NOT fit")
    )
    lines += [f"  {kind:<16} {size / GIB:8.3f} GiB" for kind, size in plan.memory.items()]
    budget = plan.contrast["gathered_from_memory_bytes"] / 2**20
    lines.append(
        f"contrast: {plan.contrast['form']}; loss.contrast=auto switches to chunked where "
        f"loss.memory_bytes is below {budget:.1f} MiB, and it is "
        f"{config.loss.memory_bytes / 2**20:.1f} MiB"
    )
    model, step = plan.model_flops.total, plan.step_flops.total
    lines.append(
        f"operations a step: {model / 1e12:.2f} TFLOP, {model / pairs / 1e9:.1f} GFLOP a pair; "
        f"{step / 1e12:.2f} with what is computed again"
    )
    if plan.collectives is not None:
        lines.append("between chips, bytes that a device sends in a step:")
        for t in plan.collectives:
            axes = " x ".join(t.axes) + (" (between slices)" if t.crosses_slices else "")
            size = f"{t.bytes_per_device / 2**20:9.2f} MiB"
            lines.append(f"  {t.kind:<18} over {axes:<20} {size} in {t.count}")
    if plan.seconds is not None:
        parts = ", ".join(f"{name} {s * 1e3:.2f}" for name, s in plan.seconds.items())
        found = throughput(plan, config)
        lines += [
            f"step: {plan.step_seconds * 1e3:.2f} ms ({ESTIMATE}), bound by {bound_by(plan)}; "
            f"in ms: {parts}",
            f"  {found['pairs_per_second']:.0f} pairs/s, MFU {found['mfu']:.0%} of "
            f"{chip.peak_flops / 1e12:.0f} TFLOP/s a chip",
            f"  {config.train.steps} steps: {found['hours']:.2f} hours, "
            f"{found['chip_hours']:.1f} chip-hours, without input and evaluation",
        ]
    return "\n".join(lines)


def as_table(plans: Sequence[Plan], config: ConfigDict) -> str:
    """A sweep, a line each."""
    rows = [
        f"{'remat':<6} {'parts':>5} {'fsdp':>5} {'GiB a chip':>11} {'ms a step':>10} {'pairs/s':>9}"
    ]
    for plan in plans:
        found = throughput(plan, config)
        time = f"{plan.step_seconds * 1e3:10.2f}" if plan.fits else f"{'too large':>10}"
        pairs = f"{found['pairs_per_second']:9.0f}" if found else f"{'':>9}"
        rows.append(
            f"{plan.changes['model.remat']:<6} {plan.changes['train.accumulation']:>5} "
            f"{plan.mesh['fsdp']:>5} {plan.per_chip_bytes / GIB:11.2f} {time} {pairs}"
        )
    return "\n".join([*rows, f"ms a step: {ESTIMATE}"])
