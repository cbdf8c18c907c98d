"""The terms' pulls on the image encoder, each against the gradient of that term alone."""

import functools
import itertools

import jax
import numpy as np
import pytest
import tiny_run
from ml_collections import FrozenConfigDict

from data_pipelines.batches import open_data
from place_jax.models.functional import Model
from place_jax.objectives import get
from place_jax.transfer.controls import evaluate_controls
from place_jax.transfer.features import split_batches
from place_jax.transfer.gradient_balance import gradient_balance, weighed_terms


def test_norms_and_cosines_are_those_of_each_terms_own_gradient(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    config.loss.lambda_p, config.loss.lambda_c = 0.5, 3.0
    model, params, state = tiny_run.untrained_model(phantom_dir)
    batch = next(split_batches(open_data(phantom_dir), "test", config=config))
    key = jax.random.key(0)
    found = gradient_balance(model, FrozenConfigDict(config), params, state, batch, key)

    @jax.jit
    def gradients(image):
        def terms(image):
            outputs = model.apply(params | {"image": image}, state, batch, key=key)
            metrics = get("place")(outputs, batch, config)[1]
            return [metrics[f"{name}/loss"] for name in ("instance", "pathological", "correlation")]

        return jax.jacrev(terms)(image)

    pulls = {
        name: weight * np.concatenate([np.float64(x).ravel() for x in jax.tree.leaves(gradient)])
        for (name, weight), gradient in zip(
            (("instance", 1.0), ("pathological", 0.5), ("correlation", 3.0)),
            gradients(params["image"]),
            strict=True,
        )
    }
    wanted = {f"gradient/norm_{name}": np.linalg.norm(pull) for name, pull in pulls.items()}
    for (one, a), (other, b) in itertools.combinations(pulls.items(), 2):
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        wanted[f"gradient/cosine_{one}_{other}"] = cosine
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_as_many_rows_are_differentiated_as_in_a_training_step(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    config.objective, config.train.accumulation = "clip", 2
    model, params, state = tiny_run.untrained_model(phantom_dir)
    batch = next(split_batches(open_data(phantom_dir), "test", config=config))
    half = jax.tree.map(lambda x: x[: config.data.batch_size // 2], batch)
    balance = functools.partial(gradient_balance, model, FrozenConfigDict(config), params, state)
    found, wanted = balance(batch, jax.random.key(0)), balance(half, jax.random.key(0))
    assert len(batch["image"]) == 2 * len(half["image"]) and found == wanted


def test_a_baseline_has_the_terms_that_it_logs():
    def config(objective):
        weights = {"lambda_p": 1.0, "lambda_c": 1.0}
        return FrozenConfigDict({"objective": objective, "loss": weights})

    metrics = {"loss": 3, "mgca/loss": 3, "mgca/loss_tokens": 1, "mgca/loss_instance": 2}
    assert weighed_terms(metrics, config("mgca")) == {"tokens": 1, "instance": 2}
    assert weighed_terms({"loss": 3, "clip/loss": 3}, config("clip")) == {"clip": 3}


@pytest.mark.parametrize(
    ("objective", "local", "terms"),
    [
        ("clip", "none", ("clip",)),
        ("gloria", "projections", ("global", "local")),
        ("mgca", "prototypes", ("instance", "prototypes", "tokens")),
    ],
)
def test_every_term_of_a_baseline_pulls(phantom_dir, objective, local, terms):
    """Traced only: what can go wrong here are names, and that MGCA has an instance term too."""
    config = tiny_run.tiny_config(phantom_dir)
    config.objective, config.model.local = objective, local
    data = open_data(phantom_dir)
    model = Model.from_config(
        config.model, image_size=config.data.crop_size, vocab_size=data.tokenizer.size
    )
    batch = next(split_batches(data, "test", config=config))
    key = jax.random.key(0)
    balance = functools.partial(gradient_balance, model, FrozenConfigDict(config))
    found = jax.eval_shape(balance, *jax.eval_shape(model.init, key), batch, key)
    pairs = itertools.combinations(terms, 2)
    assert set(found) == {f"gradient/norm_{name}" for name in terms} | {
        f"gradient/cosine_{one}_{other}" for one, other in pairs
    }


def test_an_evaluation_logs_them_by_split(phantom_dir):
    config = tiny_run.tiny_config(phantom_dir)
    weights = tiny_run.untrained_model(phantom_dir)
    scores = evaluate_controls(*weights, open_data(phantom_dir), "test", config=config)
    assert scores["gradient/test/norm_instance"] > 0
    assert scores["instance/test/gap"] == pytest.approx(
        scores["instance/test/loss"] - scores["instance/test/floor"], abs=1e-5
    )
    assert 0 < scores["v_por/test/queries_in_use"] <= 1
