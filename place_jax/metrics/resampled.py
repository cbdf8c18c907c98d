"""Metrics of every bootstrap replicate at once, from one sorting of the scores.

A replicate is how often it holds each example: `weights` [R, n] of `bootstrap.resample`. A label
that is not known is left out; a replicate without a value is NaN.
"""

import numpy as np

from place_jax.metrics.classification import known


def resampled_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of every bootstrap replicate.

    Args:
      labels: [n] 1, 0, or left out.
      scores: [n].
      weights: [R, n].

    Returns:
      [R] float64, NaN where a replicate holds one class only.
    """
    positive, negative = _by_score(labels, scores, weights)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _divide(won, pairs)


def resampled_average_precision(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Average precision of every bootstrap replicate; NaN where it holds one class only.

    Args:
      labels: [n] 1, 0, or left out.
      scores: [n].
      weights: [R, n].
    """
    positive, negative = _by_score(labels, scores, weights)
    both = (positive.sum(axis=1) > 0) & (negative.sum(axis=1) > 0)
    positive, negative = positive[:, ::-1], negative[:, ::-1]  # the highest score first
    found = np.cumsum(positive, axis=1)
    taken = found + np.cumsum(negative, axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    value = _divide((precision * positive).sum(axis=1), positive.sum(axis=1))
    return np.where(both, value, np.nan)


def resampled_f1(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of every bootstrap replicate; NaN where nothing is positive and nothing is called so.

    Args:
      labels: [n] 1, 0, or left out.
      predicted: [n] bool.
      weights: [R, n].
    """
    keep = known(labels)
    positive, called = labels[keep] == 1, predicted[keep].astype(bool)
    held = weights[:, keep].astype(np.float64)
    hits, wrong = held @ (positive & called), held @ (positive ^ called)
    return _divide(2 * hits, 2 * hits + wrong)


def resampled_accuracy(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Accuracy of every bootstrap replicate, of labels and predictions as of `resampled_f1`."""
    keep = known(labels)
    right = (labels[keep] == 1) == predicted[keep].astype(bool)
    held = weights[:, keep].astype(np.float64)
    return _divide(held @ right, held.sum(axis=1))


def resampled_multiclass(
    classes: np.ndarray, called: np.ndarray, count: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and macro F1 of every bootstrap replicate, both [R].

    Args:
      classes: [n] of 0..count-1.
      called: [n] likewise.
      count: of the classes; one that is absent and not called counts 0 in F1.
      weights: [R, n].
    """
    held = weights.astype(np.float64)
    right = held @ (classes == called)
    f1 = []
    for k in range(count):
        hits = held @ ((classes == k) & (called == k))
        wrong = held @ ((classes == k) ^ (called == k))
        f1.append(np.nan_to_num(_divide(2 * hits, 2 * hits + wrong)))
    return _divide(right, held.sum(axis=1)), np.mean(f1, axis=0)


def _by_score(labels, scores, weights) -> tuple[np.ndarray, np.ndarray]:
    """[R, u] weight of the positives and of the negatives at each distinct score, ascending."""
    keep = known(labels)
    labels, scores, weights = labels[keep], scores[keep], weights[:, keep].astype(np.float64)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)])
    positive = _sum_ties(weights[:, order] * (labels[order] == 1), starts)
    return positive, _sum_ties(weights[:, order] * (labels[order] == 0), starts)


def _sum_ties(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Adds up the columns of equal score; `starts` are where they begin."""
    return np.add.reduceat(values, starts, axis=1) if len(starts) else values


def _divide(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0)
