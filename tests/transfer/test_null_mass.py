"""The null V-POR's mass on PhantomCXR's sentences about nothing, beside that on all others."""

import jax
import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import open_data
from place_jax.configs import base
from place_jax.models.functional import Model
from place_jax.outputs import Outputs
from place_jax.transfer.null_mass import evaluate_null_mass, null_mass_sums


@pytest.mark.parametrize("match", ["softmax", "max", "one_to_one"])
def test_mass_is_summed_apart_for_sentences_about_nothing(match):
    """Two sentences of the first report are the null V-POR, one of the second is a query."""
    axes = np.eye(4, dtype=np.float32)
    outputs = Outputs(
        v_por=np.stack([axes[:3], axes[:3]]),
        null_v_por=axes[3],
        t_por=np.stack([axes[[3, 3, 0]], axes[[1, 0, 0]]]),
    )
    statement = np.array([[[7, 1], [7, 2], [1, 1]], [[2, 2], [0, 0], [0, 0]]], np.uint32)
    batch = {
        "statement": statement,
        "sentence_mask": np.array([[1, 1, 1], [1, 0, 0]], bool),
        "example_mask": np.ones(2, bool),
    }
    config = base.get_config()
    config.loss.match, config.loss.tau_m = match, 0.01
    idle = np.array([[7, 1], [7, 2], [9, 9]], np.uint32)
    found = null_mass_sums(outputs, batch, config, idle)
    np.testing.assert_allclose(found, [[2, 2], [0, 2]], atol=1e-6)


def test_a_phantoms_idle_sentences_are_known_and_a_model_without_null_has_none(phantom_dir):
    config, data = tiny_run.tiny_config(phantom_dir), open_data(phantom_dir)
    config.model.observation.null = "learned"
    model = Model.from_config(
        config.model, image_size=config.data.crop_size, vocab_size=data.tokenizer.size
    )
    params, state = jax.jit(model.init)(jax.random.key(0))
    found = evaluate_null_mass(model, params, state, data, "test", config=config, max_examples=16)
    names = ("null_mass_about_nothing", "null_mass_of_others")
    assert list(found) == [f"pathological/test/{name}" for name in names]
    assert all(0 < mass < 1 for mass in found.values())
    config.model.observation.null = "none"
    assert evaluate_null_mass(model, params, state, data, "test", config=config) == {}
