"""One training step, pure: (state, batch) -> (state, metrics). Imports no TensorFlow."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict, FrozenConfigDict

from place_jax.models.functional import Model
from place_jax.objectives.diagnostics import watch
from place_jax.parallel.collectives import on_mesh
from place_jax.parallel.mesh import batch_sharding, replicated
from place_jax.parallel.partition import param_shardings
from place_jax.training.accumulation import value_and_gradient
from place_jax.training.optimizer import learning_rate
from place_jax.training.state import TrainState

Step = Callable[[TrainState, Mapping[str, Array]], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    model: Model, tx: optax.GradientTransformation, objective: Callable, config: ConfigDict
) -> Step:
    """Makes the step. It is not jitted: `compile_step` does that, and so does a plan for a pod.

    A step whose loss or gradient is not finite is counted and changes nothing else.

    Args:
      model: without its parameters.
      tx: the optimizer.
      objective: from place_jax.objectives.
      config: the whole config.
    """
    config = FrozenConfigDict(config)
    hides_patches = config.objective == "place" and config.loss.lambda_c > 0
    schedule = learning_rate(config)

    def step(state: TrainState, batch: Mapping[str, Array]) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(state.key, state.step) if hides_patches else None

        if config.train.accumulation > 1 and jax.tree.leaves(state.model_state):
            raise ValueError(
                f"train.accumulation={config.train.accumulation} with a model whose statistics are "
                "taken over the batch: use a model without batch norm, or train.accumulation=1"
            )

        def apply(params, rows, key):
            return model.apply(
                params, state.model_state, rows, key=key, target_params=state.ema_params
            )

        def loss_of(outputs):
            loss, metrics = objective(outputs, batch, config, step=state.step)
            return loss, metrics | watch(outputs, batch, config, metrics)

        (loss, metrics), gradients = value_and_gradient(
            apply, loss_of, state.params, batch, key, parts=config.train.accumulation
        )
        norm = optax.global_norm(gradients)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        updates, opt_state = tx.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema_params
        if config.train.ema_decay > 0:
            decay = config.train.ema_decay
            ema = jax.tree.map(
                lambda e, p: (decay * e + (1 - decay) * p).astype(e.dtype), ema, params
            )

        def if_finite(new, old):
            return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

        new = TrainState(
            step=state.step + 1,
            params=if_finite(params, state.params),
            model_state=state.model_state,
            opt_state=if_finite(opt_state, state.opt_state),
            key=state.key,
            bad_steps=state.bad_steps + (~finite).astype(jnp.int32),
            ema_params=if_finite(ema, state.ema_params),
        )
        applied = state.step - state.bad_steps  # what the optimizer has counted
        return new, metrics | {
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": jnp.asarray(schedule(applied), jnp.float32),
            "bad_steps": new.bad_steps,
        }

    return step


def make_state(
    model: Model, tx: optax.GradientTransformation, config: ConfigDict, key: Array
) -> TrainState:
    """Draws a first state. Pure: `init_state` jits it with shardings."""
    init_key, step_key = jax.random.split(key)
    params, model_state = model.init(init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=tx.init(params),
        key=step_key,
        bad_steps=jnp.zeros((), jnp.int32),
        ema_params=jax.tree.map(jnp.copy, params) if config.train.ema_decay > 0 else None,
    )


def abstract_state(
    model: Model, tx: optax.GradientTransformation, config: ConfigDict, mesh: Mesh
) -> TrainState:
    """Shapes, dtypes and shardings of a state, every leaf of it, with no array made."""
    shapes = jax.eval_shape(lambda: make_state(model, tx, config, jax.random.key(0)))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        param_shardings(shapes, mesh),
    )


def init_state(
    model: Model, tx: optax.GradientTransformation, config: ConfigDict, key: Array, mesh: Mesh
) -> TrainState:
    """Draws a first state where it will live: no device ever holds more than its share."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(model, tx, config, mesh))
    return jax.jit(lambda key: make_state(model, tx, config, key), out_shardings=shardings)(key)


def compile_step(step: Step, state: TrainState, mesh: Mesh) -> Step:
    """The step under one jit over the mesh; the state that it is given is donated.

    The losses spread over the mesh, and activations are held to it.

    Args:
      step: from `make_train_step`.
      state: a state, or an abstract one, for its shardings.
      mesh: where the batch is spread over.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    return jax.jit(
        on_mesh(step, mesh),
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
    )
