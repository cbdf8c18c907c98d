"""The probe against scikit-learn, and what decides its batches and its chosen round."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from place_jax.transfer import probe
from place_jax.transfer.protocols.linear_probe import RECIPES, ProbeRecipe, Selection

FULL_BATCH = ProbeRecipe(
    learning_rate=0.02,
    weight_decay=0.0,
    batch_size=0,
    rounds=40,
    min_steps=4000,
    patience=0,
    selection=Selection.LOSS,
    standardise=True,
    zero_init=True,
)


def make_examples(n: int, seed: int = 0, noise: float = 2.0) -> probe.Examples:
    """Features of very different scales; two labels that overlap, so that an optimum exists."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4)) * [1, 20, 0.05, 1] + [0, 50, 0.3, 0]
    weight = np.array([[1.0, -1], [0.05, 0.1], [10, 5], [0, 1]])
    logits = (features - [0, 50, 0.3, 0]) @ weight
    labels = (logits + noise * rng.logistic(size=logits.shape) > 0).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -2
    labels[rng.random(labels.shape) < 0.1] = -1
    return probe.Examples(features.astype(np.float32), labels)


def test_full_batch_optimum_is_that_of_scikit_learn():
    train = make_examples(300)
    # Validation is the training set, so that the best round is the one nearest to the optimum.
    (found,) = probe.train_probes(train, train, [[np.arange(300)]], FULL_BATCH)
    logits = found.logits(train.features)[0]
    for c in range(2):
        known = train.labels[:, c] >= 0
        x = train.features[known].astype(np.float64)
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        expected = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
            (x - mean) / deviation, train.labels[known, c]
        )
        weight = expected.coef_[0] / deviation
        np.testing.assert_allclose(found.weight[0, :, c] * deviation, expected.coef_[0], atol=2e-3)
        theirs = train.features @ weight + expected.intercept_ - mean @ weight
        np.testing.assert_allclose(logits[:, c], theirs, atol=5e-3)


def test_probes_of_one_call_are_those_of_each_alone():
    train, validation = make_examples(120), make_examples(60, seed=1)
    recipe = dataclasses.replace(RECIPES["strict"], rounds=4, min_steps=0, batch_size=16)
    subsets = [[np.arange(30), np.arange(10, 50)], [np.arange(120)] * 2]
    together = probe.train_probes(train, validation, subsets, recipe, seed=3)
    for fraction, found in zip(subsets, together, strict=True):
        (alone,) = probe.train_probes(train, validation, [fraction], recipe, seed=3)
        np.testing.assert_allclose(found.weight, alone.weight, atol=1e-6)
        np.testing.assert_array_equal(found.chosen, alone.chosen)
    # The first row of a subset that is shorter than its neighbour's is no different for it.
    (short,) = probe.train_probes(train, validation, [[np.arange(32)]], recipe, seed=3)
    (padded,) = probe.train_probes(
        train, validation, [[np.arange(32), np.arange(32)]], recipe, seed=3
    )
    np.testing.assert_allclose(short.weight[0], padded.weight[0], atol=1e-6)


def test_labels_of_examples_outside_the_subset_and_unknown_ones_change_nothing():
    train, validation = make_examples(80), make_examples(60, seed=1)
    recipe = dataclasses.replace(RECIPES["mgca_compat"], rounds=3)
    (found,) = probe.train_probes(train, validation, [[np.arange(40)]], recipe)
    labels = train.labels.copy()
    labels[40:] = 1 - labels[40:].clip(0)
    labels[:40][labels[:40] == -1] = -2
    other = probe.Examples(train.features, labels)
    (same,) = probe.train_probes(other, validation, [[np.arange(40)]], recipe)
    np.testing.assert_array_equal(found.weight, same.weight)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 40])
def test_an_epoch_holds_every_example_once(size):
    recipe = dataclasses.replace(RECIPES["strict"], rounds=2, min_steps=12, batch_size=16)
    present = jnp.arange(43) < size
    rows = np.asarray(probe._rows(recipe, present, probe.jax.random.key(0)))
    assert rows.shape[1] == 16 and rows.size >= 6 * 16
    for epoch in rows.reshape(-1, 48):
        assert sorted(epoch[epoch < size]) == list(range(size))


def test_patience_and_the_chosen_round():
    train, validation = make_examples(200), make_examples(100, seed=1)
    # So high a rate that validation loss is best early on.
    recipe = dataclasses.replace(
        RECIPES["mgca_compat"], learning_rate=1.0, rounds=30, patience=0, standardise=True
    )
    (free,) = probe.train_probes(train, validation, [[np.arange(200)]], recipe)
    assert free.chosen[0] == free.curve[0].argmax()
    patient = dataclasses.replace(recipe, patience=1)
    (held,) = probe.train_probes(train, validation, [[np.arange(200)]], patient)
    np.testing.assert_array_equal(held.curve, free.curve)
    curve, best = free.curve[0], 0
    for number in range(1, 30):
        if curve[number] > curve[best] and number - best <= 1:
            best = number
        elif number - best > 1:
            break
    assert held.chosen[0] == best


def test_selection_auroc_is_scikit_learns_with_ties_and_missing_labels():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -2], (70, 3))
    labels[:, 2] = 1  # a class of one kind is left out of the mean
    scores = rng.integers(0, 6, (70, 3)) / 5
    found = probe.macro_auroc(
        jnp.asarray(scores, jnp.float32), jnp.asarray(labels == 1, float), jnp.asarray(labels >= 0)
    )
    expected = [
        roc_auc_score(labels[labels[:, c] >= 0, c], scores[labels[:, c] >= 0, c]) for c in (0, 1)
    ]
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-6)
