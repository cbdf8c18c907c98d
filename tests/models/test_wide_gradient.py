"""Kernels' gradients summed in float32 though the products are bfloat16, over devices too."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from configs.base import get_config
from place_jax.models.layers import GradientSum, Numerics, linear
from place_jax.parallel.collective_bytes import traffic_of
from place_jax.parallel.mesh import batch_sharding, make_mesh
from place_jax.parallel.topology import devices_of, parse_topology, prepare_environment

ROWS, WIDTH = 4096, 8


def gradient_step(gradients, mesh):
    """The jitted d/dkernel of the sum of a linear map over a mesh, and its parameters."""
    numerics = Numerics("bfloat16", "float32", gradients=gradients)
    layer = linear(WIDTH, WIDTH, numerics, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(layer)

    def loss_of(params, x):
        return jnp.sum(nnx.merge(graphdef, params)(x).astype(jnp.float32))

    whole = NamedSharding(mesh, PartitionSpec())
    step = jax.jit(
        jax.grad(loss_of), in_shardings=(whole, batch_sharding(mesh)), out_shardings=whole
    )
    return step, params


def gradient_of(gradients, x):
    """The gradient of the kernel over eight devices, and the function as it is lowered."""
    step, params = gradient_step(gradients, make_mesh(get_config().mesh, jax.devices()[:8]))
    text = step.lower(params, x).as_text()
    return np.asarray(step(params, x)["kernel"][...]), text


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(1.0, 0.1, (ROWS, WIDTH)).astype(np.float32)


def test_summed_in_float32_it_is_nearer_to_the_truth(x):
    exact = np.broadcast_to(
        x.astype(jnp.bfloat16).astype(np.float64).sum(0)[:, None], (WIDTH, WIDTH)
    )
    errors = {}
    for gradients in GradientSum:
        found, text = gradient_of(gradients, x)
        assert found.dtype == np.float32
        errors[gradients] = np.abs(found / exact - 1).max()
        # The product that the partitioner sums over devices.
        products = [row for row in text.splitlines() if "dot_general" in row]
        wide = any(f"tensor<{WIDTH}x{WIDTH}xf32>" in row.split("->")[-1] for row in products)
        assert wide == (gradients is GradientSum.PARAM)
    assert errors[GradientSum.PARAM] < 1e-5 < errors[GradientSum.COMPUTE]


def test_values_and_input_gradients_are_the_same(x):
    found = []
    for gradients in GradientSum:
        layer = linear(
            WIDTH, WIDTH, Numerics("bfloat16", "float32", gradients=gradients), rngs=nnx.Rngs(0)
        )
        value, pull = jax.vjp(layer, jnp.asarray(x[:8], jnp.bfloat16))
        found.append((value, *pull(jnp.ones_like(value))))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(np.asarray(a, np.float32), np.asarray(b, np.float32))


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_tpus_send_one_another_half_the_bytes_unless_the_sum_is_in_float32():
    """Of the compiled program: this compiler could have cast before or after the reduction."""
    prepare_environment()
    mesh = make_mesh(get_config().mesh, devices_of(parse_topology("v5e:2x2")))
    sent = {}
    for gradients in GradientSum:
        step, params = gradient_step(gradients, mesh)
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
        x = jax.ShapeDtypeStruct((ROWS, WIDTH), np.float32)
        traffic = traffic_of(step.lower(shapes, x).compile().as_text(), mesh)
        sent[gradients] = sum(part.bytes_per_device for part in traffic)
    assert sent[GradientSum.PARAM] > 1.5 * sent[GradientSum.COMPUTE] > 0, sent
