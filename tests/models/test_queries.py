"""What keeps the queries of VPOE apart: what they read, how sharply, from where they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from place_jax.models.functional import Model, normalise_pixels
from place_jax.models.layers import Numerics
from place_jax.models.observation_extractor import ObservationExtractor
from place_jax.models.projection import directions
from place_jax.objectives.diagnostics import mean_cosine


def make(tiny_config, **overrides):
    model = Model.from_config(tiny_config(**overrides), image_size=32, vocab_size=50)
    return model, *jax.jit(model.init)(jax.random.key(0))


def between_queries(v_por):
    return float(mean_cosine(v_por, jnp.ones(v_por.shape[:2]), axis=1))


@pytest.mark.parametrize("reads", ["stem", "encoder"])
def test_of_the_stem_a_query_knows_only_where_it_looks(tiny_config, pairs, reads):
    """The last patch is repainted: tokens far from it stay as they were, or all of them change."""
    model, params, state = make(tiny_config, observation__reads=reads)
    place = model._merge(params, state)
    seen = []

    def watch(tokens):
        seen.append(np.asarray(tokens))
        return tokens, jnp.zeros((*tokens.shape[:1], 1, tokens.shape[1]))

    place.observation = watch
    image = np.array(pairs["image"])
    for pixels in (image, np.where(np.arange(32)[:, None, None] >= 24, 255 - image, image)):
        place.image_features(normalise_pixels(jnp.asarray(pixels)))
    change = np.abs(seen[0] - seen[1]).max(axis=(0, 2)).reshape(4, 4)
    assert (change[3] > 1e-3).all()
    assert (change[0] < 1e-6).all() == (reads == "stem")


def test_sharp_queries_look_at_something_and_each_at_its_own(tiny_config, pairs):
    overlap, highest = [], []
    for sharpness in (1.0, 8.0):
        model, params, state = make(
            tiny_config, observation__reads="stem", observation__sharpness=sharpness
        )
        attention = jax.jit(model.encode_images)(params, state, pairs["image"]).v_por_attention
        norm = jnp.linalg.norm(attention, axis=-1, keepdims=True)
        overlap.append(between_queries(attention / norm))
        highest.append(float(attention.max(-1).mean()))
    assert highest[1] > 1.5 * highest[0] and overlap[1] < overlap[0] - 0.1


def test_sharpness_is_how_many_times_larger_the_first_scores_are(tiny_config):
    """Of the queries' map alone, to what they read: their self-attention is as it was."""

    def block(sharpness):
        config = tiny_config(observation__sharpness=sharpness).observation
        return ObservationExtractor(config, 16, Numerics(), rngs=nnx.Rngs(0)).blocks

    sharp, plain = (nnx.state(block(times), nnx.Param) for times in (8.0, 1.0))
    sharp["cross_attention"]["query"]["kernel"][...] /= 8
    jax.tree.map(np.testing.assert_array_equal, sharp, plain)


@pytest.mark.parametrize("competition", ["none", "slots"])
def test_a_view_does_not_see_the_patches_that_it_hides(tiny_config, pairs, competition):
    """The last row is repainted: of a view of the upper two rows nothing may change."""
    model, params, state = make(
        tiny_config, observation__reads="stem", observation__competition=competition
    )
    views = np.stack([np.arange(16) < 8, np.ones(16, bool)])
    observe = jax.jit(model.observe_views)
    image = np.array(pairs["image"])
    # The stem's windows see a little past their patch: the row below the view stays as it is.
    other = np.where(np.arange(32)[:, None, None] >= 24, 255 - image, image)
    seen, repainted = (np.asarray(observe(params, state, x, views)) for x in (image, other))
    np.testing.assert_allclose(repainted[:, 0], seen[:, 0], atol=1e-6)
    assert np.abs(repainted[:, 1] - seen[:, 1]).max() > 1e-3


def test_queries_can_start_small(tiny_config):
    config = tiny_config(observation__query_init="normal", observation__num_queries=64).observation
    queries = ObservationExtractor(config, 16, Numerics(), rngs=nnx.Rngs(0)).queries[...]
    assert abs(float(jnp.std(queries)) - 0.02) < 0.002 and abs(float(jnp.mean(queries))) < 0.003


def test_separation_puts_each_querys_mean_along_a_direction_of_its_own(tiny_config, pairs):
    """Standardised observations, as the projection maps them, have the mean that is asked for."""
    model, params, state = make(tiny_config, observation__separation=0.7)
    place = model._merge(jax.jit(model.calibrate)(params, state, pairs), state)
    observed = place.image_features(normalise_pixels(jnp.asarray(pairs["image"])))["v_por"]
    projection = place.v_por_projection
    standard = np.asarray((observed - projection.shift[...]) * projection.scale[...])
    np.testing.assert_allclose(standard.mean(0), 0.7 * np.asarray(directions(3, 16)), atol=1e-3)
    own = standard - standard.mean(0)
    np.testing.assert_allclose(np.square(own).mean((0, 1)), 1, rtol=1e-3)


def test_separated_queries_start_apart_and_still_tell_images_apart(tiny_config, pairs):
    cosine = []
    for separation in (0.0, 1.0):
        model, params, state = make(tiny_config, observation__separation=separation)
        params = jax.jit(model.calibrate)(params, state, pairs)
        v_por = jax.jit(model.encode_images)(params, state, pairs["image"]).v_por
        cosine.append(between_queries(v_por))
        images = float(mean_cosine(v_por, jnp.ones(v_por.shape[:2]), axis=0))
    assert cosine[0] > 0.5 > cosine[1] + 0.2
    assert images < 0.9


def test_the_null_v_por_is_one_unit_vector_and_is_trained(tiny_config, pairs):
    model, params, state = make(tiny_config, observation__null="learned")
    null = jax.jit(model.encode_images)(params, state, pairs["image"]).null_v_por
    np.testing.assert_allclose(jnp.linalg.norm(null), 1, rtol=1e-5)
    assert null.shape == (8,) and params["null_v_por"].shape == (8,)
