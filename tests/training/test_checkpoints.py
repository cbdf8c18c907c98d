"""Checkpoints: the same numbers on any number of devices, one clear line for what does not fit."""

import dataclasses
import errno
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_run

from configs.base import get_config
from data_pipelines.batches import open_data
from data_pipelines.records import BadInput
from place_jax.parallel.mesh import make_mesh
from place_jax.parallel.partition import param_shardings
from place_jax.training import checkpoints, full_disk
from place_jax.training.state import TrainState


def test_the_vocabulary_of_a_run_is_its_newest_checkpoints(phantom_dir, tmp_path):
    run = tiny_run.untrained_run(phantom_dir)
    assert checkpoints.saved_vocabulary(run) == list(open_data(phantom_dir).tokenizer.vocab)
    assert checkpoints.saved_vocabulary(tmp_path) == []


@pytest.fixture
def config():
    return get_config()


@pytest.fixture
def data():
    """What a checkpoint says of a prepared folder."""
    return types.SimpleNamespace(
        dir="DATA",
        image_size=256,
        tokenizer=types.SimpleNamespace(vocab=["[PAD]", "effusion"]),
        manifest={"normaliser_version": 1},
        manifest_hash="abc",
        shareable=True,
        dicom_window="header",
    )


def make_state(step: int, *, rows: int = 16, ema: bool = False) -> TrainState:
    key = jax.random.key(step)
    params = {
        "tower": {"blocks": {"kernel": jax.random.normal(key, (3, rows, 8))}},
        "logit_scale": {"instance": jnp.float32(2.5)},
    }
    return TrainState(
        step=jnp.int32(step),
        params=params,
        model_state={"statistics": {"mean": jnp.arange(8.0)}},
        opt_state=optax.adamw(1e-3).init(params),
        key=jax.random.key(7),
        bad_steps=jnp.int32(1),
        ema_params=jax.tree.map(lambda leaf: leaf + 1, params) if ema else None,
    )


def on_mesh(state: TrainState, devices: int) -> TrainState:
    """The state spread over some devices, as training spreads it."""
    mesh_config = get_config().mesh
    mesh_config.update(data=1, fsdp=-1)
    shardings = param_shardings(state, make_mesh(mesh_config, jax.devices()[:devices]))
    return jax.tree.map(jax.device_put, state, shardings)


def abstract(state: TrainState) -> TrainState:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
    )


def save(workdir, state, config, data, **kwargs) -> None:
    checkpointer = checkpoints.Checkpointer(workdir, **kwargs)
    checkpointer.save(state, checkpoints.describe(config, data, step=int(state.step)))
    checkpointer.close()


def assert_equal(got, expected) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_eight_devices_to_two_to_one(tmp_path, config, data):
    state = make_state(3, ema=True)
    for number, (before, after) in enumerate([(8, 2), (2, 1)]):
        workdir = tmp_path / str(number)
        save(workdir, on_mesh(state, before), config, data)
        wanted = abstract(on_mesh(state, after))
        restored = checkpoints.restore(workdir, wanted, config, data)
        assert_equal(restored, state)
        for leaf, like in zip(jax.tree.leaves(restored), jax.tree.leaves(wanted), strict=True):
            assert leaf.sharding == like.sharding


def test_the_last_ones_are_kept_and_the_newest_restored(tmp_path, config, data):
    for step in (2, 4, 6):
        save(tmp_path, make_state(step), config, data, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["4", "6"]
    assert checkpoints.latest_step(tmp_path) == 6
    restored = checkpoints.restore(tmp_path, abstract(make_state(0)), config, data)
    assert_equal(restored, make_state(6))


def test_saving_asks_nobody_whether_to_stop(tmp_path, config, data, monkeypatch):
    """The loop numbers its questions, and one of another number makes a SIGTERM go unheard."""
    from jax.experimental import multihost_utils

    asked = []
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", asked.append)
    save(tmp_path, make_state(2), config, data)
    assert checkpoints.latest_step(tmp_path) == 2 and not asked


def test_inference_needs_no_other_file(tmp_path, config, data):
    config.data.crop_size = 224
    save(tmp_path, on_mesh(make_state(5), 8), config, data)
    for path in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "5"):
        params, model_state, loaded, metadata = checkpoints.load_for_inference(path)
        assert_equal(params, make_state(5).params)
        assert_equal(model_state, make_state(5).model_state)
        assert loaded.to_dict() == config.to_dict()
        assert metadata["vocabulary"] == ["[PAD]", "effusion"]
        sizes = {"image_size": 256, "crop_size": 224}
        assert metadata["preprocessing"] == sizes | {"dicom_window": "header"}
        assert metadata["data_position"] == {"seed": 0, "step": 5}
        assert metadata["code_revision"] and metadata["manifest_hash"] == "abc"


def test_inference_takes_the_moving_average(tmp_path, config, data):
    config.train.ema_decay = 0.99
    save(tmp_path, make_state(5, ema=True), config, data)
    params, *_ = checkpoints.load_for_inference(tmp_path)
    assert_equal(params, make_state(5, ema=True).ema_params)


def test_a_workdir_may_have_a_number_for_its_name(tmp_path, config, data):
    save(tmp_path / "3", make_state(5), config, data)
    assert checkpoints.find(tmp_path / "3").name == "5"


def test_a_changed_recipe_is_refused_and_a_changed_length_is_not(tmp_path, config, data):
    save(tmp_path, make_state(2), config, data)
    config.train.steps = 5000
    config.mesh.fsdp = 2
    config.evaluation.bootstrap = 7
    assert_equal(
        checkpoints.restore(tmp_path, abstract(make_state(0)), config, data), make_state(2)
    )
    config.optimizer.learning_rate = 0.125
    with pytest.raises(BadInput) as caught:
        checkpoints.restore(tmp_path, abstract(make_state(0)), config, data)
    message = str(caught.value)
    assert "optimizer.learning_rate=0.0001" in message and "0.125" in message
    assert "\n" not in message and "another workdir" in message


def test_other_arrays_are_refused(tmp_path, config, data):
    save(tmp_path, make_state(2), config, data)
    with pytest.raises(BadInput, match=r"kernel is float32\[3, 16, 8\] in it, and .*\[3, 24, 8\]"):
        checkpoints.restore(tmp_path, abstract(make_state(0, rows=24)), config, data)
    with pytest.raises(BadInput, match="not there in it"):
        checkpoints.restore(tmp_path, abstract(make_state(0, ema=True)), config, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manifest_hash": "other"}, "other records"),
        ({"tokenizer": types.SimpleNamespace(vocab=["[PAD]", "edema"])}, "a vocabulary of 2"),
    ],
)
def test_other_data_is_refused(tmp_path, config, data, change, words):
    save(tmp_path, make_state(2), config, data)
    for name, value in change.items():
        setattr(data, name, value)
    with pytest.raises(BadInput, match=words):
        checkpoints.restore(tmp_path, abstract(make_state(0)), config, data)


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(BadInput, match="does not exist"):
        checkpoints.load_for_inference(tmp_path / "nothing")
    with pytest.raises(BadInput, match="holds no finished checkpoint"):
        checkpoints.load_for_inference(tmp_path)
    (tmp_path / "checkpoints" / "9").mkdir(parents=True)
    with pytest.raises(BadInput, match="9 is not a checkpoint of place_jax") as caught:
        checkpoints.load_for_inference(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_room_is_said_before_anything_is_written(tmp_path, config, data, monkeypatch):
    save(tmp_path, make_state(2), config, data, keep=1)
    usage = types.SimpleNamespace(free=100)
    monkeypatch.setattr(full_disk.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(full_disk.DiskFull, match="step 2 is whole") as caught:
        save(tmp_path, make_state(4), config, data, keep=1)
    assert "\n" not in str(caught.value)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["2"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        # What tensorstore raises, in its words.
        ValueError("RESOURCE_EXHAUSTED: Failed to write 60 bytes: No space left on device"),
    ],
)
def test_a_disk_that_fills_up_in_the_middle(tmp_path, config, data, error):
    save(tmp_path, make_state(2), config, data)
    folder = checkpoints.folder_of(tmp_path)
    (folder / "4.orbax-checkpoint-tmp").mkdir()
    with pytest.raises(full_disk.DiskFull, match="no space left .* step 2 is whole"):
        with full_disk.explain_full_disk(folder):
            raise RuntimeError("in the background") from error
    assert [p.name for p in folder.iterdir()] == ["2"]


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(ValueError, match="another"):
        with full_disk.explain_full_disk(checkpoints.folder_of(tmp_path)):
            raise ValueError("another")


def test_every_field_of_a_state_is_saved():
    """A field that restoring forgot would start anew at every stop."""
    assert set(checkpoints._as_dict(make_state(0))) == {
        field.name for field in dataclasses.fields(TrainState)
    }
