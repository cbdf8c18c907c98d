"""The door to the models: plain arrays in, Outputs out, nothing recompiled, nothing untrained."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from place_jax.models.functional import Model, normalise_pixels

KEY = jax.random.key(7)


def total(outputs):
    """A scalar that depends on every output."""
    return sum(jnp.sum(jnp.sin(leaf.astype(jnp.float32))) for leaf in jax.tree.leaves(outputs))


def test_outputs_have_the_documented_shapes_and_unit_rows(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    outputs = compiled.apply(params, state, pairs, key=KEY)
    shapes = {
        name: getattr(outputs, name).shape
        for name in outputs.__dataclass_fields__
        if name not in ("logit_scales", "logit_biases") and getattr(outputs, name) is not None
    }
    assert shapes == {
        "image_embedding": (8, 8),
        "patch_tokens": (8, 16, 16),
        "v_por": (8, 3, 8),
        "v_por_attention": (8, 3, 16),
        "report_embedding": (8, 8),
        "t_por": (8, 4, 8),
        "token_states": (8, 20, 16),
        "correlation_factors": (8, 16, 5),
        "hidden_patches": (8, 16),
    }
    for rows in ("image_embedding", "v_por", "report_embedding", "t_por"):
        # An absent sentence has no vector yet: no feature, and no bias before training.
        present = pairs["sentence_mask"] if rows == "t_por" else 1
        np.testing.assert_allclose(
            np.linalg.norm(getattr(outputs, rows), axis=-1), present, atol=1e-5, err_msg=rows
        )
    np.testing.assert_allclose(outputs.v_por_attention.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(outputs.hidden_patches.sum(-1), 12)  # of 16
    assert {name: round(float(s), 3) for name, s in outputs.logit_scales.items()} == {
        "instance": 14.286,
        "pathological": 14.286,
    }


def test_parameters_are_plain_strongly_typed_float32(tiny_model):
    _, params, model_state = tiny_model
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert all(isinstance(key, jax.tree_util.DictKey) for key in path)
        assert all(isinstance(key.key, str) for key in path)
        assert leaf.dtype == jnp.float32 and not leaf.weak_type
    assert model_state == {}
    assert params["text"]["blocks"]["mlp"]["up"]["kernel"].shape == (2, 16, 24)


def test_model_is_static(tiny_config):
    one, other, third = (
        Model.from_config(tiny_config(), image_size=size, vocab_size=9) for size in (32, 32, 64)
    )
    assert one == other and hash(one) == hash(other)
    assert one != third


def test_every_parameter_is_trained_and_a_second_step_compiles_nothing(tiny_model, pairs):
    model, params, state = tiny_model
    gradient = jax.grad(lambda params, key: total(model.apply(params, state, pairs, key=key)))
    step = jax.jit(gradient, compiler_options={"xla_backend_optimization_level": 0})
    pairs = {name: field.copy() for name, field in pairs.items()}
    for field in pairs.values():
        field[7] = 0  # a padded row: a black image and no sentence
    gradients = step(params, KEY)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert np.isfinite(leaf).all(), name
        # A constant added to all keys of a query changes no softmax.
        if not name.endswith("key/bias"):
            assert np.abs(leaf).max() > 1e-6, name
    params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients)
    step(params, jax.random.fold_in(KEY, 1))
    assert step._cache_size() == 1


def test_the_parts_alone_equal_the_whole(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    whole = compiled.apply(params, state, pairs, key=KEY)
    images = compiled.encode_images(params, state, pairs["image"])
    texts = compiled.encode_texts(
        params, state, pairs["tokens"], pairs["sentence_of_token"], num_sentences=4
    )
    np.testing.assert_allclose(images.v_por, whole.v_por, atol=1e-5)
    np.testing.assert_allclose(images.image_embedding, whole.image_embedding, atol=1e-5)
    np.testing.assert_allclose(texts.t_por, whole.t_por, atol=1e-5)
    np.testing.assert_allclose(texts.report_embedding, whole.report_embedding, atol=1e-5)
    factors, hidden = compiled.predict_correlation(
        params, state, pairs["image"], whole.token_states, pairs["sentence_of_token"], key=KEY
    )
    np.testing.assert_allclose(factors, whole.correlation_factors, atol=1e-5)
    np.testing.assert_array_equal(hidden, whole.hidden_patches)
    without = jax.eval_shape(model.apply, params, state, pairs)
    assert without.correlation_factors is None and without.hidden_patches is None


def test_encode_texts_has_room_for_every_sentence(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    texts = compiled.encode_texts(params, state, pairs["tokens"], pairs["sentence_of_token"])
    whole = compiled.apply(params, state, pairs)
    assert texts.t_por.shape == (8, 19, 8)
    np.testing.assert_allclose(texts.t_por[:, :4], whole.t_por, atol=1e-5)


def test_padding_changes_nothing(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    apply = compiled.apply
    longer = dict(pairs)
    for name, value in (("tokens", 3), ("sentence_of_token", 0)):
        longer[name] = np.pad(pairs[name], ((0, 0), (0, 6)), constant_values=value)
    longer["sentence_mask"] = np.pad(pairs["sentence_mask"], ((0, 0), (0, 2)))
    plain, padded = (apply(params, state, batch, key=KEY) for batch in (pairs, longer))
    for name in ("report_embedding", "correlation_factors"):
        np.testing.assert_allclose(getattr(padded, name), getattr(plain, name), atol=1e-6)
    present = pairs["sentence_mask"][..., None]
    np.testing.assert_allclose(padded.t_por[:, :4] * present, plain.t_por * present, atol=1e-6)
    assert np.isfinite(padded.t_por).all()


def test_eight_devices_give_what_one_gives(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(pairs, jax.NamedSharding(mesh, jax.P("data")))
    apply = compiled.apply
    one, eight = (apply(params, state, batch, key=KEY) for batch in (pairs, sharded))
    np.testing.assert_array_equal(one.hidden_patches, eight.hidden_patches)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, eight)


def test_bfloat16_towers_keep_float32_where_it_matters(compiled, tiny_model, tiny_config, pairs):
    model, params, state = tiny_model
    half = Model.from_config(tiny_config(dtype="bfloat16"), image_size=32, vocab_size=50)
    quick = {"xla_backend_optimization_level": 0}
    abstract = jax.eval_shape(functools.partial(half.apply, key=KEY), params, state, pairs)
    assert abstract.patch_tokens.dtype == abstract.token_states.dtype == jnp.bfloat16
    for name in ("image_embedding", "v_por", "v_por_attention", "t_por", "correlation_factors"):
        assert getattr(abstract, name).dtype == jnp.float32, name
    encode = jax.jit(half.encode_images, compiler_options=quick)
    outputs = encode(params, state, pairs["image"])
    whole = compiled.encode_images(params, state, pairs["image"])
    cosine = jnp.sum(outputs.image_embedding * whole.image_embedding, -1)
    assert cosine.min() > 0.99


def test_float64_goes_all_the_way(tiny_config, pairs):
    with jax.enable_x64(True):
        config = tiny_config(dtype="float64", param_dtype="float64")
        model = Model.from_config(config, image_size=32, vocab_size=50)
        params, state = jax.eval_shape(model.init, jax.random.key(0))
        outputs = jax.eval_shape(functools.partial(model.apply, key=KEY), params, state, pairs)
    floats = [x for x in jax.tree.leaves((params, outputs)) if x.dtype != bool]
    assert {x.dtype.name for x in floats} == {"float64"}


def test_another_resolution_is_taken(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    image = np.kron(pairs["image"][..., 0], np.ones((1, 2, 2), np.uint8))[..., None]
    outputs = compiled.encode_images(params, state, image)
    assert outputs.patch_tokens.shape == (8, 64, 16)
    states = np.zeros((8, 20, 16), np.float32)
    numbers = pairs["sentence_of_token"]
    predict = functools.partial(model.predict_correlation, key=KEY)
    factors, _ = jax.eval_shape(predict, params, state, image, states, numbers)
    assert factors.shape == (8, 64, 5)


def test_calibration_centres_features_and_leaves_padded_rows_out(compiled, tiny_model, pairs):
    model, params, state = tiny_model
    padded = {k: np.concatenate([v, v[:2]]) for k, v in pairs.items()}
    padded["image"][8:] = 255
    padded["example_mask"] = np.arange(10) < 8
    calibrate = compiled.calibrate
    new, same = calibrate(params, state, pairs), calibrate(params, state, padded)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), new, same)
    tokens = compiled.encode_images(params, state, pairs["image"]).patch_tokens
    head = new["image_projection"]
    standard = (tokens.mean(1) - head["shift"]) * head["scale"]
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(0), 1, atol=1e-3)
    assert jax.tree.structure(new) == jax.tree.structure(params)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(new))

    def spread(params):
        embedding = compiled.encode_images(params, state, pairs["image"]).image_embedding
        return float((embedding @ embedding.T).mean())

    assert spread(new) < 0.3 < 0.8 < spread(params)


def test_pixels_reach_from_minus_one_to_one():
    np.testing.assert_allclose(normalise_pixels(np.array([0, 255], np.uint8)), [-1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"image__stem": "resnet"}, "model.image.stem='resnet' is not known: use patch or conv"),
        ({"text__heads": 3}, "width=16 does not split into heads=3"),
        ({"image__patch_size": 12}, "crop_size=32 does not cut into patches of 12"),
        ({"dtype": "float16"}, "model.dtype='float16': use float32, bfloat16 or float64"),
        ({"dtype": "float64"}, "needs jax_enable_x64"),
    ],
)
def test_sizes_and_options_that_do_not_fit_are_named(tiny_config, overrides, said):
    with pytest.raises(ValueError, match=said):
        Model.from_config(tiny_config(**overrides), image_size=32, vocab_size=50)


def test_models_import_without_tensorflow():
    code = (
        "import sys, place_jax.models.functional, place_jax.weights.pretrained;"
        "sys.exit('tensorflow' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
