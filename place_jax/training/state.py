"""All that a training step carries to the next one."""

import dataclasses
from typing import Any

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Plain arrays, so that no later library strands a checkpoint.

    Attributes:
      step: int32 scalar, steps taken, those that were not applied included.
      params: nested dictionaries.
      model_state: what the model carries and does not train.
      opt_state: optax's.
      key: typed PRNG key; step s uses fold_in(key, s).
      bad_steps: int32 scalar, those of them that were not finite and were not applied.
      ema_params: moving average of params, or None.
    """

    step: Array
    params: Any
    model_state: Any
    opt_state: Any
    key: Array
    bad_steps: Array
    ema_params: Any = None
