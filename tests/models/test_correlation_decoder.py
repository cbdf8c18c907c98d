"""CCE's honesty: what is hidden cannot be seen, and what the report says can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from place_jax.models.functional import Model, normalise_pixels
from place_jax.models.hiding import draw_hiding, hide_pixels, keep_visible, put_back

KEY = jax.random.key(3)


@pytest.mark.parametrize("stem", ["conv", "patch"])
def test_hidden_pixels_cannot_influence_the_prediction(tiny_config, pairs, stem):
    model = Model.from_config(tiny_config(image__stem=stem), image_size=32, vocab_size=50)
    rng = np.random.default_rng(0)
    abstract, state = jax.eval_shape(model.init, KEY)
    params = jax.tree.map(lambda p: rng.normal(0, 0.3, p.shape).astype(p.dtype), abstract)
    states = jax.random.normal(jax.random.key(1), (8, 20, 16))
    direction = jax.random.normal(jax.random.key(2), (8, 16, 5))

    @jax.jit
    def sensitivity(image):
        def prediction(image):
            place = nnx.merge(model.graphdef, params, state)
            factors, hidden = place.correlation_factors(
                image, states, pairs["sentence_of_token"], KEY
            )
            return jnp.sum(factors * direction), hidden

        return jax.grad(prediction, has_aux=True)(image)

    gradient, hidden = sensitivity(normalise_pixels(pairs["image"]))
    patches = (
        np.asarray(gradient).reshape(8, 4, 8, 4, 8).transpose(0, 1, 3, 2, 4).reshape(8, 16, 64)
    )
    assert hidden.sum() == 64
    assert (patches[hidden] == 0).all()
    assert (np.abs(patches[~hidden]).max(-1) > 0).all()


def test_other_hidden_pixels_give_the_very_same_prediction(tiny_model, compiled, pairs):
    _, params, state = tiny_model
    states = np.random.default_rng(0).standard_normal((8, 20, 16)).astype(np.float32)
    predict = compiled.predict_correlation
    numbers = pairs["sentence_of_token"]
    factors, hidden = predict(params, state, pairs["image"], states, numbers, key=KEY)
    blank = np.kron(np.asarray(hidden).reshape(8, 4, 4), np.ones((8, 8))).astype(bool)[..., None]
    other = np.where(blank, 255 - pairs["image"], pairs["image"])
    again, _ = predict(params, state, other, states, numbers, key=KEY)
    np.testing.assert_array_equal(factors, again)


def test_the_report_influences_the_prediction_and_its_padding_does_not(tiny_model, compiled, pairs):
    _, params, state = tiny_model
    numbers = pairs["sentence_of_token"]
    states = np.random.default_rng(0).standard_normal((8, 20, 16)).astype(np.float32)
    predict = compiled.predict_correlation

    def factors(states):
        return predict(params, state, pairs["image"], states, numbers, key=KEY)[0]

    assert (np.abs(factors(states) - factors(np.roll(states, 1, 0))).max((1, 2)) > 1e-3).all()
    padding = (numbers == 0) & (np.arange(20) > 0)
    np.testing.assert_array_equal(
        factors(states), factors(np.where(padding[..., None], 100.0, states))
    )


def test_a_draw_hides_the_same_number_everywhere_and_differs_between_images():
    hiding = draw_hiding(KEY, batch=50, patches=49, ratio=0.5)
    hidden = np.asarray(hiding.hidden)
    np.testing.assert_array_equal(hidden.sum(1), 24)
    assert len(np.unique(hidden, axis=0)) == 50
    assert 0.3 < hidden.mean(0).min() and hidden.mean(0).max() < 0.7
    # The first examples do not depend on how many follow.
    fewer = draw_hiding(KEY, batch=5, patches=49, ratio=0.5).hidden
    np.testing.assert_array_equal(fewer, hidden[:5])


def test_visible_tokens_are_put_back_in_their_places():
    hiding = draw_hiding(KEY, batch=4, patches=9, ratio=0.4)
    tokens = jnp.arange(4 * 9 * 2, dtype=jnp.float32).reshape(4, 9, 2)
    restored = put_back(keep_visible(tokens, hiding), jnp.full(2, -1.0), hiding)
    np.testing.assert_array_equal(restored, np.where(hiding.hidden[..., None], -1, tokens))


def test_hidden_pixels_become_zero():
    image = jnp.ones((1, 4, 6, 1))
    hidden = jnp.array([[True, False, False, False, False, True]])
    np.testing.assert_array_equal(
        hide_pixels(image, hidden, 2)[0, ..., 0],
        [[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0]],
    )


def test_hiding_everything_is_refused():
    with pytest.raises(ValueError, match="mask_ratio=1.0 hides 16 of 16 patches"):
        draw_hiding(KEY, batch=1, patches=16, ratio=1.0)
