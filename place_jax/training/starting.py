"""Where a run starts: at its newest checkpoint, or else drawn, loaded and calibrated.

Precedence: 1. the newest finished checkpoint of the workdir, whole; nothing below is looked at.
2. Parameters drawn from config.seed; then 3. those that config.model.image.weights and
config.model.text.weights hold; then 4. what the first batch sets: the projections' shift and
scale, and where config.model.correlation.start is "mean" what CCE predicts first.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from place_jax.models.functional import Model
from place_jax.objectives.correlation import mean_matrix
from place_jax.training.feed import to_devices
from place_jax.training.state import TrainState
from place_jax.training.step import init_state


def first_state(
    model: Model,
    tx: optax.GradientTransformation,
    config: ConfigDict,
    mesh: Mesh,
    rows: Mapping[str, np.ndarray],
) -> TrainState:
    """The state before the first step: 2 to 4 of the above.

    Args:
      model: without its parameters.
      tx: the optimizer.
      config: the whole config.
      mesh: where the state will live.
      rows: this host's rows of the batch of step 0.
    """
    state = init_state(model, tx, config, jax.random.key(config.seed), mesh)
    params = state.params
    if config.model.image.weights or config.model.text.weights:
        from place_jax.weights.pretrained import apply_pretrained

        params = apply_pretrained(params, config)
    if config.train.calibrate:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state.params)
        calibrate = jax.jit(functools.partial(_calibrate, model, config), out_shardings=shardings)
        params = calibrate(params, state.model_state, to_devices(rows, mesh))
    ema = jax.tree.map(jnp.copy, params) if config.train.ema_decay > 0 else None
    return dataclasses.replace(state, params=params, ema_params=ema)


def _calibrate(model: Model, config: ConfigDict, params: dict, model_state: dict, batch: dict):
    params = model.calibrate(params, model_state, batch)
    if config.model.correlation.start == "mean":
        # Nothing but the target is computed of this pass: what the key draws does not matter.
        outputs = model.apply(params, model_state, batch, key=jax.random.key(0))
        params = model.start_correlation(params, mean_matrix(outputs, batch, config))
    return params
