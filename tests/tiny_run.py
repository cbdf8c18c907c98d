"""A workdir with a checkpoint that was saved before any training, for tests of what reads one."""

import functools
import pathlib

import jax
import jax.numpy as jnp

from data_pipelines.batches import open_data
from place_jax import configuration
from place_jax.models.functional import Model
from place_jax.training import checkpoints
from place_jax.training.state import TrainState


def tiny_config(data_dir, *, objective: str = "place"):
    """phantom_demo:smoke, narrower still."""
    small = [
        f"model.{tower}.{key}={value}"
        for tower in ("image", "text", "observation", "correlation")
        for key, value in (("width", 16), ("heads", 2), ("mlp_dim", 32), ("depth", 1))
    ]
    settings = ["model.joint_dim=16", "model.observation.num_queries=4", "data.max_tokens=96"]
    settings += [f"data.dir={data_dir}", f"objective={objective}", "data.max_sentences=8"]
    return configuration.load_config("phantom_demo:smoke", small + settings)


@functools.cache
def untrained_model(data_dir: pathlib.Path):
    """A model for a prepared folder, with the parameters it starts from."""
    config = tiny_config(data_dir)
    model = Model.from_config(
        config.model,
        image_size=config.data.crop_size,
        vocab_size=open_data(data_dir).tokenizer.size,
    )
    return model, *jax.jit(model.init)(jax.random.key(0))


@functools.cache
def untrained_run(
    data_dir: pathlib.Path, objective: str = "place", *, seed: int = 0, bootstrap: int = 50
) -> pathlib.Path:
    """A workdir beside the data, with config.json and a checkpoint of step 0; made once.

    The parameters are the same whatever the seed, which evaluation draws by.
    """
    config = tiny_config(data_dir, objective=objective)
    config.seed, config.evaluation.bootstrap = seed, bootstrap
    workdir = data_dir.parent / f"untrained_{objective}_{seed}_{bootstrap}"
    workdir.mkdir()
    (workdir / "config.json").write_text(configuration.to_json(config))
    _, params, model_state = untrained_model(data_dir)
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, params, model_state, {"count": zero}, jax.random.key(0), zero)
    checkpointer = checkpoints.Checkpointer(workdir)
    checkpointer.save(state, checkpoints.describe(config, open_data(data_dir), step=0))
    checkpointer.close()
    return workdir
