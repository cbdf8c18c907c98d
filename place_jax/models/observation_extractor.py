"""VPOE, the Visual Pathology Observation Extractor: learned queries read the patch tokens."""

import enum

import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.attention import Competition
from place_jax.models.layers import Numerics, layer_norm, option
from place_jax.models.transformer import BlockShape, run_blocks, stack_blocks


class QueryInit(enum.Enum):
    """Where the queries start."""

    ORTHOGONAL = "orthogonal"  # orthogonal rows of unit variance: as loud as what they will read
    NORMAL = "normal"  # N(0, 0.02^2): soon drowned by what all of them read in common


class Reads(enum.Enum):
    """Which patch tokens the queries read."""

    ENCODER = "encoder"  # the image encoder's: each has seen the whole image
    STEM = "stem"  # those before any attention: where a query looks is where its V-POR is from


class Null(enum.Enum):
    """Whether there is a V-POR for sentences that speak of nothing visible."""

    NONE = "none"
    LEARNED = "learned"  # one vector of the joint space, the same for every image


class ObservationExtractor(nnx.Module):
    """Q learned queries, a pre-norm decoder over patch tokens, V-PORs before projection.

    [paper]: learned pathology query tokens turn localised image tokens into V-PORs.
    [ours]: what they read, their number, the depth, the start, the competition and how sharply
    they look at first, all from `config`.
    """

    def __init__(
        self, config: FrozenConfigDict, image_width: int, numerics: Numerics, *, rngs: nnx.Rngs
    ):
        self.numerics = numerics
        start = option(QueryInit, "observation.query_init", config.query_init)
        if start is QueryInit.ORTHOGONAL:
            initializer = nnx.initializers.orthogonal(config.width**0.5)
        else:
            initializer = nnx.initializers.normal(0.02)
        # Orthogonalising has no bfloat16 form: drawn in float32, then cast.
        drawn = initializer(
            rngs.params(),
            (config.num_queries, config.width),
            jnp.promote_types(numerics.param_dtype, jnp.float32),
        )
        self.queries = nnx.Param(drawn.astype(numerics.param_dtype))
        shape = BlockShape(
            config.width,
            config.heads,
            config.mlp_dim,
            context_width=image_width,
            competition=option(Competition, "observation.competition", config.competition),
            sharpness=config.sharpness,
        )
        self.blocks = stack_blocks(config.depth, shape, numerics, rngs=rngs)
        self.norm = layer_norm(config.width, numerics, rngs=rngs)

    def __call__(self, patch_tokens: Array, visible: Array | None = None) -> tuple[Array, Array]:
        """Reads [B, N, D_image] to observations [B, Q, D] and their attention [B, Q, N].

        The attention is the last block's, mean over heads, in at least float32; rows sum to 1.

        Args:
          patch_tokens: [B, N, D_image].
          visible: [N] bool, the patches that queries may read; None for all.
        """
        queries = self.queries[...]
        x = jnp.broadcast_to(queries, (patch_tokens.shape[0], *queries.shape))
        mask = None
        if visible is not None:
            mask = jnp.broadcast_to(visible, (patch_tokens.shape[0], 1, visible.shape[0]))
        x, attention = run_blocks(
            self.blocks, x, self.numerics, context=patch_tokens, context_mask=mask
        )
        return self.norm(x), attention
