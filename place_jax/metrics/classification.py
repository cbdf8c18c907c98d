"""AUROC, average precision, F1 and accuracy per label, with missing labels, and macro means.

A label that is uncertain (-1) or missing (-2) says nothing of that example and is left out of that
label's metric. A label that has only one class left has no AUROC and no average precision: they are
NaN, and left out of the macro mean.
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


def f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN); NaN where nothing is positive and nothing is called so.

    Args:
      labels: [n] 1, 0, or left out (-1, -2).
      predicted: [n] bool.
    """
    keep = known(labels)
    if not keep.any():
        return float("nan")
    return float(
        sklearn_metrics.f1_score(
            labels[keep], predicted[keep].astype(labels.dtype), zero_division=np.nan
        )
    )


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Fraction of the known labels that were called right; NaN where none is known."""
    keep = known(labels)
    if not keep.any():
        return float("nan")
    return float(((labels[keep] == 1) == predicted[keep].astype(bool)).mean())


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The score from which on calling positive gives the highest F1; the highest such score.

    To be taken on a validation split. Infinite where nothing is positive.
    """
    keep = known(labels)
    if not (labels[keep] == 1).any():
        return float("inf")
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(
        labels[keep], scores[keep]
    )
    # In the form of `f1`; precision + recall is 0 where nothing was found.
    value = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    value = value[:-1]  # the last point has no threshold
    return float(thresholds[np.flatnonzero(value == value.max())[-1]])


def multiclass_accuracy(classes: np.ndarray, predicted: np.ndarray) -> float:
    """Fraction of [n] class numbers that were named right."""
    return float((classes == predicted).mean())


def multiclass_f1(classes: np.ndarray, predicted: np.ndarray, count: int) -> float:
    """Macro F1 over `count` classes; a class that nobody names and nothing is of counts 0."""
    return float(
        sklearn_metrics.f1_score(
            classes, predicted, labels=range(count), average="macro", zero_division=0
        )
    )


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
