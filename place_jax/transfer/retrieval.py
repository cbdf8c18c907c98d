"""Retrieval: of many distinct reports the one that was written about an image, and the reverse."""

import dataclasses

import numpy as np

from place_jax.metrics.bootstrap import resample, resampled_mean
from place_jax.metrics.retrieval import first_relevant_rank, median_rank, recall_at_k
from place_jax.metrics.scores import Scores
from place_jax.transfer.features import Features

_CUTS = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class Pool:
    """N distinct reports with one image each.

    Attributes:
      rows: [N] rows of the features: the first of each distinct report, in the split's order.
      similarity: [N, N] cosine of image i and report j.
    """

    rows: np.ndarray
    similarity: np.ndarray


def make_pool(features: Features, size: int) -> Pool:
    """The first `size` distinct reports of the split; fewer where it has no more.

    Reports are told apart by their statements, so that no candidate is an equal right answer:
    with copies in the pool, recall at 1 would punish the right choice.
    """
    first = np.unique(features.report_statement, axis=0, return_index=True)[1]
    rows = np.sort(first)[:size]
    return Pool(rows, features.image_embedding[rows] @ features.report_embedding[rows].T)


def evaluate_retrieval(
    features: Features, *, split: str, pool: int, bootstrap: int = 0, seed: int = 0
) -> Scores:
    """Recall at 1, 5 and 10 and median rank, image to text and text to image.

    A tie counts against the query, so that embeddings that all coincide score 0.

    Args:
      features: of the split.
      split: for the names.
      pool: distinct reports to choose from, each with one image, so that lists are comparable; 0
        for every image of the split, and all of its distinct reports. An image is then found by a
        report that equals its own, and a report by any image that has it.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the bootstrap.

    Returns:
      `retrieval/SPLIT/recall_at_1` and so on (image to text),
      `retrieval/SPLIT/text_to_image_recall_at_1` and so on, `retrieval/SPLIT/pool_size`: how many
      there were. Chance is K / pool_size. Empty where there are fewer than two reports.
    """
    if pool:
        chosen = make_pool(features, pool)
        rows, similarity, relevant = chosen.rows, chosen.similarity, np.eye(len(chosen.rows))
    else:
        rows = np.sort(np.unique(features.report_statement, axis=0, return_index=True)[1])
        similarity = features.image_embedding @ features.report_embedding[rows].T
        own, theirs = features.report_statement[:, None], features.report_statement[rows][None]
        relevant = (own == theirs).all(axis=-1)
    relevant = relevant.astype(bool)
    size = len(rows)
    if size < 2:
        return Scores()
    out = Scores({f"retrieval/{split}/pool_size": float(size)})
    patients = np.array(features.patient_id)
    image_patients = patients[rows] if pool else patients
    for direction, scores, right, queries in (
        ("", similarity, relevant, image_patients),
        ("text_to_image_", similarity.T, relevant.T, patients[rows]),
    ):
        rank = first_relevant_rank(scores, right)
        weights = resample(queries, bootstrap, seed) if bootstrap else None
        for k in _CUTS:
            if k > scores.shape[1]:
                continue
            name = f"retrieval/{split}/{direction}recall_at_{k}"
            hits = recall_at_k(rank, k)
            replicates = None if weights is None else resampled_mean(hits, weights)
            out.add(name, hits.mean(), replicates)
        out.add(f"retrieval/{split}/{direction}median_rank", median_rank(rank))
    return out
