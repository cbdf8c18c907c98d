"""CCE's decoder: from the visible patches and the report, how all patches correlate."""

from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.bert import token_mask
from place_jax.models.hiding import Hiding, put_back
from place_jax.models.layers import (
    Numerics,
    layer_norm,
    linear,
    position_grid,
    resize_positions,
    unit_norm,
)
from place_jax.models.transformer import BlockShape, run_blocks, stack_blocks


class CorrelationDecoder(nnx.Module):
    """Patch tokens attend to one another and to the report's tokens; unit rows z come out.

    [paper]: a proxy task predicts patch-level covariance conditioned on the report.
    [ours]: hidden patches, z z^T as its form, the sizes.
    """

    def __init__(
        self,
        config: FrozenConfigDict,
        image_width: int,
        text_width: int,
        grid: tuple[int, int],
        numerics: Numerics,
        *,
        rngs: nnx.Rngs,
    ):
        self.numerics = numerics
        self.embed = linear(image_width, config.width, numerics, rngs=rngs)
        self.mask_token = nnx.Param(
            nnx.initializers.normal(0.02)(rngs.params(), (config.width,), numerics.param_dtype)
        )
        self.position = nnx.Param(position_grid(grid, config.width, numerics.param_dtype))
        shape = BlockShape(config.width, config.heads, config.mlp_dim, context_width=text_width)
        self.blocks = stack_blocks(config.depth, shape, numerics, rngs=rngs)
        self.norm = layer_norm(config.width, numerics, rngs=rngs)
        self.factors = linear(config.width, config.rank, numerics, rngs=rngs)

    def __call__(
        self,
        visible: Array,
        hiding: Hiding,
        token_states: Array,
        sentence_of_token: Array,
        grid: tuple[int, int],
    ) -> Array:
        """Predicts the correlation's factors.

        Args:
          visible: [B, N - hidden, D_image] patch tokens.
          hiding: the draw that made them.
          token_states: [B, L, D_text].
          sentence_of_token: [B, L], 0 for padding but at position 0, the report token.
          grid: (rows, columns) of patches.

        Returns:
          [B, N, r] in at least float32, rows of unit length.
        """
        x = put_back(self.embed(visible), self.mask_token[...], hiding)
        position = resize_positions(self.position[...], grid)
        x = x + position.reshape(-1, position.shape[-1]).astype(x.dtype)
        x, _ = run_blocks(
            self.blocks,
            x,
            self.numerics,
            context=token_states,
            context_mask=token_mask(sentence_of_token)[:, None, :],
        )
        return unit_norm(self.factors(self.norm(x)))
