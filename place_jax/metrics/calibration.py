"""Probabilities against what came true: temperature, expected calibration error, Brier score."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from place_jax.metrics.classification import known

_BINS = 10


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The T under which sigmoid(logits / T) explains the labels best (Guo et al., 1706.04599).

    Args:
      labels: of any shape, 1, 0, or left out (-1, -2); of a validation split.
      logits: of the same shape.

    Returns:
      T within 1e-3 .. 1e3; NaN where the labels have one class only.
    """
    keep = known(labels)
    signs = np.where(labels[keep] == 1, 1.0, -1.0)
    values = np.asarray(logits, np.float64)[keep] * signs
    if len(np.unique(signs)) < 2:
        return float("nan")
    found = minimize_scalar(
        lambda log_t: -log_expit(values * np.exp(-log_t)).mean(),
        bounds=(np.log(1e-3), np.log(1e3)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def brier_score(labels: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared distance of probability and label, over known labels; NaN without any."""
    keep = known(labels)
    if not keep.any():
        return float("nan")
    return float(np.mean((probability[keep] - (labels[keep] == 1)) ** 2))


def expected_calibration_error(
    labels: np.ndarray, probability: np.ndarray, bins: int = _BINS
) -> float:
    """Mean distance of the positives' share to the mean probability, over bins of equal width.

    Each bin weighs by the known labels in it (Naeini et al., AAAI 2015); NaN without any.
    """
    keep = known(labels)
    if not keep.any():
        return float("nan")
    positive, probability = labels[keep] == 1, probability[keep].astype(np.float64)
    which = np.minimum((probability * bins).astype(int), bins - 1)
    gap = np.bincount(which, positive - probability, minlength=bins)
    return float(np.abs(gap).sum() / len(positive))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """sigmoid(logits / temperature)."""
    return expit(np.asarray(logits, np.float64) / temperature)
