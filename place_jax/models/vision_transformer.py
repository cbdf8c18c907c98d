"""The Vision Transformer (arXiv 2010.11929): pre-norm, any patch size, any resolution."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.hiding import HideAt, Hiding, hide_pixels, keep_visible
from place_jax.models.layers import Numerics, layer_norm, option, position_grid, resize_positions
from place_jax.models.patch_stem import ConvStem, PatchStem, Stem
from place_jax.models.transformer import BlockShape, run_blocks, stack_blocks


class VisionTransformer(nnx.Module):
    """Grey pixels to patch tokens.

    The image's feature is the mean of its patch tokens [ours]: they are what the observation
    extractor and the correlation decoder read, so that all objectives train the same vectors. With
    the "patch" stem a class token stands among the tokens, as pre-trained weights expect, and is
    not handed out; its position is part of it. With the "conv" stem there is none.
    """

    def __init__(
        self, config: FrozenConfigDict, image_size: int, numerics: Numerics, *, rngs: nnx.Rngs
    ):
        if image_size % config.patch_size:
            raise ValueError(
                f"crop_size={image_size} does not cut into patches of {config.patch_size}: "
                f"use a multiple of {config.patch_size}"
            )
        self.patch_size = config.patch_size
        self.width = config.width
        self.numerics = numerics
        stem = option(Stem, "image.stem", config.stem)
        make_stem = PatchStem if stem is Stem.PATCH else ConvStem
        self.stem = make_stem(config.patch_size, config.width, numerics, rngs=rngs)
        side = image_size // config.patch_size
        self.position = nnx.Param(position_grid((side, side), config.width, numerics.param_dtype))
        self.has_class_token = stem is Stem.PATCH
        if self.has_class_token:
            self.class_token = nnx.Param(
                nnx.initializers.normal(0.02)(rngs.params(), (config.width,), numerics.param_dtype)
            )
        shape = BlockShape(config.width, config.heads, config.mlp_dim)
        self.blocks = stack_blocks(config.depth, shape, numerics, rngs=rngs)
        self.norm = layer_norm(config.width, numerics, rngs=rngs)

    def __call__(
        self, image: Array, hiding: Hiding | None = None, hide_at: HideAt = HideAt.INPUT
    ) -> Array:
        """Encodes [B, H, W, 1], already normalised, to patch tokens [B, N, D] in reading order.

        With `hiding`, only the visible ones are encoded: [B, N - hidden, D]. With HideAt.INPUT
        the hidden ones are blanked before the stem, whose windows would leak them otherwise.
        """
        if hiding is None:
            return self.mix(self.local_tokens(image))
        if hide_at is HideAt.BLOCKS:
            return keep_visible(self(image), hiding)
        if hide_at is HideAt.INPUT:
            image = hide_pixels(image, hiding.hidden, self.patch_size)
        return self.mix(keep_visible(self.local_tokens(image), hiding))

    def local_tokens(self, image: Array) -> Array:
        """[B, H, W, 1] to patch tokens [B, N, D] of which none has seen another by attention."""
        x = self.stem(image)
        x = x + resize_positions(self.position[...], x.shape[1:3]).astype(x.dtype)
        return x.reshape(x.shape[0], -1, x.shape[-1])

    def mix(self, x: Array) -> Array:
        """Local tokens to the encoder's, by attention among them."""
        return self._mix(x, watch_first=False)[0]

    def mix_watched(self, x: Array) -> tuple[Array, Array]:
        """The same, and what the class token attends to among the patches [B, N].

        Of the last block, mean over heads; uniform where there is no class token.
        """
        tokens, attention = self._mix(x, watch_first=True)
        if self.has_class_token:
            return tokens, attention[:, 0, 1:]
        return tokens, jnp.full(tokens.shape[:2], 1 / tokens.shape[1], attention.dtype)

    def _mix(self, x: Array, *, watch_first: bool) -> tuple[Array, Array | None]:
        if self.has_class_token:
            token = jnp.broadcast_to(
                self.class_token[...].astype(x.dtype), (x.shape[0], 1, x.shape[-1])
            )
            x = jnp.concatenate([token, x], axis=1)
        x, attention = run_blocks(self.blocks, x, self.numerics, watch_first=watch_first)
        return self.norm(x)[:, int(self.has_class_token) :], attention
