"""From normalised pixels to one vector per patch: one linear map, or a few small convolutions.

Convolutions are written as reshapes and matrix products: XLA's convolutions are slow backward on a
CPU, and a product is what a TPU does best.
"""

import enum
import math

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax import Array

from place_jax.models.layers import Numerics, layer_norm, linear


class Stem(enum.Enum):
    """How pixels become patch vectors."""

    PATCH = "patch"  # one linear map of the patch, as in ViT (arXiv 2010.11929)
    CONV = "conv"  # 4x4 patchify, then 3x3 convolutions with stride 2 [ours, for small models]


class PatchStem(nnx.Module):
    """[B, H, W, 1] -> [B, H / patch, W / patch, D], each patch on its own."""

    def __init__(self, patch_size: int, width: int, numerics: Numerics, *, rngs: nnx.Rngs):
        self.patch_size = patch_size
        self.embed = linear(patch_size**2, width, numerics, rngs=rngs)

    def __call__(self, image: Array) -> Array:
        return self.embed(patchify(image, self.patch_size))


class ConvStem(nnx.Module):
    """[B, H, W, 1] -> [B, H / patch, W / patch, D]; a patch sees a little of its neighbours.

    Channels double with each halving of the resolution, up to D. Early convolutions make a small
    ViT learn sooner (arXiv 2106.14881).
    """

    def __init__(self, patch_size: int, width: int, numerics: Numerics, *, rngs: nnx.Rngs):
        if patch_size < 4 or 2 ** round(math.log2(patch_size)) != patch_size:
            raise ValueError(
                f"patch_size={patch_size} with stem='conv': use 4, 8, 16 or 32, or stem='patch'"
            )
        self.halvings = round(math.log2(patch_size)) - 2
        channels = width // 2**self.halvings
        self.embed = linear(16, channels, numerics, rngs=rngs)
        for i in range(self.halvings):
            outputs = width if i == self.halvings - 1 else 2 * channels
            # Where all pixels are hidden the vector is constant: its variance may be zero.
            setattr(self, f"norm_{i}", layer_norm(channels, numerics, rngs=rngs, epsilon=1e-6))
            setattr(self, f"conv_{i}", linear(9 * channels, outputs, numerics, rngs=rngs))
            channels = outputs

    def __call__(self, image: Array) -> Array:
        x = self.embed(patchify(image, 4))
        for i in range(self.halvings):
            x = jax.nn.gelu(getattr(self, f"norm_{i}")(x), approximate=False)
            x = getattr(self, f"conv_{i}")(windows_3x3_stride_2(x))
        return x


def patchify(image: Array, size: int) -> Array:
    """Cuts [B, H, W, C] into squares: [B, H / size, W / size, size * size * C].

    Raises:
      ValueError: H or W is no multiple of size.
    """
    if image.shape[1] % size or image.shape[2] % size:
        raise ValueError(
            f"image {image.shape[1]}x{image.shape[2]} does not cut into patches of {size}: "
            f"use a crop_size that is a multiple of {size}"
        )
    return rearrange(image, "b (h p) (w q) c -> b h w (p q c)", p=size, q=size)


def windows_3x3_stride_2(x: Array) -> Array:
    """The 3x3 windows of a stride-2 convolution with padding 1: [B, h / 2, w / 2, 9 C].

    Window (i, j) holds rows 2i-1..2i+1 and columns 2j-1..2j+1, in that order, as the im2col of a
    kernel [3, 3, C, C_out] reshaped to [9 C, C_out].
    """
    height, width = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    views = [
        x[:, row : row + height : 2, column : column + width : 2]
        for row in range(3)
        for column in range(3)
    ]
    return jnp.concatenate(views, axis=-1)
