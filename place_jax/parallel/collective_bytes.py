"""What a compiled step moves between chips: read off its HLO, per collective and mesh axis.

XLA's own cost analysis leaves bytes between chips out, and counts a loop's body once; here a body
counts as often as its loop runs.
"""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh

_BYTES = {
    "pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2,
    "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8,
}  # fmt: skip
_KINDS = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute"
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(-start)?\(")
# Between slices XLA makes no collective: within each it reduces, what is left goes by the hosts.
_BETWEEN_SLICES = re.compile(r"= \((\w+\[[\d,]*\]).* send\(.*_xla_megascale")
_CALLED = re.compile(r"(?:calls|body|to_apply)=%?([\w.\-]+)")
_WHILE = re.compile(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Traffic:
    """All collectives of one kind over the same axes.

    Attributes:
      kind: as XLA names it.
      axes: of the mesh, that its groups extend over.
      crosses_slices: whether they go over the data-centre network.
      count: in one step.
      bytes_per_device: that each device sends in one step, by the ring algorithms.
    """

    kind: str
    axes: tuple[str, ...]
    crosses_slices: bool
    count: int
    bytes_per_device: int


def traffic_of(hlo: str, mesh: Mesh) -> list[Traffic]:
    """The collectives of an optimised HLO module, largest first.

    Args:
      hlo: of `Compiled.as_text()`; partition i is device i of `mesh.devices.flat`.
      mesh: that it was compiled for.
    """
    slices = np.array([getattr(d, "slice_index", 0) or 0 for d in mesh.devices.flat])
    first_of_each = np.unique(slices, return_index=True)[1]
    found: dict[tuple, list[int]] = defaultdict(lambda: [0, 0])
    computations, entry = _computations(hlo)
    for name, times in _runs(computations, entry).items():
        for line in computations[name]:
            if sent := _BETWEEN_SLICES.search(line):
                key = "send", _axes(first_of_each, mesh), True
                found[key][0] += times
                found[key][1] += times * _result_bytes(sent[1], None)
                continue
            match = _COLLECTIVE.search(line)
            if match is None:
                continue
            kind = match[2]
            group = _group(line, mesh.size)
            if len(group) < 2:
                continue
            moved = times * _sent(kind, _result_bytes(match[1], match[3]), len(group))
            key = kind, _axes(group, mesh), len(set(slices[group])) > 1
            found[key][0] += times
            found[key][1] += moved
    traffic = [Traffic(*key, count, moved) for key, (count, moved) in found.items()]
    return sorted(traffic, key=lambda t: -t.bytes_per_device)


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    computations: dict[str, list[str]] = {}
    entry = name = ""
    for line in hlo.splitlines():
        if not line.startswith(" "):
            match = _COMPUTATION.match(line)
            name = match[1] if match else ""
            if match:
                computations[name] = []
                entry = name if line.startswith("ENTRY") else entry
        elif name:
            computations[name].append(line)
    return computations, entry


def _runs(computations: dict[str, list[str]], entry: str) -> dict[str, int]:
    """How often each computation runs in one step."""
    runs: dict[str, int] = defaultdict(int)

    def visit(name: str, times: int) -> None:
        runs[name] += times
        for line in computations[name]:
            loop = _WHILE.search(line)
            for called in _CALLED.findall(line):
                if called in computations:
                    trips = _trips(line, computations[loop[1]]) if loop else 1
                    visit(called, times * trips)

    visit(entry, 1)
    return runs


def _trips(line: str, condition: Sequence[str]) -> int:
    """Of a loop that counts from 0 to below a constant; 1 where it is no such loop."""
    known = re.search(r'known_trip_count[^\d]*"?(\d+)', line)
    if known:
        return int(known[1])
    limits = [re.search(r"s32\[\]\S* constant\((\d+)\)", row) for row in condition]
    return max((int(limit[1]) for limit in limits if limit), default=1)


def _result_bytes(shapes: str, start: str | None) -> int:
    sizes = [
        _BYTES.get(dtype, 4) * math.prod(int(n) for n in dims.split(",") if n)
        for dtype, dims in _ARRAY.findall(shapes)
        if dtype in _BYTES
    ]
    # The start of an asynchronous one returns its operand beside its result.
    return max(sizes, default=0) if start else sum(sizes)


def _sent(kind: str, result: int, size: int) -> int:
    """Bytes that each member of a group of that size sends, of a result of so many bytes."""
    return {
        "all-gather": result * (size - 1) // size,
        "all-reduce": 2 * result * (size - 1) // size,
        "reduce-scatter": result * (size - 1),
        "all-to-all": result * (size - 1) // size,
        "collective-permute": result,
    }[kind]


def _group(line: str, devices: int) -> np.ndarray:
    """The partitions of the first group."""
    if pairs := re.search(r"source_target_pairs=\{\{(\d+),(\d+)\}", line):
        return np.array([int(pairs[1]), int(pairs[2])])
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return np.array([int(i) for i in listed[1].split(",")])
    if iota := re.search(r"replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", line):
        return _iota(iota[3], iota[4]).reshape(int(iota[1]), int(iota[2]))[0]
    if named := re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? "
        r"?\{([^}]*)\}",
        line,
    ):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        shape = [int(n) for n in sizes.values()]
        ids = _iota(named[2], named[3]) if named[2] else np.arange(devices)
        ids = ids.reshape(shape)
        over = re.findall(r"'(\w+)'", named[4])
        index = tuple(slice(None) if axis in over else 0 for axis in sizes)
        return ids[index].reshape(-1)
    return np.arange(devices)


def _iota(dims: str, order: str | None) -> np.ndarray:
    shape = [int(n) for n in dims.split(",")]
    ids = np.arange(math.prod(shape)).reshape(shape)
    if order:
        ids = ids.transpose([int(n) for n in order.split(",")])
    return ids.reshape(-1)


def _axes(group: np.ndarray, mesh: Mesh) -> tuple[str, ...]:
    places = np.stack(np.unravel_index(group, mesh.devices.shape))
    return tuple(
        axis for axis, row in zip(mesh.axis_names, places, strict=True) if len(set(row)) > 1
    )
