"""Retrieval: recall at K, median rank, precision at K. A tie never helps.

Ties are resolved against the query: an irrelevant candidate of equal score ranks before a relevant
one, so that embeddings that collapsed to one point score nothing. Equal texts are one candidate.
"""

import numpy as np


def group_equal(keys: np.ndarray) -> np.ndarray:
    """Numbers equal rows alike.

    Args:
      keys: [m] or [m, k], such as report fingerprints.

    Returns:
      [m] int, 0 to the number of distinct rows - 1.
    """
    keys = np.asarray(keys)
    group = np.unique(keys, axis=0, return_inverse=True)[1]
    return group.reshape(-1)


def merge_equal(similarity: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Makes equal candidates one, at the best of their scores.

    Args:
      similarity: [n, m].
      group: [m] from `group_equal` of the candidates.

    Returns:
      [n, U], one column for each of the U distinct candidates, in the order of their numbers.
    """
    merged = np.full((similarity.shape[0], group.max() + 1), -np.inf, similarity.dtype)
    np.maximum.at(merged.T, group, similarity.T)
    return merged


def first_relevant_rank(similarity: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Rank of each query's best relevant candidate, from 1.

    Args:
      similarity: [n, m].
      relevant: [n, m] bool, at least one in each row.

    Returns:
      [n] int: 1 + the irrelevant candidates that score as high or higher.
    """
    if not relevant.any(axis=1).all():
        raise ValueError(
            f"{np.count_nonzero(~relevant.any(axis=1))} of {len(relevant)} queries have no "
            "relevant candidate: leave them out"
        )
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    # "not below" so that a NaN similarity counts against the query as well.
    return 1 + np.count_nonzero(~relevant & ~(similarity < best), axis=1)


def recall_at_k(rank: np.ndarray, k: int) -> np.ndarray:
    """[n] 1.0 for the queries whose best relevant candidate is among the first k."""
    return (rank <= k).astype(np.float64)


def median_rank(rank: np.ndarray) -> float:
    """Median over queries; chance is about half of the candidates."""
    return float(np.median(rank))


def precision_at_k(similarity: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Fraction of each query's first k candidates that are relevant.

    Args:
      similarity: [n, m].
      relevant: [n, m] bool.
      k: 1 to m.

    Returns:
      [n] float64.
    """
    candidates = similarity.shape[1]
    if not 1 <= k <= candidates:
        raise ValueError(f"k={k} of {candidates} candidates: use 1 to {candidates}")
    order = np.lexsort((relevant, -similarity), axis=1)[:, :k]
    return np.take_along_axis(relevant, order, axis=1).mean(axis=1)
