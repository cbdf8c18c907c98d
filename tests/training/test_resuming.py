"""Going on from the newest checkpoint that is whole, whichever file of a newer one is damaged."""

import dataclasses
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from configs.base import get_config
from place_jax.training import checkpoints
from place_jax.training.resuming import resume
from place_jax.training.state import TrainState

DATA = types.SimpleNamespace(
    dir="DATA",
    image_size=256,
    tokenizer=types.SimpleNamespace(vocab=["[PAD]", "effusion"]),
    manifest={"normaliser_version": 1},
    manifest_hash="abc",
    shareable=True,
    dicom_window="header",
)


def make_state(step: int) -> TrainState:
    params = {"kernel": jax.random.normal(jax.random.key(step), (64, 64)), "scale": jnp.ones(())}
    zero = jnp.int32(0)
    return TrainState(jnp.int32(step), params, {}, {"mu": params}, jax.random.key(7), zero)


def abstract() -> TrainState:
    sharding = SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), make_state(0)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workdir with the checkpoints of steps 2 and 4."""
    workdir = tmp_path_factory.mktemp("saved")
    checkpointer = checkpoints.Checkpointer(workdir)
    for step in (2, 4):
        description = checkpoints.describe(get_config(), DATA, step=step)
        checkpointer.save(make_state(step), description)
    checkpointer.close()
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def assert_goes_on_from(workdir, step: int) -> None:
    at, state = resume(workdir, abstract(), get_config(), DATA)
    assert at == step
    for got, expected in zip(
        jax.tree.leaves(dataclasses.replace(state, key=0)),
        jax.tree.leaves(dataclasses.replace(make_state(step), key=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)


def files_of(saved, step: int) -> list[str]:
    folder = saved / "checkpoints" / str(step)
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_newest_is_taken(workdir):
    assert_goes_on_from(workdir, 4)
    assert not (workdir / "damaged").exists()


def test_a_new_run_has_none(tmp_path):
    assert resume(tmp_path, abstract(), get_config(), DATA) == (0, None)


@pytest.mark.parametrize("damage", ["cut in half", "emptied", "lost"])
def test_whichever_file_is_damaged_the_last_good_one_is_taken(saved, tmp_path, capsys, damage):
    """A file that nothing is read from may be damaged and the newest be taken all the same."""
    noticed = 0
    for number, name in enumerate(files_of(saved, 4)):
        workdir = tmp_path / str(number)
        shutil.copytree(saved, workdir)
        file = workdir / "checkpoints" / "4" / name
        whole = file.read_bytes()
        file.unlink()
        if damage != "lost":
            file.write_bytes(whole[: len(whole) // 2] if damage == "cut in half" else b"")
        aside = workdir / "damaged" / "4"
        at, _ = resume(workdir, abstract(), get_config(), DATA)
        print("AT", name, len(whole), at)
        assert at == (2 if aside.exists() else 4)
        if aside.exists():
            noticed += 1
            said = capsys.readouterr().out
            assert "checkpoints/4 is" in said and "damaged" in said and str(aside) in said
            assert checkpoints.latest_step(workdir) == 2
        assert_goes_on_from(workdir, at)
    assert noticed >= 3
