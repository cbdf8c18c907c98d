"""AUROC and average precision per label, with missing labels, and their macro means.

A label that is uncertain (-1) or missing (-2) says nothing of that example and is left out of that
label's metric. A label that has only one class left has no AUROC: it is NaN, and left out of the
macro mean.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn import metrics as sklearn_metrics


def known(labels: np.ndarray) -> np.ndarray:
    """Which labels, of any shape, are 0 or 1."""
    return (labels == 0) | (labels == 1)


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; ties count half; NaN where only one class is known.

    Args:
      labels: [n] 1, 0, or left out (-1, -2).
      scores: [n], higher for 1.
    """
    return _binary(sklearn_metrics.roc_auc_score, labels, scores)


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve by steps; NaN where only one class is known.

    Args:
      labels: [n] 1, 0, or left out (-1, -2).
      scores: [n], higher for 1.
    """
    return _binary(sklearn_metrics.average_precision_score, labels, scores)


def _binary(metric: Callable, labels: np.ndarray, scores: np.ndarray) -> float:
    keep = known(labels)
    labels, scores = labels[keep], scores[keep]
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(scores))} of {len(scores)} scores are not finite: "
            "drop the checkpoint that gave them"
        )
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(metric(labels, scores))


def per_label(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
) -> dict[str, float]:
    """A metric of each column of labels [n, C] and scores [n, C], by its name."""
    return {name: metric(labels[:, i], scores[:, i]) for i, name in enumerate(names)}


def macro(values: Mapping[str, float] | Sequence[float]) -> float:
    """Mean over the labels that have a value; NaN where none has."""
    values = np.asarray(list(values.values() if isinstance(values, Mapping) else values), float)
    return float(values[~np.isnan(values)].mean()) if not np.isnan(values).all() else float("nan")


def resampled_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of every bootstrap replicate, from one sorting of the scores.

    Args:
      labels: [n] 1, 0, or left out.
      scores: [n].
      weights: [R, n], how often each replicate holds each example: `bootstrap.resample`.

    Returns:
      [R] float64, NaN where a replicate holds one class only.
    """
    keep = known(labels)
    labels, scores, weights = labels[keep], scores[keep], weights[:, keep].astype(np.float64)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)])
    positive = _sum_ties(weights[:, order] * (labels[order] == 1), starts)
    negative = _sum_ties(weights[:, order] * (labels[order] == 0), starts)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def _sum_ties(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Adds up the columns of equal score; `starts` are where they begin."""
    return np.add.reduceat(values, starts, axis=1) if len(starts) else values
