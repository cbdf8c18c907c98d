"""CCE's decoder: from the visible patches and the report, how all patches correlate."""

import enum

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.bert import token_mask
from place_jax.models.hiding import Hiding, put_back
from place_jax.models.layers import (
    Numerics,
    at_least_float32,
    layer_norm,
    linear,
    option,
    position_grid,
    resize_positions,
    unit_norm,
)
from place_jax.models.principal_factors import principal_factors
from place_jax.models.transformer import BlockShape, run_blocks, stack_blocks

# Of rows within the unit ball, at the start: at its surface they would hardly move.
_LONGEST = 0.95


class Condition(enum.Enum):
    """What the decoder reads beside the patches."""

    REPORT = "report"  # the token states of the report
    NONE = "none"  # nothing: an ablation


class Form(enum.Enum):
    """What z z^T is, off the diagonal.

    LOW_RANK_PLUS_DIAGONAL [default]: a correlation less a diagonal that is not scored, as in factor
    analysis: rows within the unit ball, small at first. A patch that goes with no other has
    z = 0, and the first prediction is 0, which unit rows, whose rank is below N, never reach.
    LOW_RANK: a correlation whole: rows of unit length, a diagonal of ones.
    FREE: a covariance: rows of any length.
    """

    LOW_RANK_PLUS_DIAGONAL = "low_rank_plus_diagonal"
    LOW_RANK = "low_rank"
    FREE = "free"


class Start(enum.Enum):
    """What is predicted before any training."""

    ZERO = "zero"  # about nothing: that no patch goes with another
    MEAN = "mean"  # the mean matrix of the first batch: what is left to learn is the image's own


class CorrelationDecoder(nnx.Module):
    """Patch tokens attend to one another and to the report's tokens; rows z come out.

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
        self.condition = option(Condition, "correlation.condition", config.condition)
        self.form = option(Form, "correlation.form", config.form)
        context_width = text_width if self.condition is Condition.REPORT else 0
        shape = BlockShape(config.width, config.heads, config.mlp_dim, context_width=context_width)
        self.blocks = stack_blocks(config.depth, shape, numerics, rngs=rngs)
        self.norm = layer_norm(config.width, numerics, rngs=rngs)
        self.factors = linear(config.width, config.rank, numerics, rngs=rngs)
        self.start = option(Start, "correlation.start", config.start)
        if self.form is not Form.LOW_RANK:
            small = 0.01 if self.start is Start.MEAN else 0.1
            self.factors.kernel[...] = small * self.factors.kernel[...]
        if self.start is Start.MEAN:
            self.mean_rows = nnx.Param(jnp.zeros((*grid, config.rank), numerics.param_dtype))

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
          [B, N, r] in at least float32, rows as `Form` says.
        """
        x = put_back(self.embed(visible), self.mask_token[...], hiding)
        position = resize_positions(self.position[...], grid)
        x = x + position.reshape(-1, position.shape[-1]).astype(x.dtype)
        report = {}
        if self.condition is Condition.REPORT:
            mask = token_mask(sentence_of_token)[:, None, :]
            report = {"context": token_states, "context_mask": mask}
        x, _ = run_blocks(self.blocks, x, self.numerics, **report)
        factors = self.factors(self.norm(x))
        if self.start is Start.MEAN:
            mean = resize_positions(self.mean_rows[...], grid)
            factors = at_least_float32(factors) + mean.reshape(-1, mean.shape[-1])
        if self.form is Form.LOW_RANK:
            return unit_norm(factors)
        factors = at_least_float32(factors)
        if self.form is Form.FREE:
            return factors
        return factors * jax.lax.rsqrt(1 + jnp.sum(jnp.square(factors), axis=-1, keepdims=True))


def rows_of_mean(mean: Array, form: Form, rank: int) -> Array:
    """What a decoder adds to its rows [N, rank] so that they start at a mean matrix [N, N].

    Half of the rank holds it: the other half is free for what an image has of its own.
    """
    free = form is Form.FREE
    z = principal_factors(mean, -(-rank // 2), longest=jnp.inf if free else _LONGEST)
    if not free:
        z = z * jax.lax.rsqrt(1 - jnp.sum(jnp.square(z), axis=1, keepdims=True))
    return jnp.pad(z, ((0, 0), (0, rank - z.shape[1])))
