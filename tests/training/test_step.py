"""The step: the same on any number of devices, deaf to what is not finite, compiled once."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_step import DOUBLE

from place_jax.parallel.partition import path_string


def leaves(tree) -> dict[str, np.ndarray]:
    """Path -> array on the host."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {
        path_string(path): np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for path, leaf in found
    }


def is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def with_params(state, path, value, of="params"):
    """The state with one number (of a kernel, what belongs to its first row) replaced."""

    def replaced(params, names):
        name, *rest = names
        new = replaced(params[name], rest) if rest else params[name].at[0].set(value)
        return params | {name: new}

    return dataclasses.replace(state, **{of: replaced(getattr(state, of), path.split("/"))})


MESHES = {
    "data": {"data": 8},
    "fsdp": {"data": 1, "fsdp": 8},
    "data and fsdp": {"data": 2, "fsdp": 4},
    "data, fsdp and tensor": {"data": 2, "fsdp": 2, "tensor": 2},
}
LATER = [pytest.param(name, marks=pytest.mark.slow) for name in ("fsdp", "data and fsdp")]


@pytest.fixture(scope="module")
def first_gradient(tiny_run):
    """Of the first batch on one device, by path."""
    return leaves(tiny_run.gradient(tiny_run.step(tiny_run.init(), tiny_run.batch(0))[0]))


@pytest.mark.parametrize("mesh", ["data", "data, fsdp and tensor", *LATER])
def test_gradients_on_eight_devices_are_those_of_one(first_gradient, make_run, mesh):
    run = make_run({"train.ema_decay": 0.5}, devices=8, mesh_sizes=MESHES[mesh])
    found = leaves(run.gradient(run.step(run.init(), run.batch(0))[0]))
    assert found.keys() == first_gradient.keys()
    for name, expected in first_gradient.items():
        error = np.linalg.norm(found[name] - expected)
        if name.endswith("key/bias"):
            # Attention does not change when all keys move together: this gradient is rounding.
            scale = np.linalg.norm(first_gradient[name.replace("bias", "kernel")])
        else:
            scale = np.linalg.norm(expected)
            assert scale > 0, f"{name} gets no gradient"
        assert error <= 1e-5 * scale, name


def twenty_steps(run):
    """The parameters and the loss after as many steps."""
    state = run.init()
    for number in range(20):
        state, metrics = run.step(state, run.batch(number))
    assert metrics["loss"].dtype == jnp.float64
    return leaves(state.params) | {"loss": np.asarray(metrics["loss"])}


@pytest.fixture(scope="module")
def one_device_in_float64(make_run):
    with jax.enable_x64(True):
        return twenty_steps(make_run(DOUBLE, devices=1))


@pytest.mark.parametrize(
    "mesh", ["data, fsdp and tensor", pytest.param("data", marks=pytest.mark.slow), *LATER]
)
def test_twenty_steps_in_float64_are_those_of_one_device(one_device_in_float64, make_run, mesh):
    with jax.enable_x64(True):
        found = twenty_steps(make_run(DOUBLE, devices=8, mesh_sizes=MESHES[mesh]))
    for name, expected in one_device_in_float64.items():
        assert expected.dtype == np.float64
        # Key biases stay at 0 but for rounding.
        scale = 1.0 if name.endswith("key/bias") else np.linalg.norm(expected)
        assert np.linalg.norm(found[name] - expected) <= 1e-9 * scale, name


def test_the_loss_falls(tiny_run):
    state, losses = tiny_run.init(), []
    for _ in range(20):
        state, metrics = tiny_run.step(state, tiny_run.batch(0))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.8 * losses[0]
    assert int(state.step) == 20 and int(state.bad_steps) == 0


def test_what_goes_in_comes_out_alike_so_that_nothing_compiles_again(tiny_run):
    state = tiny_run.init()
    after, _ = tiny_run.step(state, tiny_run.batch(0))
    for old, new in zip(jax.tree.leaves(tiny_run.abstract), jax.tree.leaves(after), strict=True):
        assert (new.shape, new.dtype, new.sharding) == (old.shape, old.dtype, old.sharding)
        assert is_key(new) or not new.weak_type
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params)), "it is not donated"


def test_a_step_that_is_not_finite_is_counted_and_changes_nothing(tiny_run):
    state, _ = tiny_run.step(tiny_run.init(), tiny_run.batch(0))
    before = leaves(state)
    spoilt = with_params(state, "image_projection/linear/bias", jnp.nan)
    state, metrics = tiny_run.step(spoilt, tiny_run.batch(1))
    assert not np.isfinite(metrics["loss"])
    assert (int(state.step), int(state.bad_steps), int(metrics["bad_steps"])) == (2, 1, 1)
    after = leaves(state)
    counters = ("step", "bad_steps", "params/image_projection/linear/bias")
    for name in before.keys() - set(counters):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_a_later_good_step_keeps_the_count(tiny_run):
    state = tiny_run.init()
    state = dataclasses.replace(state, bad_steps=jnp.int32(3))
    state, metrics = tiny_run.step(state, tiny_run.batch(0))
    assert int(state.bad_steps) == int(metrics["bad_steps"]) == 3


def test_the_moving_average_follows_the_parameters(tiny_run):
    state = tiny_run.init()
    first = leaves(state.params)
    state, _ = tiny_run.step(state, tiny_run.batch(0))  # learning rate 0
    state, _ = tiny_run.step(state, tiny_run.batch(1))
    params, average = leaves(state.params), leaves(state.ema_params)
    name = "image/blocks/mlp/up/kernel"
    assert np.abs(params[name] - first[name]).max() > 1e-5
    np.testing.assert_allclose(average[name], (params[name] + first[name]) / 2, rtol=1e-6)


def test_the_target_of_features_is_the_moving_average(make_run):
    run = make_run({"train.ema_decay": 0.5, "model.correlation.target": "ema_features"}, devices=1)
    kernel = "image/blocks/mlp/up/kernel"
    _, before = run.step(run.init(), run.batch(0))
    _, after = run.step(with_params(run.init(), kernel, 0.5, of="ema_params"), run.batch(0))
    assert float(after["correlation/loss"]) != float(before["correlation/loss"])
    assert float(after["instance/loss"]) == float(before["instance/loss"])


def test_metrics_say_what_the_optimizer_did(tiny_run):
    state, rates, norms = tiny_run.init(), [], []
    for number in range(3):
        state, metrics = tiny_run.step(state, tiny_run.batch(number))
        rates.append(float(metrics["learning_rate"]))
        norms.append(float(metrics["gradient_norm"]))
    np.testing.assert_allclose(rates, [0, 5e-4, 1e-3], rtol=1e-6)
    assert norms[-1] == pytest.approx(float(optax.global_norm(tiny_run.gradient(state))), rel=1e-5)


def test_the_correlation_pass_draws_anew_at_every_step(tiny_run):
    state = tiny_run.init()
    state, first = tiny_run.step(state, tiny_run.batch(0))  # learning rate 0: same parameters
    _, second = tiny_run.step(state, tiny_run.batch(0))
    assert float(first["instance/loss"]) == float(second["instance/loss"])
    assert float(first["correlation/loss"]) != float(second["correlation/loss"])


@pytest.mark.parametrize("objective", ["clip", "siglip", "convirt", "gloria", "mgca"])
def test_every_baseline_makes_a_step(step_config, objective):
    """Traced only, which takes no time: shapes and names are what can go wrong here."""
    from data_pipelines.records import batch_fields
    from place_jax import objectives
    from place_jax.models.functional import Model
    from place_jax.training.optimizer import make_optimizer
    from place_jax.training.step import make_state, make_train_step

    logits = "scale_and_bias" if objective == "siglip" else "scale"
    local = {"gloria": "projections", "mgca": "prototypes"}.get(objective, "none")
    needs = {"model.logits": logits, "model.local": local}
    config = step_config({"objective": objective} | needs)
    model = Model.from_config(config.model, image_size=32, vocab_size=50)
    tx = make_optimizer(config)
    state = jax.eval_shape(lambda: make_state(model, tx, config, jax.random.key(0)))
    fields = batch_fields(16, 32, 20, 4)
    batch = {name: jax.ShapeDtypeStruct(*field) for name, field in fields.items()}
    new, metrics = jax.eval_shape(
        make_train_step(model, tx, objectives.get(objective), config), state, batch
    )
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert {"loss", f"{objective}/loss", "gradient_norm"} <= set(metrics)
    assert ("siglip" in state.params["logit_scale"]) == (objective == "siglip")


def test_training_step_and_models_import_without_tensorflow():
    code = (
        "import sys\n"
        "import place_jax, place_jax.training.step, place_jax.training.checkpoints\n"
        "import place_jax.models.functional, place_jax.objectives, place_jax.predictor\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'apache_beam', 'clu'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
