"""What keeps the queries of VPOE apart: what they read, how sharply, from where they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from place_jax.models.functional import Model, normalise_pixels
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
