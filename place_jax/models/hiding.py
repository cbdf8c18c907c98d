"""Which patches the correlation pass hides, and hiding them (after MAE, arXiv 2111.06377)."""

import dataclasses

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import Array

from place_jax.models.parts import in_parts


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
def draw_hiding(key: Array, batch: int, patches: int, ratio: float) -> Hiding:
    """Hides exactly round(N * ratio) patches of each image, the same whatever the sharding.

    Raises:
      ValueError: nothing would remain visible.
    """
    count = round(patches * ratio)
    if not 0 <= count < patches:
        raise ValueError(
            f"mask_ratio={ratio} hides {count} of {patches} patches: use 0 up to "
            f"{(patches - 1) / patches:.3f}"
        )
    rank = jnp.argsort(jnp.argsort(jax.random.uniform(key, (batch, patches)), axis=-1), axis=-1)
    hidden = rank < count
    # A stable sort of the flags keeps patches in reading order within each group.
    visible_first = jnp.argsort(hidden, axis=-1, stable=True)
    return Hiding(
        hidden=hidden,
        visible=visible_first[:, : patches - count],
        order=jnp.argsort(visible_first, axis=-1),
    )


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
