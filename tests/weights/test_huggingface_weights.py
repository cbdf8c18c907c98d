"""Weights of the original library give the original library's numbers."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy

from configs.base import get_config
from place_jax.models.functional import Model
from place_jax.weights import safetensors_reader
from place_jax.weights.pretrained import apply_pretrained, check_pretrained

DATA = Path(__file__).parent.parent / "data"
BERT, VIT = DATA / "bert_tiny", DATA / "vit_tiny"


def tiny_config():
    config = get_config()
    config.data.crop_size = 24
    config.model.joint_dim = 8
    sizes = dict(width=24, depth=2, heads=3, mlp_dim=40)
    config.model.image.update(stem="patch", patch_size=8, **sizes)
    config.model.text.update(context="report", max_positions=20, **sizes)
    config.model.observation.update(num_queries=2, width=24, depth=1, heads=3, mlp_dim=8)
    config.model.correlation.update(rank=4, width=24, depth=1, heads=3, mlp_dim=8)
    return config


def make(config, vocab_size=40):
    model = Model.from_config(config.model, image_size=config.data.crop_size, vocab_size=vocab_size)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), params)
    return model, zeros, state


@pytest.fixture(scope="module")
def fresh():
    return make(tiny_config())


def edited(source: Path, folder: Path, edit) -> Path:
    """A copy of a model folder with its tensors edited."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    tensors = edit(safetensors.numpy.load_file(source / "model.safetensors"))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    return folder


def bert_states(model, params, state):
    expected = np.load(BERT / "expected.npz")
    sentence = expected["mask"].astype(np.int32)
    sentence[:, 0] = 0
    outputs = jax.jit(model.encode_texts)(params, state, expected["tokens"], sentence)
    return np.where(expected["mask"][..., None], outputs.token_states, expected["states"])


def test_bert_gives_the_original_states(fresh):
    model, params, state = fresh
    config = tiny_config()
    config.model.text.weights = str(BERT)
    loaded = apply_pretrained(params, config)
    expected = np.load(BERT / "expected.npz")["states"]
    np.testing.assert_allclose(bert_states(model, loaded, state), expected, atol=1e-5)
    assert np.abs(bert_states(model, params, state) - expected).max() > 0.1
    assert loaded["image"] is params["image"]


def test_vit_gives_the_original_patch_tokens(fresh):
    model, params, state = fresh
    config = tiny_config()
    config.model.image.weights = str(VIT)
    expected = np.load(VIT / "expected.npz")
    loaded = apply_pretrained(params, config)
    outputs = jax.jit(model.encode_images)(loaded, state, expected["image"])
    np.testing.assert_allclose(outputs.patch_tokens, expected["patch_tokens"], atol=1e-5)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix("bert."),
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ),
    ],
    ids=["no prefix", "gamma and beta"],
)
def test_bert_under_other_names_is_the_same(fresh, tmp_path, rename):
    model, params, state = fresh
    config = tiny_config()
    config.model.text.weights = str(
        edited(BERT, tmp_path, lambda tensors: {rename(n): t for n, t in tensors.items()})
    )
    expected = np.load(BERT / "expected.npz")["states"]
    np.testing.assert_allclose(
        bert_states(model, apply_pretrained(params, config), state), expected, atol=1e-5
    )


def test_bfloat16_weights_are_read(fresh, tmp_path):
    _, params, _ = fresh
    tensors = safetensors.flax.load_file(BERT / "model.safetensors")
    half = {name: tensor.astype(jnp.bfloat16) for name, tensor in tensors.items()}
    safetensors.flax.save_file(half, tmp_path / "half.safetensors")
    config = tiny_config()
    config.model.text.weights = str(tmp_path / "half.safetensors")
    loaded = apply_pretrained(params, config)["text"]["word_embedding"]["embedding"]
    whole = tensors["bert.embeddings.word_embeddings.weight"]
    assert loaded.dtype == jnp.float32
    np.testing.assert_array_equal(loaded, whole.astype(jnp.bfloat16).astype(jnp.float32))


def test_vit_positions_of_another_resolution_are_interpolated():
    config = tiny_config()
    config.data.crop_size = 48
    config.model.image.weights = str(VIT)
    _, params, _ = make(config)
    position = np.asarray(apply_pretrained(params, config)["image"]["position"])
    stored = safetensors.numpy.load_file(VIT / "model.safetensors")
    grid = stored["vit.embeddings.position_embeddings"][0, 1:].reshape(3, 3, 24)
    assert position.shape == (6, 6, 24)
    corners = np.ix_([0, -1], [0, -1])
    near = np.abs(position[corners] - grid[corners]).mean()
    far = np.abs(position[corners] - grid[corners][::-1, ::-1]).mean()
    assert near < 0.5 * far


def test_sharding_of_the_parameters_is_kept(fresh):
    _, params, _ = fresh
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    embedding = {
        "embedding": jax.device_put(params["text"]["word_embedding"]["embedding"], sharding)
    }
    params = params | {"text": params["text"] | {"word_embedding": embedding}}
    config = tiny_config()
    config.model.text.weights = str(BERT)
    loaded = apply_pretrained(params, config)["text"]["word_embedding"]["embedding"]
    assert loaded.sharding == sharding


def drop(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


def add(name):
    return lambda tensors: tensors | {name: np.zeros(2, np.float32)}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            drop("bert.encoder.layer.1.output.dense.bias"),
            "misses encoder.layer.1.output.dense.bias",
        ),
        (
            add("bert.encoder.layer.2.output.dense.bias"),
            "besides encoder.layer.2.output.dense.bias",
        ),
    ],
    ids=["missing", "unexpected"],
)
def test_names_that_do_not_fit_are_named(fresh, tmp_path, edit, said):
    config = tiny_config()
    config.model.text.weights = str(edited(BERT, tmp_path, edit))
    with pytest.raises(ValueError, match=said):
        apply_pretrained(fresh[1], config)


def test_another_vocabulary_is_refused():
    config = tiny_config()
    config.model.text.weights = str(BERT)
    _, params, _ = make(config, vocab_size=41)
    with pytest.raises(
        ValueError, match="vocabulary of 40, the data one of 41: run place tokenize"
    ):
        apply_pretrained(params, config)


def test_another_number_of_heads_is_refused(fresh):
    config = tiny_config()
    config.model.text.update(weights=str(BERT), heads=4)
    with pytest.raises(ValueError, match="num_attention_heads=3, the model 4"):
        apply_pretrained(fresh[1], config)


def test_the_wrong_stem_is_refused(fresh):
    config = tiny_config()
    config.model.image.update(weights=str(VIT), stem="conv")
    with pytest.raises(ValueError, match="needs model.image.stem='patch', not 'conv'"):
        apply_pretrained(fresh[1], config)


def test_weights_of_a_bucket_are_copied_from_it(monkeypatch):
    own = safetensors_reader.read_tensors(BERT)
    monkeypatch.setattr(safetensors_reader, "is_remote", lambda path: True)
    copied = safetensors_reader.read_tensors(BERT)
    assert own.keys() == copied.keys()
    assert all((own[name] == copied[name]).all() for name in own)


def test_what_is_not_there_is_said_before_training():
    config = tiny_config()
    config.model.text.weights = str(BERT)
    check_pretrained(config)
    config.model.image.weights = str(BERT / "none")
    with pytest.raises(ValueError, match="model.image.weights: .*none does not exist"):
        check_pretrained(config)


def test_pickles_absent_and_broken_files_are_refused(fresh, tmp_path):
    config = tiny_config()
    pickle = tmp_path / "pytorch_model.bin"
    pickle.write_bytes(b"\x80\x02")
    (tmp_path / "config.json").write_text(json.dumps({}))
    broken = tmp_path / "cut.safetensors"
    broken.write_bytes((BERT / "model.safetensors").read_bytes()[:1000])
    for path, said in [
        (pickle, "torch pickle, .*convert it to safetensors"),
        (tmp_path, "torch pickle, .*convert it to safetensors"),
        (tmp_path / "none.safetensors", "does not exist"),
        (broken, "is no whole safetensors file"),
    ]:
        config.model.text.weights = str(path)
        with pytest.raises(ValueError, match=said) as caught:
            apply_pretrained(fresh[1], config)
        assert "\n" not in str(caught.value)
