"""Checkpoints: all of a TrainState, and beside it all that another program needs to use it.

`workdir/checkpoints/STEP` is written aside and renamed by orbax; its custom metadata is the
`metadata` of `describe`. Saving is asynchronous. The newest that was finished is restored.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath
from jax import Array
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from data_pipelines.outages import is_outage
from data_pipelines.records import BadInput
from place_jax import configuration
from place_jax.parallel.partition import path_string
from place_jax.training.full_disk import check_room, explain_full_disk
from place_jax.training.state import TrainState
from place_jax.training.workdir import as_path, is_remote

FOLDER = "checkpoints"
# What a run may change when it goes on: nothing that a trained array or the data order hangs on.
MAY_CHANGE = (
    "data.dir", "train.steps", "train.log_every", "train.eval_every", "train.checkpoint_every",
    "train.keep_checkpoints", "train.max_bad_steps", "train.hang_seconds", "train.profile_",
    "train.compilation_cache", "train.accumulation", "evaluation.", "mesh.", "model.remat",
    "loss.contrast", "loss.memory_bytes",
    "model.image.weights", "model.text.weights",
)  # fmt: skip

_LAST_FILE = "commit_success.txt"
_NO_ANSWER = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE", "DEADLINE_EXCEEDED")


def _as_dict(state: TrainState) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}


class Checkpointer:
    """Saves the states of one run.

    Attributes:
      saved: the newest step that was saved, or is being saved; None before the first.
    """

    def __init__(self, workdir: str | os.PathLike, *, keep: int = 2):
        from orbax.checkpoint import v1 as ocp

        self.folder = _absolute(workdir) / FOLDER
        policies = ocp.training
        # Its own policy saves continuously; here the loop alone decides, by `force`.
        self._checkpointer = ocp.training.Checkpointer(
            self.folder,
            save_decision_policy=policies.save_decision_policies.SpecificStepsPolicy(steps=()),
            preservation_policy=policies.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )
        # Orbax asks JAX too whether to stop, by the step that it saves. JAX knows the last question
        # alone, and says yes to one later question exactly: two who number theirs apart miss it.
        self._checkpointer._manager.reached_preemption = lambda step: False
        self.saved = latest_step(workdir)

    def save(self, state: TrainState, metadata: Mapping[str, Any]) -> None:
        """Starts saving; the state may be donated as soon as this returns.

        Raises:
          DiskFull: there is no room for it, or was none for what was being saved before.
        """
        step = int(state.step)
        if step == self.saved:
            return
        arrays = _as_dict(state)
        with explain_full_disk(self.folder):
            self._checkpointer.wait()
            check_room(self.folder, sum(leaf.nbytes for leaf in jax.tree.leaves(arrays)))
            self._checkpointer.save_checkpointables_async(
                step, {"state": arrays}, force=True, custom_metadata=dict(metadata)
            )
        self.saved = step

    def wait(self) -> None:
        """Returns when what was being saved is on disk."""
        with explain_full_disk(self.folder):
            self._checkpointer.wait()

    def close(self) -> None:
        """Waits, and ends its threads."""
        with explain_full_disk(self.folder):
            self._checkpointer.close()


class Damaged(BadInput):
    """A checkpoint that was cut short, or has lost files, after it was finished."""


def _alone(*, partial: bool = False):
    """A context of orbax that waits for no other process: each reads what its devices hold.

    Args:
      partial: whether only a part of the checkpoint is read.
    """
    from orbax.checkpoint import v1 as ocp

    context = ocp.Context()
    context.pytree.loading.partial_load = partial
    if jax.process_count() > 1:
        process = jax.process_index()
        context.multiprocessing.primary_host = process
        context.multiprocessing.active_processes = {process}
        context.multiprocessing.barrier_sync_key_prefix = f"process{process}"
    return context


def restore(
    workdir: str | os.PathLike, abstract: TrainState, config: ConfigDict, data
) -> TrainState:
    """The newest state, laid out as `abstract` says, whatever mesh it was saved from.

    Args:
      workdir: of the run.
      abstract: with a sharding at every leaf.
      config: of the run that goes on.
      data: PreparedData likewise.

    Raises:
      BadInput: it was trained with another model, recipe or data.
      Damaged: it cannot be read.
    """
    from orbax.checkpoint import v1 as ocp

    checkpoint = find(workdir)
    metadata = read_metadata(checkpoint)
    check_config(metadata, config, checkpoint)
    check_data(metadata, data, checkpoint)
    wanted = _as_dict(abstract)
    with _alone(), _damage_is_said(checkpoint):
        saved = ocp.checkpointables_metadata(checkpoint).metadata["state"]
    if saved is None:  # so orbax says of a file of names and shapes that it cannot read
        raise Damaged("damaged_checkpoint", f"{checkpoint} is damaged (no shapes of its arrays)")
    check_arrays(saved, wanted, checkpoint)
    with _alone(), _damage_is_said(checkpoint):
        loaded = ocp.load_checkpointables(checkpoint, {"state": wanted})["state"]
    return jax.tree.map(_lay_out, TrainState(**loaded), abstract)


def _lay_out(leaf: Array, like: jax.ShapeDtypeStruct) -> Array:
    """A key comes back with a sharding that is equal in effect only, which would compile anew."""
    if leaf.sharding == like.sharding:
        return leaf
    # Not device_put: with several hosts it takes no key to devices of others.
    return jax.jit(lambda same: same, out_shardings=like.sharding)(leaf)


@contextlib.contextmanager
def _damage_is_said(checkpoint: epath.Path) -> Iterator[None]:
    """Turns the many faces of a file that is cut short or missing into Damaged.

    A disk or bucket that does not answer is no damage.
    """
    try:
        yield
    except Exception as error:
        refused = any(word in str(error) for word in _NO_ANSWER)
        if isinstance(error, PermissionError | MemoryError) or refused or is_outage(error):
            raise
        raise Damaged(
            "damaged_checkpoint", f"{checkpoint} is damaged ({_first_line(error)})"
        ) from error


def read_metadata(checkpoint: epath.Path) -> dict[str, Any]:
    """The metadata saved beside a state.

    Raises:
      Damaged: it cannot be read, or is no checkpoint of this program.
    """
    from orbax.checkpoint import v1 as ocp

    with _alone(), _damage_is_said(checkpoint):
        metadata = ocp.checkpointables_metadata(checkpoint).custom_metadata
    if not metadata or "config" not in metadata:
        raise Damaged(
            "not_a_checkpoint",
            f"{checkpoint} is not a checkpoint of place_jax, or its metadata is damaged",
        )
    return metadata


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def check_config(metadata: Mapping[str, Any], config: ConfigDict, checkpoint: epath.Path) -> None:
    """Raises BadInput at the first value that a run may not change when it goes on."""
    saved = dict(configuration.flatten(metadata["config"]))
    for key, value in configuration.flatten(config):
        if key.startswith(MAY_CHANGE) or saved.get(key) == value:
            continue
        raise BadInput(
            "another_model",
            f"{checkpoint} was trained with {key}={saved.get(key)!r} and this config says "
            f"{value!r}: set it back, or choose another workdir",
        )


def check_data(metadata: Mapping[str, Any], data, checkpoint: epath.Path) -> None:
    """Raises BadInput where the prepared folder holds other records or another vocabulary."""
    if metadata["vocabulary"] != list(data.tokenizer.vocab):
        what = f"a vocabulary of {len(metadata['vocabulary'])} word pieces that is not that of"
    elif metadata["manifest_hash"] != data.manifest_hash:
        what = "other records than those of"
    else:
        return
    raise BadInput(
        "another_data",
        f"{checkpoint} was trained on {what} data.dir={data.dir!r}: give the folder that it was "
        "trained on, or choose another workdir",
    )


def check_arrays(saved, wanted, checkpoint: epath.Path) -> None:
    """Raises BadInput at the first array that is missing, or has another shape or dtype."""

    def shapes(tree) -> dict[str, str]:
        found = {}
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                leaf = jax.eval_shape(jax.random.key_data, leaf)  # as it is stored
            found[path_string(path)] = f"{leaf.dtype}{list(leaf.shape)}"
        return found

    there, here = shapes(saved), shapes(wanted)
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise BadInput(
                "another_model",
                f"{checkpoint} is of another model: {name} is {there.get(name, 'not there')} in "
                f"it, and {here.get(name, 'not there')} in this version of place_jax: choose "
                "another workdir, or the version that it was trained with",
            )


def _steps(folder: epath.Path) -> list[int]:
    """Finished checkpoints of a folder.

    What is being written has a longer name on a disk, and lacks orbax's last file in a bucket,
    where nothing can be renamed at once.
    """
    if not folder.exists():
        return []
    found = [path for path in folder.iterdir() if path.name.isdigit()]
    if is_remote(folder):
        found = [path for path in found if (path / _LAST_FILE).exists()]
    return [int(path.name) for path in found]


def folder_of(workdir: str | os.PathLike) -> epath.Path:
    """Where a run's checkpoints are."""
    return epath.Path(workdir) / FOLDER


def finished_steps(workdir: str | os.PathLike) -> list[int]:
    """The steps of a run's finished checkpoints, in no order."""
    return _steps(folder_of(workdir))


def saved_vocabulary(workdir: str | os.PathLike) -> list[str]:
    """The word pieces that a run goes on with: of its newest checkpoint that is whole, or none.

    The prepared folder may have got another vocabulary since, beside the run's own.
    """
    for step in sorted(finished_steps(workdir), reverse=True):
        with contextlib.suppress(Damaged):
            return read_metadata(_absolute(folder_of(workdir)) / str(step))["vocabulary"]
    return []


def latest_step(workdir: str | os.PathLike) -> int | None:
    """The newest finished checkpoint's step, or None."""
    return max(_steps(folder_of(workdir)), default=None)


def _absolute(path: str | os.PathLike) -> epath.Path:
    """Orbax takes no relative path."""
    return epath.Path(as_path(path))


def find(path: str | os.PathLike) -> epath.Path:
    """A workdir, its checkpoints folder, or one checkpoint -> the (newest) checkpoint.

    Raises:
      BadInput: there is none.
    """
    path = _absolute(path)
    if not path.exists():
        raise BadInput(
            "no_checkpoint", f"{path} does not exist: give a workdir or a checkpoints/STEP folder"
        )
    folder = path / FOLDER if (path / FOLDER).exists() else path
    if steps := _steps(folder):
        return folder / str(max(steps))
    if path.name.isdigit() and path.parent.name == FOLDER:
        return path
    raise BadInput(
        "no_checkpoint",
        f"{path} holds no finished checkpoint: give a workdir that `place train` has saved in, or "
        "a checkpoints/STEP folder",
    )


def load_for_inference(
    path: str | os.PathLike,
) -> tuple[dict, dict, ConfigDict, dict[str, Any]]:
    """Reads what a trained model is, with no other file; on this process's first device.

    The moving average of the parameters is taken where one was kept.

    Returns:
      params, model_state, the config, and the metadata.

    Raises:
      BadInput: there is none, or it is damaged.
    """
    from orbax.checkpoint import v1 as ocp

    checkpoint = find(path)
    metadata = read_metadata(checkpoint)
    config = configuration.from_json(configuration.to_json(ConfigDict(metadata["config"])))
    wanted = "ema_params" if config.train.ema_decay > 0 else "params"
    with _alone(), _damage_is_said(checkpoint):
        tree = ocp.checkpointables_metadata(checkpoint).metadata["state"]
    sharding = SingleDeviceSharding(jax.local_devices()[0])

    def describe(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    state = {
        name: jax.tree.map(describe, tree[name]) for name in (wanted, "model_state") if name in tree
    }
    with _alone(partial=True), _damage_is_said(checkpoint):
        loaded = ocp.load_checkpointables(checkpoint, {"state": state})["state"]
    return loaded[wanted], loaded.get("model_state") or {}, config, metadata


def describe(config: ConfigDict, data, *, step: int) -> dict[str, Any]:
    """The metadata of a checkpoint, as JSON: Predictor needs no other file.

    Args:
      config: as resolved.
      data: PreparedData.
      step: the data position: batches are a function of the seed and the step alone.
    """
    return {
        "config": config.to_dict(),
        "data_position": {"seed": config.seed, "step": step},
        "preprocessing": {
            "image_size": data.image_size,
            "crop_size": config.data.crop_size,
            "dicom_window": data.dicom_window,
        },
        "vocabulary": list(data.tokenizer.vocab),
        "normaliser_version": data.manifest["normaliser_version"],
        "manifest_hash": data.manifest_hash,
        "shareable": data.shareable,
        "code_revision": code_revision(),
    }


@functools.cache
def code_revision() -> str:
    """The version, and the commit where the program runs from a checkout."""
    import place_jax

    folder = pathlib.Path(place_jax.__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return place_jax.__version__
    return f"{place_jax.__version__}+{commit}"
