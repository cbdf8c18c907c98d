"""AUROC and average precision against scikit-learn and by hand, with labels missing."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from place_jax.metrics import classification


def test_auroc_by_hand():
    # Of 2 x 2 pairs, the positive wins 2, ties 1 and loses 1.
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.2, 0.5])
    assert classification.auroc(labels, scores) == 2.5 / 4
    # Ranked 1, 0, then a tie of 1 and 0: precision 1 at recall 1/2, 2/4 at recall 1.
    assert classification.average_precision(labels, scores) == 0.5 * 1 + 0.5 * 2 / 4


def test_uncertain_and_missing_labels_are_left_out():
    labels = np.array([1, -1, 0, -2, 1, 0, -1], np.int8)
    scores = np.array([0.3, 9.0, 0.1, -9.0, 0.7, 0.5, np.inf])
    keep = [0, 2, 4, 5]
    assert classification.auroc(labels, scores) == roc_auc_score(labels[keep], scores[keep])
    assert classification.average_precision(labels, scores) == average_precision_score(
        labels[keep], scores[keep]
    )


@pytest.mark.parametrize("labels", [[1, 1, -2], [0, 0, -1], [-2, -2, -1], []])
def test_a_label_of_one_class_is_nan_and_out_of_the_macro(labels):
    labels = np.array(labels, np.int8)
    alone = classification.auroc(labels, np.arange(len(labels), dtype=float))
    assert np.isnan(alone)
    assert classification.macro({"one": alone, "two": 0.5, "three": 0.9}) == pytest.approx(0.7)
    assert np.isnan(classification.macro([alone]))


def test_per_label_reads_the_columns():
    labels = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1]])
    scores = np.array([[2.0, 1, 0], [1.0, 2, 0], [0.0, 3, 0]])
    found = classification.per_label(classification.auroc, labels, scores, ("a", "b", "c"))
    assert (found["a"], found["b"]) == (0.5, 1.0) and np.isnan(found["c"])


def test_scores_that_are_not_finite_are_one_clear_line():
    with pytest.raises(ValueError, match="1 of 3 scores are not finite"):
        classification.auroc(np.array([1, 0, 1]), np.array([0.1, np.nan, 0.2]))


def test_resampled_auroc_equals_scikit_learn_on_each_replicate():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -1, -2], 60)
    scores = rng.integers(0, 12, 60) / 10  # many ties
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=20)
    weights[3] = labels == 1  # a replicate of one class
    found = classification.resampled_auroc(labels, scores, weights)
    known = classification.known(labels)
    for replicate, weight in enumerate(weights):
        taken = np.repeat(np.flatnonzero(known), weight[known])
        if replicate == 3:
            assert np.isnan(found[replicate])
        else:
            expected = roc_auc_score(labels[taken], scores[taken])
            assert found[replicate] == pytest.approx(expected, abs=1e-12)


def test_resampled_auroc_of_nothing_known_is_nan():
    found = classification.resampled_auroc(np.array([-1, -2]), np.zeros(2), np.ones((3, 2), int))
    assert np.isnan(found).all() and found.shape == (3,)
