"""What the first batch sets before the first step."""

import jax
import numpy as np
import tiny_step

from place_jax.models.functional import Model
from place_jax.objectives.correlation import correlation_pairs, mean_matrix
from place_jax.parallel.mesh import make_mesh
from place_jax.training.optimizer import make_optimizer
from place_jax.training.starting import first_state


def test_correlations_start_at_the_first_batchs_mean():
    config = tiny_step.make_config()
    config.model.correlation.update(start="mean", centre="image", rank=16)
    rows = tiny_step.draw_rows(0)
    # Brighter to the left: what all images share.
    rows["image"] = (rows["image"] // 4 + np.linspace(180, 0, 32)[:, None]).astype(np.uint8)
    mesh = make_mesh(config.mesh, jax.devices()[:2])
    model = Model.from_config(config.model, image_size=32, vocab_size=tiny_step.VOCABULARY)
    state = first_state(model, make_optimizer(config), config, mesh, rows)

    @jax.jit
    def predict(params, model_state, batch):
        outputs = model.apply(params, model_state, batch, key=jax.random.key(1))
        return mean_matrix(outputs, batch, config), correlation_pairs(outputs, batch, config)

    mean, pairs = jax.device_get(predict(state.params, state.model_state, rows))
    own = np.eye(16, dtype=bool)
    assert np.square(mean[~own]).mean() > 0.1, "there is a mean to start from"
    error = np.square(pairs.predicted - mean)[:, ~own].mean()
    assert error < 0.02 * np.square(mean[~own]).mean()
