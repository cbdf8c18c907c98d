"""The one transformer block that all towers share, and how a stack of them is made and run."""

import dataclasses
import enum
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from place_jax.models.attention import Attention, Competition
from place_jax.models.layers import Numerics, Remat, layer_norm, linear
from place_jax.parallel.collectives import constrain_rows

# A stack this short is unrolled: on two cores that saves a fifth of the step's time.
UNROLLED_DEPTH = 4


class Norm(enum.Enum):
    """Where a block normalises."""

    PRE = "pre"  # x + f(norm(x)): ViT and the decoders
    POST = "post"  # norm(x + f(x)): BERT


@dataclasses.dataclass(frozen=True)
class BlockShape:
    """The sizes of a block. context_width 0: no cross-attention."""

    width: int
    heads: int
    mlp_dim: int
    norm: Norm = Norm.PRE
    context_width: int = 0
    competition: Competition = Competition.NONE  # of the cross-attention
    sharpness: float = 1.0  # likewise


class Mlp(nnx.Module):
    """Two linear maps with an exact (erf) GELU between."""

    def __init__(self, width: int, hidden: int, numerics: Numerics, *, rngs: nnx.Rngs):
        self.up = linear(width, hidden, numerics, rngs=rngs)
        self.down = linear(hidden, width, numerics, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.down(jax.nn.gelu(self.up(x), approximate=False))


class Block(nnx.Module):
    """Self-attention, then cross-attention where there is a context, then the MLP."""

    def __init__(self, shape: BlockShape, numerics: Numerics, *, rngs: nnx.Rngs):
        self.norm = shape.norm
        self.attention = Attention(shape.width, shape.heads, numerics, rngs=rngs)
        self.attention_norm = layer_norm(shape.width, numerics, rngs=rngs)
        self.crosses = bool(shape.context_width)
        if self.crosses:
            self.cross_attention = Attention(
                shape.width,
                shape.heads,
                numerics,
                rngs=rngs,
                context_width=shape.context_width,
                competition=shape.competition,
                sharpness=shape.sharpness,
            )
            self.cross_attention_norm = layer_norm(shape.width, numerics, rngs=rngs)
        self.mlp = Mlp(shape.width, shape.mlp_dim, numerics, rngs=rngs)
        self.mlp_norm = layer_norm(shape.width, numerics, rngs=rngs)

    def __call__(
        self,
        x: Array,
        mask: Array | None = None,
        context: Array | None = None,
        context_mask: Array | None = None,
    ) -> tuple[Array, Array]:
        """Maps [B, L, D] to [B, L, D], and hands out attention weights [B, heads, L, M].

        They are the cross-attention's, or where there is none the first token's, with L = 1.
        """
        weights = None

        def attend(y: Array) -> Array:
            nonlocal weights
            y, weights = self.attention(y, y, mask)
            weights = weights[:, :, :1]
            return y

        def cross(y: Array) -> Array:
            nonlocal weights
            y, weights = self.cross_attention(y, context, context_mask)
            return y

        x = self._residual(x, self.attention_norm, attend)
        if self.crosses:
            x = self._residual(x, self.cross_attention_norm, cross)
        return self._residual(x, self.mlp_norm, self.mlp), weights

    def _residual(self, x: Array, norm: nnx.LayerNorm, f: Callable[[Array], Array]) -> Array:
        if self.norm is Norm.PRE:
            return x + f(norm(x))
        return norm(x + f(x))


def stack_blocks(depth: int, shape: BlockShape, numerics: Numerics, *, rngs: nnx.Rngs) -> Block:
    """Makes `depth` blocks as one: every parameter has a leading axis of that length."""

    def one(key: Array) -> nnx.State:
        return nnx.state(Block(shape, numerics, rngs=nnx.Rngs(key)))

    graphdef = nnx.graphdef(nnx.eval_shape(lambda: Block(shape, numerics, rngs=nnx.Rngs(0))))
    return nnx.merge(graphdef, jax.vmap(one)(jax.random.split(rngs.params(), depth)))


def run_blocks(
    blocks: Block,
    x: Array,
    numerics: Numerics,
    *,
    mask: Array | None = None,
    context: Array | None = None,
    context_mask: Array | None = None,
    watch_first: bool = False,
) -> tuple[Array, Array | None]:
    """Runs stacked blocks one after another: a scan, so that compile time does not grow with depth.

    Args:
      blocks: from `stack_blocks`.
      x: [B, L, D].
      numerics: the dtype x is carried in, and what the backward pass keeps.
      mask: [B, L or 1, L] bool, True where a token may look.
      context: [B, M, D_context], of blocks with cross-attention.
      context_mask: [B, L or 1, M] bool.
      watch_first: without a context, hands out what the first token attends to.

    Returns:
      [B, L, D], and the last block's attention, mean over heads: of its cross-attention
      [B, L, M], or of the first token [B, 1, L] if watched, or None.
    """
    graphdef, state = nnx.split(blocks)
    watched = context is not None or watch_first

    def block(layer, x, mask, context, context_mask):
        x, weights = nnx.merge(graphdef, layer)(x, mask, context, context_mask)
        return x, jnp.mean(weights, axis=1) if watched else None

    if numerics.remat is not Remat.NONE:
        policy = {
            Remat.DOTS: jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
            Remat.FULL: jax.checkpoint_policies.nothing_saveable,
        }[numerics.remat]
        # Inside a scan nothing can be merged across the barrier that prevent_cse would place.
        block = jax.checkpoint(block, policy=policy, prevent_cse=False)

    def body(carry, layer):
        return block(layer, constrain_rows(carry[0]), mask, context, context_mask), None

    x = x.astype(numerics.dtype)
    weights = None
    if watched:
        # Only the last block's weights are kept: they travel in the carry, not as a stack.
        weights_dtype = jnp.promote_types(numerics.dtype, jnp.float32)
        rows, columns = (1, x.shape[1]) if context is None else (x.shape[1], context.shape[1])
        weights = jnp.zeros((x.shape[0], rows, columns), weights_dtype)
    layers = nnx.to_pure_dict(state)
    depth = len(jax.tree.leaves(layers)[0])
    carry, _ = jax.lax.scan(body, (x, weights), layers, unroll=depth <= UNROLLED_DEPTH)
    return carry
