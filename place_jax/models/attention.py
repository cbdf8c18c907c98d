"""Multi-head attention that can hand out its weights, and let queries compete for tokens."""

import enum

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax import Array

from place_jax.models.layers import Numerics, at_least_float32, linear


class Competition(enum.Enum):
    """Over what the attention weights are normalised."""

    NONE = "none"  # every query over the tokens
    SLOTS = "slots"  # queries compete for each token first (slot attention, arXiv 2006.15055, 3.1)


class Attention(nnx.Module):
    """Queries from x [B, L, D], keys and values from a context [B, M, D_context].

    `sharpness` is how many times larger than usual the scores are at the start.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        numerics: Numerics,
        *,
        rngs: nnx.Rngs,
        context_width: int = 0,
        competition: Competition = Competition.NONE,
        sharpness: float = 1.0,
    ):
        if width % heads:
            raise ValueError(f"width={width} does not split into heads={heads}: use a divisor")
        self.heads = heads
        self.competition = competition
        context_width = context_width or width
        self.query = linear(width, width, numerics, rngs=rngs, gain=sharpness)
        self.key = linear(context_width, width, numerics, rngs=rngs)
        self.value = linear(context_width, width, numerics, rngs=rngs)
        self.out = linear(width, width, numerics, rngs=rngs)

    def __call__(self, x: Array, context: Array, mask: Array | None = None) -> tuple[Array, Array]:
        """Attends.

        Args:
          x: [B, L, D].
          context: [B, M, D_context].
          mask: [B, L or 1, M] bool, True where a query may look.

        Returns:
          [B, L, D], and the weights [B, heads, L, M] in at least float32; their rows sum to 1 and
          are 0 where a query may not look. Under SLOTS the row of a query that no token goes to
          sums to less.
        """
        query, key, value = (
            rearrange(y, "b l (h d) -> b l h d", h=self.heads)
            for y in (self.query(x), self.key(context), self.value(context))
        )
        scale = query.shape[-1] ** -0.5
        accumulate = jnp.promote_types(query.dtype, jnp.float32)
        scores = scale * jnp.einsum(
            "bqhd,bkhd->bhqk", query, key, preferred_element_type=accumulate
        )
        mask = None if mask is None else mask[:, None]
        weights = _normalise(at_least_float32(scores), mask, self.competition)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        return self.out(rearrange(mixed, "b l h d -> b l (h d)")), weights


def _normalise(scores: Array, mask: Array | None, competition: Competition) -> Array:
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
    if competition is Competition.NONE:
        return jax.nn.softmax(scores, axis=-1)
    share = jax.nn.softmax(scores, axis=-2)
    if mask is not None:  # a token that no query may read is shared out all the same
        share = jnp.where(mask, share, 0)
    return share / (jnp.sum(share, axis=-1, keepdims=True) + 1e-8)
