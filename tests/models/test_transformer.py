"""A stack of blocks is the blocks one after another, however it is scanned or recomputed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from place_jax.models.layers import Numerics, Remat
from place_jax.models.transformer import UNROLLED_DEPTH, BlockShape, Norm, run_blocks, stack_blocks

DEPTH = UNROLLED_DEPTH + 1  # a depth that is scanned, not unrolled


@pytest.fixture(scope="module")
def blocks():
    shape = BlockShape(width=8, heads=2, mlp_dim=12, context_width=6)

    @jax.jit
    def state(key):
        return nnx.state(stack_blocks(DEPTH, shape, Numerics(), rngs=nnx.Rngs(key)))

    abstract = nnx.eval_shape(lambda: stack_blocks(DEPTH, shape, Numerics(), rngs=nnx.Rngs(0)))
    return nnx.merge(nnx.graphdef(abstract), state(jax.random.key(0)))


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 4, 8), np.float32))
    return x, jnp.asarray(rng.standard_normal((2, 5, 6), np.float32))


def test_a_stack_is_its_blocks_in_turn(blocks, inputs):
    x, context = inputs
    stacked, attention = run_blocks(blocks, x, Numerics(), context=context)
    graphdef, state = nnx.split(blocks)
    for layer in range(DEPTH):
        block = nnx.merge(graphdef, jax.tree.map(lambda p, i=layer: p[i], state))
        x, weights = block(x, context=context)
    np.testing.assert_allclose(stacked, x, atol=1e-5)
    np.testing.assert_allclose(attention, weights.mean(1), atol=1e-6)


def test_layers_start_different(blocks):
    kernels = np.asarray(blocks.mlp.up.kernel[...])
    assert kernels.shape == (DEPTH, 8, 12)
    assert len(np.unique(kernels[:, 0, 0])) == DEPTH
    np.testing.assert_allclose(kernels.std(), 8**-0.5, rtol=0.15)


@pytest.mark.parametrize("remat", [Remat.DOTS, Remat.FULL])
def test_recomputation_changes_no_gradient(blocks, inputs, remat):
    x, context = inputs
    graphdef, state = nnx.split(blocks)

    def gradients(numerics):
        def loss(state, x):
            y, attention = run_blocks(nnx.merge(graphdef, state), x, numerics, context=context)
            return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.square(attention))

        return jax.jit(jax.grad(loss, argnums=(0, 1)))(state, x)

    expected, found = gradients(Numerics()), gradients(dataclasses.replace(Numerics(), remat=remat))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), expected, found)


def test_post_norm_blocks_end_normalised(inputs):
    shape = BlockShape(width=8, heads=2, mlp_dim=12, norm=Norm.POST)
    blocks = stack_blocks(1, shape, Numerics(), rngs=nnx.Rngs(0))
    y, attention = run_blocks(blocks, inputs[0], Numerics())
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(-1), 1, atol=1e-3)
    assert attention is None
