"""Which patches the correlation pass hides, and hiding them (after MAE, arXiv 2111.06377)."""

import dataclasses
import enum

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import Array

from place_jax.models.parts import in_parts


class Layout(enum.Enum):
    """How the hidden patches of an image lie."""

    SCATTERED = "scattered"  # each as likely as any other
    BLOCK = "block"  # those nearest to a point that is drawn: few neighbours tell of them
    SIDE = "side"  # those of the left or of the right: of one half, what only the report tells


class HideAt(enum.Enum):
    """Where in the encoder patches are hidden."""

    INPUT = "input"  # their pixels: nothing of them is seen
    STEM = "stem"  # after the stem, whose windows may have seen their edges
    BLOCKS = "blocks"  # after the last block: their neighbours have seen all; no second pass


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hiding:
    """A draw of hidden patches.

    Attributes:
      hidden: [B, N] bool.
      visible: [B, N - hidden] int32 indices of the others, ascending.
      order: [B, N] int32, for each patch its row in (visible ones, then hidden ones).
    """

    hidden: Array
    visible: Array
    order: Array


@in_parts
def draw_hiding(
    key: Array,
    batch: int,
    grid: tuple[int, int],
    ratio: float,
    layout: Layout = Layout.SCATTERED,
) -> Hiding:
    """Hides exactly round(N * ratio) patches of each image, the same whatever the sharding.

    Args:
      key: of the draw.
      batch: B.
      grid: (rows, columns) of patches.
      ratio: 0 to 1; at 1 nothing is seen.
      layout: how the hidden ones lie.
    """
    patches = grid[0] * grid[1]
    count = round(patches * ratio)
    noise = jax.random.uniform(key, (batch, patches))
    score = noise + _preference(jax.random.fold_in(key, 1), batch, grid, layout)
    hidden = jnp.argsort(jnp.argsort(score, axis=-1), axis=-1) < count
    # A stable sort of the flags keeps patches in reading order within each group.
    visible_first = jnp.argsort(hidden, axis=-1, stable=True)
    return Hiding(
        hidden=hidden,
        visible=visible_first[:, : patches - count],
        order=jnp.argsort(visible_first, axis=-1),
    )


def _preference(key: Array, batch: int, grid: tuple[int, int], layout: Layout) -> Array | float:
    """[B, N], least where patches are hidden first; what it leaves open is within 1."""
    if layout is Layout.SCATTERED:
        return 0.0
    rows, columns = (index.reshape(-1) for index in jnp.indices(grid, dtype=jnp.float32))
    if layout is Layout.SIDE:
        sign = jax.random.rademacher(key, (batch, 1), dtype=jnp.float32)
        return sign * columns
    centre = jax.random.uniform(key, (batch, 2, 1)) * jnp.array(grid, jnp.float32)[:, None]
    return jnp.hypot(rows + 0.5 - centre[:, 0], columns + 0.5 - centre[:, 1])


def hide_pixels(image: Array, hidden: Array, patch_size: int) -> Array:
    """Puts zero, mid grey after normalisation, into the hidden patches of [B, H, W, C]."""
    height, width = (size // patch_size for size in image.shape[1:3])
    seen = rearrange(~hidden, "b (h w) -> b h w", h=height, w=width)
    seen = repeat(seen, "b h w -> b (h p) (w q) 1", p=patch_size, q=patch_size)
    return jnp.where(seen, image, 0)


def keep_visible(tokens: Array, hiding: Hiding) -> Array:
    """[B, N, D] -> [B, N - hidden, D]."""
    return jnp.take_along_axis(tokens, hiding.visible[:, :, None], axis=1)


def put_back(visible: Array, stand_in: Array, hiding: Hiding) -> Array:
    """[B, N - hidden, D] -> [B, N, D], with the vector `stand_in` [D] where patches were hidden."""
    batch, count, width = visible.shape
    missing = hiding.hidden.shape[1] - count
    stand_ins = jnp.broadcast_to(stand_in.astype(visible.dtype), (batch, missing, width))
    tokens = jnp.concatenate([visible, stand_ins], axis=1)
    return jnp.take_along_axis(tokens, hiding.order[:, :, None], axis=1)
