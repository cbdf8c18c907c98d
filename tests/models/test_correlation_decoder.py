"""CCE's honesty: what is hidden cannot be seen, and what the report says can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from place_jax.models.functional import Model, normalise_pixels
from place_jax.models.hiding import (
    HideAt,
    Layout,
    draw_hiding,
    hide_pixels,
    keep_visible,
    put_back,
)
from place_jax.models.principal_factors import principal_factors

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
    assert hidden.sum() == 8 * 12  # three quarters of 16 patches
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
    hiding = draw_hiding(KEY, batch=50, grid=(7, 7), ratio=0.5)
    hidden = np.asarray(hiding.hidden)
    np.testing.assert_array_equal(hidden.sum(1), 24)
    assert len(np.unique(hidden, axis=0)) == 50
    assert 0.3 < hidden.mean(0).min() and hidden.mean(0).max() < 0.7
    # The first examples do not depend on how many follow.
    fewer = draw_hiding(KEY, batch=5, grid=(7, 7), ratio=0.5).hidden
    np.testing.assert_array_equal(fewer, hidden[:5])


def test_visible_tokens_are_put_back_in_their_places():
    hiding = draw_hiding(KEY, batch=4, grid=(3, 3), ratio=0.4)
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


def test_a_block_hangs_together_and_a_side_is_a_half():
    def hidden(layout):
        draw = draw_hiding(KEY, batch=40, grid=(6, 8), ratio=0.5, layout=layout)
        np.testing.assert_array_equal(draw.hidden.sum((1,)), 24)
        return np.asarray(draw.hidden).reshape(40, 6, 8)

    def borders(layout):
        """Neighbours of which one is hidden and the other is not, as a share of all neighbours."""
        return np.mean(np.diff(hidden(layout), axis=1)), np.mean(np.diff(hidden(layout), axis=2))

    assert max(borders(Layout.BLOCK)) < 0.25 < 0.4 < min(borders(Layout.SCATTERED))
    left = hidden(Layout.SIDE)[:, :, :4].mean((1, 2))
    assert set(left) == {0.0, 1.0} and 0.2 < left.mean() < 0.8


def test_what_is_hidden_later_is_seen_by_more(tiny_config, pairs):
    """Hidden after the blocks, a patch's neighbours have seen it, and the whole image's tokens do;
    hidden after the stem, it is seen by none but through the stem's windows."""
    found = {}
    for hide_at in ("input", "stem", "blocks"):
        model = Model.from_config(
            tiny_config(correlation__hide_at=hide_at), image_size=32, vocab_size=50
        )
        params, state = model.init(KEY)
        place = nnx.merge(model.graphdef, params, state)
        image = normalise_pixels(pairs["image"])
        hiding = draw_hiding(KEY, batch=8, grid=(4, 4), ratio=0.5)
        found[hide_at] = np.asarray(place.image(image, hiding, HideAt(hide_at)))
        if hide_at == "blocks":
            whole = place.image(image)
            np.testing.assert_allclose(found["blocks"], keep_visible(whole, hiding), atol=1e-6)
            states = jnp.zeros((8, 20, 16))
            args = (image, states, pairs["sentence_of_token"], KEY)
            for tokens in (None, whole):
                factors, _ = place.correlation_factors(*args, tokens)
                found.setdefault("factors", factors)
                np.testing.assert_allclose(found["factors"], factors, atol=1e-5)
    assert np.abs(found["input"] - found["stem"]).max() > 1e-3
    assert np.abs(found["stem"] - found["blocks"]).max() > 1e-3


def test_with_everything_hidden_only_the_report_tells(tiny_config, pairs):
    model = Model.from_config(
        tiny_config(correlation__mask_ratio=1.0), image_size=32, vocab_size=50
    )
    params, state = jax.jit(model.init)(KEY)
    states = np.random.default_rng(0).standard_normal((8, 20, 16)).astype(np.float32)
    numbers = pairs["sentence_of_token"]
    predict = jax.jit(model.predict_correlation)
    factors, hidden = predict(params, state, pairs["image"], states, numbers, key=KEY)
    assert hidden.all()
    other, _ = predict(params, state, 255 - pairs["image"], states, numbers, key=KEY)
    np.testing.assert_array_equal(factors, other)
    rolled, _ = predict(params, state, pairs["image"], np.roll(states, 1, 0), numbers, key=KEY)
    assert np.abs(rolled - factors).max() > 1e-3


def test_an_unconditioned_decoder_reads_no_report(tiny_config, pairs):
    model = Model.from_config(
        tiny_config(correlation__condition="none"), image_size=32, vocab_size=50
    )
    params, state = jax.jit(model.init)(KEY)
    states = np.random.default_rng(0).standard_normal((8, 20, 16)).astype(np.float32)
    predict = jax.jit(model.predict_correlation)
    args = params, state, pairs["image"]
    factors, _ = predict(*args, states, pairs["sentence_of_token"], key=KEY)
    again, _ = predict(*args, 3 * states + 1, pairs["sentence_of_token"], key=KEY)
    np.testing.assert_array_equal(factors, again)
    assert "cross_attention" not in params["correlation"]["blocks"]


@pytest.mark.parametrize("form", ["low_rank", "low_rank_plus_diagonal", "free"])
def test_rows_are_unit_within_the_ball_or_free(tiny_config, pairs, form):
    config = tiny_config(correlation__form=form)
    model = Model.from_config(config, image_size=32, vocab_size=50)
    params, state = jax.jit(model.init)(KEY)
    kernel = 50 * params["correlation"]["factors"]["kernel"]
    loud = params | {
        "correlation": params["correlation"]
        | {"factors": {"kernel": kernel} | {"bias": params["correlation"]["factors"]["bias"]}}
    }
    states = np.zeros((8, 20, 16), np.float32)
    predict = jax.jit(model.predict_correlation)
    first, later = (
        np.linalg.norm(
            predict(p, state, pairs["image"], states, pairs["sentence_of_token"], key=KEY)[0],
            axis=-1,
        )
        for p in (params, loud)
    )
    if form == "low_rank":
        np.testing.assert_allclose(first, 1, atol=1e-5)
    else:
        assert first.max() < 0.6
    assert later.max() > 2 if form == "free" else 0.9 < later.max() <= 1 + 1e-5


def test_rows_of_every_form_equal_their_formula(tiny_config, pairs):
    """Of one and the same decoder: as they are, of unit length, or y / sqrt(1 + |y|^2)."""
    states = np.random.default_rng(1).standard_normal((8, 20, 16)).astype(np.float32)
    rows = {}
    for form in ("free", "low_rank", "low_rank_plus_diagonal"):
        config = tiny_config(correlation__form=form)
        model = Model.from_config(config, image_size=32, vocab_size=50)
        if not rows:
            params, state = jax.jit(model.init)(KEY)
            kernel = 6 * params["correlation"]["factors"]["kernel"]
            factors = params["correlation"]["factors"] | {"kernel": kernel}
            params = params | {"correlation": params["correlation"] | {"factors": factors}}
        args = state, pairs["image"], states, pairs["sentence_of_token"]
        rows[form] = jax.jit(model.predict_correlation)(params, *args, key=KEY)[0]
    y = np.float64(rows["free"])
    length = np.linalg.norm(y, axis=-1, keepdims=True)
    assert length.min() < 1 < length.max()
    np.testing.assert_allclose(rows["low_rank"], y / length, atol=1e-5)
    np.testing.assert_allclose(
        rows["low_rank_plus_diagonal"], y / np.sqrt(1 + length**2), atol=1e-5
    )


def drawn_mean(form):
    """[16, 16] of rank 3, such as a form can make."""
    rows = 0.6 * np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    if form == "low_rank_plus_diagonal":
        rows = rows / np.sqrt(1 + (rows**2).sum(1, keepdims=True))
    return rows @ rows.T


def test_a_mean_matrix_is_what_is_predicted_first_of_every_image(tiny_config, pairs):
    config = tiny_config(correlation__start="mean", correlation__rank=8)
    model = Model.from_config(config, image_size=32, vocab_size=50)
    params, state = jax.jit(model.init)(KEY)
    mean = drawn_mean("low_rank_plus_diagonal")
    started = jax.jit(model.start_correlation)(params, mean)
    states = np.random.default_rng(1).standard_normal((8, 20, 16)).astype(np.float32)
    args = state, pairs["image"], states, pairs["sentence_of_token"]
    factors, _ = jax.jit(model.predict_correlation)(started, *args, key=KEY)
    error = (np.einsum("bnr,bmr->bnm", factors, factors) - mean)[:, ~np.eye(16, dtype=bool)]
    assert np.abs(error).max() < 0.1
    assert np.square(error).mean() < 0.02 * np.square(mean).mean()


@pytest.mark.parametrize("form", ["low_rank_plus_diagonal", "free"])
def test_half_of_the_rank_holds_the_mean_matrix(tiny_config, form):
    config = tiny_config(correlation__form=form, correlation__start="mean", correlation__rank=7)
    model = Model.from_config(config, image_size=32, vocab_size=50)
    params = {"correlation": {"mean_rows": np.zeros((4, 4, 7), np.float32)}}
    rows = np.asarray(model.start_correlation(params, drawn_mean(form))["correlation"]["mean_rows"])
    rows = rows.reshape(16, 7)
    assert np.any(rows[:, :4], axis=0).all() and not np.any(rows[:, 4:])
    if form == "low_rank_plus_diagonal":
        rows = rows / np.sqrt(1 + (rows**2).sum(1, keepdims=True))
    own = np.eye(16, dtype=bool)
    np.testing.assert_allclose((rows @ rows.T)[~own], drawn_mean(form)[~own], atol=0.02)


def test_principal_factors_find_a_matrix_off_its_diagonal_and_keep_their_length():
    rows = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    rows *= 0.8 / np.linalg.norm(rows, axis=1, keepdims=True)
    own = np.eye(30, dtype=bool)
    matrix = np.where(own, 99.0, rows @ rows.T).astype(np.float32)
    found = np.asarray(jax.jit(lambda m: principal_factors(m, 6, longest=0.9))(matrix))
    assert found.shape == (30, 6)
    np.testing.assert_allclose((found @ found.T)[~own], matrix[~own], atol=0.02)
    short = np.asarray(principal_factors(jnp.asarray(matrix), 6, longest=0.5))
    assert np.linalg.norm(short, axis=1).max() <= 0.5 + 1e-6


def test_features_of_the_moving_average_are_a_target_without_gradient(tiny_config, pairs):
    config = tiny_config(correlation__target="ema_features")
    model = Model.from_config(config, image_size=32, vocab_size=50)
    params, state = jax.jit(model.init)(KEY)
    average = jax.tree.map(lambda p: 0.9 * p, params)
    apply = jax.jit(model.apply)
    outputs = apply(params, state, pairs, key=KEY, target_params=average)
    tokens = apply(average, state, pairs).patch_tokens
    np.testing.assert_allclose(outputs.target_tokens, tokens, atol=1e-5)
    own = apply(params, state, pairs, key=KEY)
    np.testing.assert_allclose(own.target_tokens, own.patch_tokens, atol=1e-5)

    def total(params):
        return jnp.sum(model.apply(params, state, pairs, key=KEY).target_tokens)

    gradient = jax.jit(jax.grad(total))(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
