"""Every replicate's metric equals scikit-learn's on the examples that it holds."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from place_jax.metrics import classification, resampled


@pytest.fixture
def drawn():
    """labels with unknown ones, scores with many ties, weights; replicate 3 has one class."""
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1, -2], 60)
    scores = rng.integers(0, 12, 60) / 10
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=20)
    weights[3] = labels == 1
    return labels, scores, weights


def check(found, expected, drawn, values):
    labels, _, weights = drawn
    known = classification.known(labels)
    for replicate, weight in enumerate(weights):
        taken = np.repeat(np.flatnonzero(known), weight[known])
        if expected in (roc_auc_score, average_precision_score) and replicate == 3:
            assert np.isnan(found[replicate])
        else:
            assert found[replicate] == pytest.approx(
                expected(labels[taken], values[taken]), abs=1e-12
            )


def test_auroc(drawn):
    check(resampled.resampled_auroc(*drawn), roc_auc_score, drawn, drawn[1])


def test_average_precision(drawn):
    found = resampled.resampled_average_precision(*drawn)
    check(found, average_precision_score, drawn, drawn[1])


def test_f1_and_accuracy(drawn):
    labels, scores, weights = drawn
    called = (scores > 0.6).astype(int)
    check(resampled.resampled_f1(labels, called, weights), f1_score, drawn, called)
    check(resampled.resampled_accuracy(labels, called, weights), accuracy_score, drawn, called)


@pytest.mark.parametrize(
    "metric",
    [
        resampled.resampled_auroc,
        resampled.resampled_average_precision,
        resampled.resampled_f1,
        resampled.resampled_accuracy,
    ],
)
def test_nothing_known_is_nan(metric):
    found = metric(np.array([-1, -2]), np.zeros(2), np.ones((3, 2), int))
    assert np.isnan(found).all() and found.shape == (3,)


def test_multiclass():
    rng = np.random.default_rng(1)
    classes, called = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=10)
    accuracy, f1 = resampled.resampled_multiclass(classes, called, 3, weights)
    for replicate, weight in enumerate(weights):
        taken = np.repeat(np.arange(40), weight)
        assert accuracy[replicate] == pytest.approx((classes == called)[taken].mean())
        assert f1[replicate] == pytest.approx(
            f1_score(classes[taken], called[taken], average="macro", labels=range(3))
        )
