"""The parts against independent references: attention, patchify, convolution, projections."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from place_jax.models.attention import Attention, Competition
from place_jax.models.layers import Numerics, position_grid, resize_positions, unit_norm
from place_jax.models.observation_extractor import ObservationExtractor
from place_jax.models.patch_stem import patchify, windows_3x3_stride_2
from place_jax.models.projection import LogitScales, clamp, standardisation


def attention_reference(module, x, context, mask, competition):
    """Multi-head attention in float64 NumPy, head by head."""

    def linear(layer, y):
        kernel = np.asarray(layer.kernel[...], np.float64)
        return np.asarray(y, np.float64) @ kernel + np.asarray(layer.bias[...], np.float64)

    q, k, v = linear(module.query, x), linear(module.key, context), linear(module.value, context)
    size = q.shape[-1] // module.heads
    outputs, maps = [], []
    for head in range(module.heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[..., part] @ k[..., part].swapaxes(1, 2) / np.sqrt(size)) * mask
        if competition is Competition.SLOTS:
            scores /= np.maximum(scores.sum(1, keepdims=True), 1e-300)
        weights = scores / scores.sum(2, keepdims=True)
        outputs.append(weights @ v[..., part])
        maps.append(weights)
    return linear(module.out, np.concatenate(outputs, -1)), np.stack(maps, 1)


@pytest.mark.parametrize("competition", list(Competition))
def test_attention_equals_its_formula(competition):
    module = Attention(8, 2, Numerics(), rngs=nnx.Rngs(0), context_width=6, competition=competition)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 8), np.float32)
    context = rng.standard_normal((2, 5, 6), np.float32)
    mask = np.ones((2, 3, 5), bool)
    mask[1, :, 3:] = False
    mask[1, 0, 1] = False
    out, weights = module(x, context, jnp.asarray(mask))
    expected, expected_weights = attention_reference(module, x, context, mask, competition)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)


@pytest.mark.parametrize("competition", list(Competition))
def test_a_row_that_may_look_nowhere_stays_finite(competition):
    module = Attention(4, 1, Numerics(), rngs=nnx.Rngs(0), competition=competition)
    x = jnp.ones((1, 2, 4))
    gradient = jax.grad(lambda x: jnp.sum(module(x, x, jnp.zeros((1, 2, 2), bool))[0]))(x)
    assert np.isfinite(gradient).all()


def test_windows_are_those_of_a_strided_convolution():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 8, 6, 3), np.float32)
    kernel = rng.standard_normal((3, 3, 3, 4), np.float32)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        windows_3x3_stride_2(jnp.asarray(x)) @ kernel.reshape(27, 4), expected, atol=1e-4
    )


def test_patches_are_cut_in_reading_order():
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(
        patchify(image, 2).reshape(4, 4),
        [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]],
    )
    with pytest.raises(ValueError, match="image 4x4 does not cut into patches of 3"):
        patchify(image, 3)


def test_positions_tell_places_apart_and_survive_resizing():
    position = position_grid((7, 7), 32, "float32")
    flat = np.asarray(position.reshape(49, 32))
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + 10 * np.eye(49)
    assert distance.min() > 0.1
    assert resize_positions(position, (7, 7)) is position
    half = np.asarray(resize_positions(position, (14, 14)))
    back = half.reshape(7, 2, 7, 2, 32).mean((1, 3))
    assert np.abs(back - position)[1:-1, 1:-1].mean() < 0.1


def test_queries_start_apart_and_as_loud_as_the_patches(tiny_config):
    config = tiny_config(observation__num_queries=8).observation
    extractor = ObservationExtractor(config, 16, Numerics(), rngs=nnx.Rngs(0))
    queries = np.asarray(extractor.queries[...])
    np.testing.assert_allclose(queries @ queries.T, 16 * np.eye(8), atol=1e-4)


@pytest.mark.parametrize("competition", ["none", "slots"])
def test_the_extractors_attention_follows_the_patches(tiny_config, competition):
    config = tiny_config(observation__competition=competition).observation
    extractor = ObservationExtractor(config, 16, Numerics(), rngs=nnx.Rngs(0))
    patches = np.random.default_rng(0).standard_normal((2, 9, 16), np.float32)
    order = np.random.default_rng(1).permutation(9)
    observations, attention = extractor(patches)
    moved_observations, moved = extractor(patches[:, order])
    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(moved, attention[..., order], atol=1e-5)
    np.testing.assert_allclose(moved_observations, observations, atol=1e-4)


def test_unit_norm_has_a_finite_gradient_at_zero():
    gradient = jax.grad(lambda x: jnp.sum(unit_norm(x)))(jnp.zeros(3))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(jnp.linalg.norm(unit_norm(jnp.full(3, 7.0))), 1, atol=1e-6)


def test_a_logit_scale_past_its_limit_can_come_back():
    value, gradient = jax.value_and_grad(clamp)(6.0, 0.0, 4.0)
    assert (value, gradient) == (4.0, 1.0)  # descent lowers it: let through
    assert jax.grad(lambda x: -clamp(x, 0.0, 4.0))(6.0) == 0.0  # would go further out
    assert jax.grad(lambda x: clamp(x, 0.0, 4.0))(-1.0) == 0.0
    assert jax.grad(lambda x: clamp(x, 0.0, 4.0))(2.0) == 1.0
    scales = LogitScales({"instance": 1 / 0.07}, Numerics())
    scales.instance[...] = jnp.asarray(9.0)
    np.testing.assert_allclose(scales()["instance"], 100, rtol=1e-5)


def test_standardisation_weighs_rows_and_leaves_flat_dimensions_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (6, 4, 5)).astype(np.float32)
    x[..., 4] = 7.0
    weight = (rng.random((6, 4)) < 0.7).astype(np.float32)
    shift, scale = standardisation(jnp.asarray(x), jnp.asarray(weight), (5,))
    rows = x[weight > 0]
    np.testing.assert_allclose(shift, rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(scale[:4], 1 / rows.std(0)[:4], rtol=1e-4)
    assert scale[4] == 1
    own, _ = standardisation(jnp.asarray(x), jnp.ones((6, 4)), (4, 5))
    np.testing.assert_allclose(own, x.mean(0), rtol=1e-4)
