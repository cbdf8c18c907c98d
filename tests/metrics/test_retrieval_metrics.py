"""Retrieval by hand-worked tables: ranks, ties, equal texts."""

import numpy as np
import pytest

from place_jax.metrics import retrieval

SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.5, 0.3],
        [0.9, 0.8, 0.7, 0.1],
        [0.4, 0.4, 0.4, 0.2],
    ]
)
OWN = np.eye(3, 4, dtype=bool)


def test_ranks_recall_and_median_by_hand():
    rank = retrieval.first_relevant_rank(SIMILARITY, OWN)
    assert rank.tolist() == [1, 2, 3]  # the last ties with two that are wrong: both before it
    assert retrieval.recall_at_k(rank, 1).tolist() == [1, 0, 0]
    assert retrieval.recall_at_k(rank, 2).mean() == pytest.approx(2 / 3)
    assert retrieval.median_rank(rank) == 2


def test_the_best_of_several_relevant_candidates_counts():
    relevant = np.array([[False, True, True, False]] * 3)
    assert retrieval.first_relevant_rank(SIMILARITY, relevant).tolist() == [2, 2, 2]


def test_precision_at_k_by_hand():
    relevant = np.array(
        [[True, False, True, False], [False, True, False, True], [True, *[False] * 3]]
    )
    assert retrieval.precision_at_k(SIMILARITY, relevant, 1).tolist() == [1, 0, 0]
    assert retrieval.precision_at_k(SIMILARITY, relevant, 2).tolist() == [1, 0.5, 0]
    assert retrieval.precision_at_k(SIMILARITY, relevant, 3).tolist() == pytest.approx(
        [2 / 3, 1 / 3, 1 / 3]
    )
    assert retrieval.precision_at_k(SIMILARITY, relevant, 4).tolist() == [0.5, 0.5, 0.25]


def test_collapsed_embeddings_score_nothing():
    same, own = np.ones((5, 5)), np.eye(5, dtype=bool)
    assert retrieval.first_relevant_rank(same, own).tolist() == [5] * 5
    assert retrieval.precision_at_k(same, own, 4).sum() == 0
    broken = np.full((5, 5), np.nan)
    assert retrieval.first_relevant_rank(broken, own).tolist() == [5] * 5


def test_equal_texts_are_one_candidate_at_their_best_score():
    keys = np.array([[0, 7], [1, 7], [0, 7], [0, 8]], np.uint32)
    group = retrieval.group_equal(keys)
    assert group.tolist() == [0, 2, 0, 1]
    merged = retrieval.merge_equal(SIMILARITY, group)
    assert merged.tolist() == [[0.9, 0.3, 0.1], [0.9, 0.1, 0.8], [0.4, 0.2, 0.4]]
    # The second query loses to one wrong text, which two candidates hold, and so ranks second.
    relevant = group[:3, None] == np.arange(3)
    assert retrieval.first_relevant_rank(merged, relevant).tolist() == [1, 2, 2]


def test_bad_requests_are_one_clear_line():
    with pytest.raises(ValueError, match="k=5 of 4 candidates: use 1 to 4"):
        retrieval.precision_at_k(SIMILARITY, OWN, 5)
    with pytest.raises(ValueError, match="1 of 3 queries have no relevant candidate"):
        retrieval.first_relevant_rank(SIMILARITY, OWN & (np.arange(4) != 1))
