"""Percentile intervals by resampling patients: images of one patient are not independent."""

from collections.abc import Callable, Sequence

import numpy as np

_BLOCK_SIZE = 4_000_000  # weights given to a statistic at once: bounds its temporaries to ~100 MB


def resample(patient_id: Sequence[str], replicates: int, seed: int = 0) -> np.ndarray:
    """Draws patients with replacement, all images of a patient together.

    Args:
      patient_id: [n] the patient of each example.
      replicates: R.
      seed: the same seed draws the same patients: give two models the same weights and take the
        interval of their difference for a paired comparison.

    Returns:
      [R, n] int32, how often each replicate holds each example.
    """
    _, patient = np.unique(np.asarray(patient_id), return_inverse=True)
    patients = patient.max(initial=-1) + 1
    if patients == 0:
        raise ValueError("patient_id holds 0 examples: a bootstrap takes at least 1")
    drawn = np.random.default_rng(seed).multinomial(
        patients, np.full(patients, 1 / patients), size=replicates
    )
    return drawn.astype(np.int32)[:, patient.reshape(-1)]


def resampled_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of per-example values [n] in each replicate [R, n]; examples of value NaN are left out.

    Returns:
      [R] float64.
    """
    keep = ~np.isnan(values)
    held = weights[:, keep].astype(np.float64)
    total = held.sum(axis=1)
    return np.divide(held @ values[keep], total, out=np.full(len(weights), np.nan), where=total > 0)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The central interval of replicates [R], those that are NaN left out; NaN where all are."""
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    patient_id: Sequence[str],
    *,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval of a statistic that maps replicates' weights [R, n] to their values [R].

    For example `bootstrap_interval(lambda w: resampled_auroc(labels, scores, w), patient_id)`.
    """
    weights = resample(patient_id, replicates, seed)
    return percentile_interval(in_blocks(statistic, weights), level)


def in_blocks(statistic: Callable[[np.ndarray], np.ndarray], weights: np.ndarray) -> np.ndarray:
    """statistic(weights) [R], a block of replicates at a time: its temporaries stay small."""
    blocks = np.array_split(weights, max(1, weights.size // _BLOCK_SIZE))
    return np.concatenate([statistic(block) for block in blocks])
