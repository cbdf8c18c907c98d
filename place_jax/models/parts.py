"""Draws for a part of the batch that are those of the whole batch."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartKey:
    """A key for rows part, part + parts, part + 2 parts, ... of a batch.

    Attributes:
      key: that the whole batch is drawn with.
      part: int32 scalar, 0 to parts - 1.
      parts: into how many the batch is split.
    """

    key: Array
    part: Array
    parts: int = dataclasses.field(metadata={"static": True})


def in_parts(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Lets draw(key, batch, ...) take a PartKey: it then returns that part's rows of the draw.

    Args:
      draw: returns a pytree of arrays [batch, ...].
    """

    @functools.wraps(draw)
    def drawn(key: Array | PartKey, batch: int, *args, **kwargs):
        if not isinstance(key, PartKey):
            return draw(key, batch, *args, **kwargs)
        whole = draw(key.key, batch * key.parts, *args, **kwargs)

        def rows(x: Array) -> Array:
            x = x.reshape(batch, key.parts, *x.shape[1:])
            return jax.lax.dynamic_index_in_dim(x, key.part, axis=1, keepdims=False)

        return jax.tree.map(rows, whole)

    return drawn
