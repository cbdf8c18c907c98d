"""The optimizer: its schedule, what it decays and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from place_jax.models.functional import Model
from place_jax.parallel.partition import path_string
from place_jax.training.optimizer import decay_mask, learning_rate, make_optimizer


def test_the_schedule_warms_up_then_falls_along_a_cosine(step_config):
    schedule = learning_rate(
        step_config(
            {
                "optimizer.learning_rate": 0.5,
                "optimizer.warmup_steps": 10,
                "optimizer.end_fraction": 0.1,
                "train.steps": 110,
            }
        )
    )
    steps = [0, 5, 10, 35, 60, 110, 200]
    half = 0.05 + 0.45 * (1 + np.cos(np.pi / 4)) / 2
    expected = [0, 0.25, 0.5, half, 0.275, 0.05, 0.05]
    np.testing.assert_allclose([float(schedule(s)) for s in steps], expected, rtol=1e-6)


def test_without_warm_up_it_starts_at_the_peak(step_config):
    schedule = learning_rate(step_config({"optimizer.warmup_steps": 0}))
    assert float(schedule(0)) == pytest.approx(1e-3)


def test_a_warm_up_as_long_as_training_is_an_error(step_config):
    with pytest.raises(ValueError, match=r"optimizer\.warmup_steps=40 .*train\.steps=40"):
        make_optimizer(step_config({"optimizer.warmup_steps": 40}))


def test_decay_reaches_maps_alone(step_config):
    model = Model.from_config(step_config().model, image_size=32, vocab_size=50)
    shapes, _ = jax.eval_shape(model.init, jax.random.key(0))
    for path, decays in jax.tree_util.tree_leaves_with_path(decay_mask(shapes)):
        name = path_string(path)
        is_map = name.endswith("/kernel") or name == "text/word_embedding/embedding"
        assert decays == is_map, name


def test_with_no_gradient_only_decay_moves(step_config):
    tx = make_optimizer(step_config({"optimizer.warmup_steps": 0, "optimizer.weight_decay": 0.5}))
    params = {"linear": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zero, tx.init(params), params)
    np.testing.assert_allclose(updates["linear"]["kernel"], -1e-3 * 0.5, rtol=1e-6)
    np.testing.assert_array_equal(updates["linear"]["bias"], 0)


def test_gradients_are_clipped_by_their_common_norm(step_config):
    """A spike a thousand times the usual gradient moves Adam's mean as one of unit norm does."""
    tx = make_optimizer(step_config({"optimizer.clip_norm": 1.0}))
    params = {"kernel": jnp.zeros((3, 1)), "bias": jnp.zeros(1)}
    spike = {"kernel": jnp.full((3, 1), 1000.0), "bias": jnp.full(1, 1000.0)}
    _, state = tx.update(spike, tx.init(params), params)
    mean = next(leaf for leaf in jax.tree.leaves(state) if leaf.shape == (3, 1))
    np.testing.assert_allclose(mean, 0.1 * 0.5, rtol=1e-5)  # (1 - b1) * 1000 / |(1000,) * 4|
