"""The terms' pulls on the image encoder: they add up to the gradient of the whole loss."""

import jax
import numpy as np
import pytest
import tiny_run
from ml_collections import FrozenConfigDict

from data_pipelines.batches import open_data
from place_jax.objectives import get
from place_jax.transfer.controls import evaluate_controls
from place_jax.transfer.features import split_batches
from place_jax.transfer.gradient_balance import gradient_balance, weighed_terms


def test_norms_and_cosines_are_those_of_the_whole_loss(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    config.loss.lambda_p, config.loss.lambda_c = 0.5, 3.0
    frozen = FrozenConfigDict(config)
    model, params, state = tiny_run.untrained_model(phantom_dir)
    batch = next(split_batches(open_data(phantom_dir), "test", config=config))
    key = jax.random.key(0)
    found = gradient_balance(model, frozen, params, state, batch, key)

    @jax.jit
    def whole(image):
        outputs = model.apply(params | {"image": image}, state, batch, key=key)
        return get("place")(outputs, batch, frozen)[0]

    gradient = jax.grad(whole)(params["image"])
    square = sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(gradient))
    names = ("instance", "pathological", "correlation")
    norms = [float(found[f"gradient/norm_{name}"]) for name in names]
    total = sum(norm**2 for norm in norms)
    for k, m in ((0, 1), (0, 2), (1, 2)):
        cosine = float(found[f"gradient/cosine_{names[k]}_{names[m]}"])
        total += 2 * norms[k] * norms[m] * cosine
        assert -1 <= cosine <= 1
    assert min(norms) > 0 and total == pytest.approx(float(square), rel=1e-3)


def test_a_baseline_has_the_terms_that_it_logs():
    def config(objective):
        weights = {"lambda_p": 1.0, "lambda_c": 1.0}
        return FrozenConfigDict({"objective": objective, "loss": weights})

    metrics = {"loss": 3, "mgca/loss": 3, "mgca/loss_tokens": 1, "mgca/loss_instance": 2}
    assert weighed_terms(metrics, config("mgca")) == {"tokens": 1, "instance": 2}
    assert weighed_terms({"loss": 3, "clip/loss": 3}, config("clip")) == {"clip": 3}


def test_an_evaluation_logs_them_by_split(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    weights = tiny_run.untrained_model(phantom_dir)
    scores = evaluate_controls(*weights, open_data(phantom_dir), "test", config=config)
    assert scores["gradient/test/norm_instance"] > 0
    assert scores["instance/test/gap"] == pytest.approx(
        scores["instance/test/loss"] - scores["instance/test/floor"], abs=1e-5
    )
    assert 0 < scores["v_por/test/queries_in_use"] <= 1
