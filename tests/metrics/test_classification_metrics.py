"""Metrics of labels against scikit-learn and by hand, with labels missing."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    roc_auc_score,
)

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


@pytest.mark.parametrize("seed", range(5))
def test_all_metrics_equal_scikit_learn_with_ties_and_missing_labels(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1, -2], 50).astype(np.int8)
    scores = rng.integers(0, 6, 50) / 5
    keep = (labels == 0) | (labels == 1)
    called = scores > 0.5
    for ours, theirs, values in (
        (classification.auroc, roc_auc_score, scores),
        (classification.average_precision, average_precision_score, scores),
        (classification.f1, f1_score, called),
        (classification.accuracy, accuracy_score, called),
    ):
        assert ours(labels, values) == pytest.approx(theirs(labels[keep], values[keep]), abs=1e-12)


def test_f1_by_hand_and_where_it_means_nothing():
    # TP 1, FP 1, FN 1; the unknown one was called positive.
    labels, called = np.array([1, 0, 1, 0, -2]), np.array([True, True, False, False, True])
    assert classification.f1(labels, called) == 0.5
    assert classification.accuracy(labels, called) == 0.5
    none = np.zeros(3, int)
    assert np.isnan(classification.f1(none, none.astype(bool)))
    assert classification.f1(none, np.array([True, False, False])) == 0
    assert np.isnan(classification.f1(none - 2, none)) and np.isnan(
        classification.accuracy(none - 2, none)
    )


def test_threshold_has_the_best_f1_of_all():
    rng = np.random.default_rng(0)
    labels = rng.choice([1, 0, -2], 80)
    scores = labels.clip(0) + rng.normal(size=80).round(1)
    chosen = classification.best_threshold(labels, scores)
    best = max(classification.f1(labels, scores >= t) for t in np.unique(scores))
    assert classification.f1(labels, scores >= chosen) == best
    assert classification.best_threshold(np.array([0, 0]), np.zeros(2)) == np.inf


def test_one_of_several_classes():
    classes, named = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    assert classification.multiclass_accuracy(classes, named) == 0.5
    # F1 2/3, 1/2, 0.
    assert classification.multiclass_f1(classes, named, 3) == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert classification.multiclass_f1(classes, named, 4) == pytest.approx((2 / 3 + 1 / 2) / 4)
