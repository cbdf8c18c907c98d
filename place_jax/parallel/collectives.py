"""What a loss does over the devices that share a batch: `spread` its rows, gather, add, compare.

`spread` finds the mesh that `on_mesh` set when the step was traced. Without one, or where one
device holds the whole batch, the same function runs on all rows and the collectives do nothing.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from place_jax.parallel.mesh import BATCH_AXES

Axes = tuple[str, ...]  # names of mesh axes; none where there is nothing to do across devices


def on_mesh(f: Callable, mesh: Mesh | AbstractMesh) -> Callable:
    """`f` traced with `mesh` in sight of `spread` and `constrain_rows`, whoever traces it."""
    abstract = mesh.abstract_mesh if isinstance(mesh, Mesh) else mesh

    @functools.wraps(f)
    def traced(*args, **kwargs):
        with jax.sharding.use_abstract_mesh(abstract):
            return f(*args, **kwargs)

    return traced


def batch_axes() -> Axes:
    """The axes that the batch is spread over; none outside of `on_mesh`, or on one device."""
    mesh = jax.sharding.get_abstract_mesh()
    if not set(BATCH_AXES) <= set(mesh.axis_names):
        return ()
    return BATCH_AXES if math.prod(mesh.shape[axis] for axis in BATCH_AXES) > 1 else ()


def spread(f: Callable[[Axes, Any, Any], Any], rows: Any, whole: Any) -> Any:
    """Runs f(axes, rows, whole) on each device's share of the rows.

    Gradients are to be taken of `spread`, never inside `f`: its collectives are differentiated
    with the check on, by which a value that differs between devices cannot pass for one that is
    the same on all.

    Args:
      f: returns scalars that are the same on all devices: sums and maxima over `axes`.
      rows: arrays [B, ...].
      whole: arrays that each device needs whole, such as scales.
    """
    axes = batch_axes()
    if not axes:
        return f((), rows, whole)
    return jax.shard_map(
        functools.partial(f, axes),
        in_specs=(PartitionSpec(axes), PartitionSpec()),
        out_specs=PartitionSpec(),
        check_vma=True,
    )(rows, whole)


def gather(tree: Any, axes: Axes) -> Any:
    """All devices' rows, in the order of the batch."""
    if not axes:
        return tree

    def one(x: Array) -> Array:
        return jax.lax.all_gather(_flat(x), axes, tiled=True).reshape(-1, *x.shape[1:])

    return jax.tree.map(one, tree)


def total(tree: Any, axes: Axes) -> Any:
    """The sum over devices."""
    return jax.lax.psum(tree, axes) if axes else tree


def largest(x: Array, axes: Axes) -> Array:
    """The maximum over devices, through which no gradient goes."""
    x = jax.lax.stop_gradient(x)
    return jax.lax.pmax(x, axes) if axes else x


def same(tree: Any, axes: Axes) -> Any:
    """Declares what every device has computed alike to be the same on all."""
    return jax.lax.pmean(tree, axes) if axes else tree


def map_blocks(f: Callable[[Any], Any], columns: Any, block: int) -> Any:
    """Applies f to `block` columns at a time, and computes each block again in the backward pass.

    Args:
      f: from columns [block, ...] to a tree of arrays.
      columns: arrays [C, ...]; the last block is filled with zeros.
      block: columns at a time, or a little fewer where that divides C: filling up copies all of
        them. C or more is all at once, with nothing computed again.

    Returns:
      What f returned, with an axis of blocks in front.
    """
    count = len(jax.tree.leaves(columns)[0])
    if block >= count:
        return jax.tree.map(lambda x: x[None], f(columns))
    block = _dividing(count, block)
    blocks = -(-count // block)

    def cut(x: Array) -> Array:
        x = _flat(x)
        filled = jnp.pad(x, ((0, blocks * block - count),) + ((0, 0),) * (x.ndim - 1))
        return filled.reshape(blocks, block, *x.shape[1:])

    shapes = jax.tree.map(lambda x: (block, *x.shape[1:]), columns)

    def uncut_and_f(part: Any) -> Any:
        return f(jax.tree.map(lambda x, shape: x.reshape(shape), part, shapes))

    return jax.lax.map(jax.checkpoint(uncut_and_f, prevent_cse=False), jax.tree.map(cut, columns))


def _flat(x: Array) -> Array:
    """[n, ...] with two axes at most: a TPU fills up the last but one to a multiple of 8, and a
    report's 10 sentences would take the room of 16.
    """
    return x.reshape(len(x), -1) if x.ndim > 2 else x


def _dividing(count: int, block: int) -> int:
    """The largest block up to this one that divides; this one where only small ones do."""
    for size in range(block, block // 2, -1):
        if count % size == 0:
            return size
    return block


def constrain_rows(x: Array, *, leading: Sequence[None] = ()) -> Array:
    """Keeps activations [B, ...] spread over the batch's axes and whole in all others.

    Without it the partitioner may follow an fsdp-sharded kernel and reduce activations instead of
    gathering the kernel.

    Args:
      leading: one None for each axis before B.
    """
    axes = batch_axes()
    if not axes:
        return x
    rest = (None,) * (x.ndim - len(leading) - 1)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*leading, axes, *rest))
