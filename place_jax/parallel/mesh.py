"""The device mesh: axes replica, data, fsdp and tensor, sized by config."""

import itertools
import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from place_jax.parallel.processes import meet

AXES = ("replica", "data", "fsdp", "tensor")
BATCH_AXES = ("replica", "data", "fsdp")  # the batch is spread over these


def make_mesh(mesh_config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes the mesh. One axis may be -1: whatever devices remain.

    Raises:
      ValueError: sizes that do not multiply to the number of devices, or processes that would have
        to read the same rows.
    """
    count = len(devices) if devices is not None else jax.device_count()
    sizes = {axis: mesh_config[axis] for axis in AXES}
    said = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1:
        raise ValueError(f"mesh {said}: at most one axis may be -1, not {' and '.join(free)}")
    if any(size < 1 for axis, size in sizes.items() if axis not in free):
        raise ValueError(f"mesh {said}: sizes are 1 or more, or -1 for whatever remains")
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if count % fixed or (not free and fixed != count):
        raise ValueError(
            f"mesh {said} takes {fixed} devices and there are {count}: choose sizes whose product "
            f"{'divides' if free else 'is'} {count}, or set mesh.data=-1"
        )
    if free:
        sizes[free[0]] = count // fixed
    if devices is None:
        devices = jax.devices()
    arranged = _arrange(tuple(sizes.values()), list(devices))
    check_rows(arranged)
    mesh = Mesh(arranged, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    everywhere = jax.process_count() > 1 and set(devices) == set(jax.devices())
    if everywhere and jax.default_backend() == "cpu":
        _join_groups(mesh)
    return mesh


def check_rows(arranged: np.ndarray) -> None:
    """Raises ValueError where devices of two processes hold the same rows of a batch.

    Each process reads rows of its own: two of them would give one place two different rows.

    Args:
      arranged: [replica, data, fsdp, tensor] devices.
    """
    processes = np.vectorize(lambda device: device.process_index)(arranged)
    if (processes == processes[..., :1]).all():
        return
    own = np.unique(processes, return_counts=True)[1].min()
    raise ValueError(
        f"mesh.tensor={arranged.shape[-1]} spreads the same rows of a batch over devices of "
        f"several processes, each of which reads rows of its own: set mesh.tensor=1, or to a "
        f"divisor of the {own} device(s) of one process that lie side by side"
    )


def _join_groups(mesh: Mesh) -> None:
    """A sum over every set of axes, so that all groups of devices are joined before any work.

    On CPUs a group is joined at its first collective, and that gives up where a process comes to it
    30 s after another, which takes no more than one that compiles for longer.
    """
    meet("mesh")
    ones = np.ones(mesh.devices.shape, np.float32)
    sharding = NamedSharding(mesh, PartitionSpec(*AXES))
    ones = jax.make_array_from_callback(ones.shape, sharding, lambda index: ones[index])
    wide = [axis for axis in AXES if mesh.shape[axis] > 1]
    for count in range(1, len(wide) + 1):
        for axes in itertools.combinations(wide, count):
            add = jax.shard_map(
                lambda x, axes=axes: jax.lax.psum(x, axes),
                mesh=mesh,
                in_specs=PartitionSpec(*AXES),
                out_specs=PartitionSpec(*(None if axis in axes else axis for axis in AXES)),
            )
            jax.block_until_ready(jax.jit(add)(ones))


def _arrange(shape: tuple[int, ...], devices: list[jax.Device]) -> np.ndarray:
    """Devices in that shape, neighbours on the mesh as near as the interconnect has them.

    Over several slices, replica or else data is the axis that crosses the data-centre network: what
    it carries is one reduction of the gradients a step.

    Raises:
      ValueError: neither divides over the slices.
    """
    if devices[0].platform != "tpu":
        return np.asarray(devices).reshape(shape)
    slices = len({getattr(device, "slice_index", None) or 0 for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    for axis in ("replica", "data"):
        across = [slices if name == axis else 1 for name in AXES]
        if shape[AXES.index(axis)] % slices == 0:
            within = [size // ways for size, ways in zip(shape, across, strict=True)]
            return mesh_utils.create_hybrid_device_mesh(
                within, across, devices, allow_split_physical_axes=True
            )
    raise ValueError(
        f"mesh replica={shape[0]}, data={shape[1]} does not divide over {slices} slices: set "
        f"mesh.replica={slices}"
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows over replica, data and fsdp; each device holds a contiguous slice of the batch."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def fill_devices(size: int, mesh: Mesh | None) -> int:
    """A batch's size, rounded up so that it divides over all devices; as it is without a mesh."""
    devices = mesh.size if mesh is not None else 1
    return -(-size // devices) * devices


def check_batch_size(
    batch_size: int, mesh: Mesh, *, key: str = "batch_size", parts: int = 1
) -> None:
    """Raises ValueError where a batch does not divide over the devices that share it.

    Args:
      batch_size: of the whole batch.
      mesh: from `make_mesh`.
      key: what the config calls it.
      parts: of the batch that follow one another, each of which has to divide.
    """
    ways = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    if parts > 1 and batch_size % (ways * parts):
        raise ValueError(
            f"{key}={batch_size} in train.accumulation={parts} parts does not divide over {ways} "
            f"devices: use a multiple of {ways * parts}"
        )
    if batch_size % ways:
        raise ValueError(
            f"{key}={batch_size} does not divide over {ways} devices: use a multiple of {ways}"
        )
