"""In parts, loss and gradient are those of the whole batch: its negatives, draws and counts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_step import VOCABULARY, draw_rows

from configs.base import get_config
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.parallel.collectives import on_mesh
from place_jax.parallel.mesh import check_batch_size, make_mesh
from place_jax.parallel.partition import path_string
from place_jax.training.accumulation import value_and_gradient
from place_jax.training.feed import to_devices
from place_jax.training.optimizer import make_optimizer
from place_jax.training.step import make_state, make_train_step

DOUBLE = {"model.dtype": "float64", "model.param_dtype": "float64"}


def rows():
    """16 pairs: a masked one, and reports of unlike length, so that parts weigh unlike."""
    found = draw_rows(0)
    found["example_mask"][3] = False
    return found


def run(config, parts, devices=1, **sizes):
    """Loss, metrics and gradient by path, in float64."""
    mesh_config = get_config().mesh
    mesh_config.update(sizes)
    mesh = make_mesh(mesh_config, jax.devices()[:devices])
    objective = objectives.get(config.objective)

    def both(params, batch):
        return value_and_gradient(
            lambda p, some, key: model.apply(p, {}, some, key=key),
            lambda outputs: objective(outputs, batch, config),
            params,
            batch,
            jax.random.key(7),
            parts=parts,
        )

    with jax.enable_x64(True):
        model = Model.from_config(config.model, image_size=32, vocab_size=VOCABULARY)
        params, _ = jax.jit(model.init)(jax.random.key(0))
        (loss, metrics), gradient = jax.jit(on_mesh(both, mesh))(params, to_devices(rows(), mesh))
    found = jax.tree_util.tree_leaves_with_path(gradient)
    return float(loss), metrics, {path_string(path): np.asarray(x) for path, x in found}


@pytest.fixture(scope="module")
def whole(step_config):
    return run(step_config(DOUBLE), parts=1)


@pytest.mark.parametrize(
    ("parts", "remat", "mesh"),
    [
        (4, "full", dict(devices=1)),
        (2, "dots", dict(devices=8, data=2, fsdp=2, tensor=2)),
    ],
)
def test_parts_equal_the_whole(step_config, whole, parts, remat, mesh):
    loss, metrics, gradient = run(step_config(DOUBLE | {"model.remat": remat}), parts, **mesh)
    assert loss == pytest.approx(whole[0], rel=1e-12)
    for name, value in whole[1].items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-9, err_msg=name)
    for name, expected in whole[2].items():
        assert expected.dtype == np.float64
        scale = max(np.linalg.norm(expected), 1e-6 if name.endswith("key/bias") else 0)
        assert np.linalg.norm(gradient[name] - expected) <= 1e-9 * scale, name


def test_the_mean_of_the_parts_losses_is_another_loss(step_config, whole):
    config = step_config(DOUBLE)
    with jax.enable_x64(True):
        model = Model.from_config(config.model, image_size=32, vocab_size=VOCABULARY)
        params, _ = jax.jit(model.init)(jax.random.key(0))
        some = {name: x[::2] for name, x in rows().items()}
        outputs = jax.jit(lambda p, b: model.apply(p, {}, b))(params, some)
        part, _ = objectives.get("clip")(outputs, some, config)
    assert abs(float(part) - float(whole[1]["instance/loss"])) > 0.1


def test_a_model_with_batch_statistics_is_refused(step_config):
    config = step_config({"train.accumulation": 2})
    model = Model.from_config(config.model, image_size=32, vocab_size=VOCABULARY)
    tx = make_optimizer(config)
    step = make_train_step(model, tx, objectives.get(config.objective), config)
    state = jax.eval_shape(lambda: make_state(model, tx, config, jax.random.key(0)))
    statistics = {"mean": jax.ShapeDtypeStruct((3,), jnp.float32)}
    state = dataclasses.replace(state, model_state=statistics)
    with pytest.raises(ValueError, match="train.accumulation=2 .* without batch norm"):
        jax.eval_shape(step, state, rows())


def test_each_part_has_to_divide_over_the_devices():
    mesh = make_mesh(get_config().mesh, jax.devices()[:8])
    check_batch_size(32, mesh, parts=4)
    with pytest.raises(ValueError) as caught:
        check_batch_size(24, mesh, key="data.batch_size", parts=2)
    assert str(caught.value) == (
        "data.batch_size=24 in train.accumulation=2 parts does not divide over 8 devices: "
        "use a multiple of 16"
    )
