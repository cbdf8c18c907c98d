"""Retrieval by class, as 5x200 is reported: of reports that show one class, the image's class.

P@K counts a report of the image's class as right, whoever's it is. The list is drawn several times.
"""

from collections.abc import Sequence

import numpy as np

from place_jax.metrics.bootstrap import resample, resampled_mean
from place_jax.metrics.retrieval import precision_at_k
from place_jax.metrics.scores import Scores
from place_jax.transfer.features import Features
from place_jax.transfer.protocols.class_lists import exclusive_rows

_CUTS = (1, 5, 10)


def evaluate_class_retrieval(
    features: Features,
    classes: Sequence[str],
    *,
    split: str,
    resamplings: int = 5,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scores:
    """P@1, P@5 and P@10, image to report, mean over queries and then over drawn lists.

    Args:
      features: of the split; of each class at most 200 examples are drawn.
      classes: C names.
      split: for the names.
      resamplings: lists drawn; where no class has more than 200 all are the same.
      bootstrap: replicates over patients of the first list for 95 % intervals; 0 for none.
      seed: of the draws and the bootstrap.

    Returns:
      `retrieval/SPLIT/precision_at_1` and so on, `..._resampling_deviation`, the standard deviation
      over lists; `.../class_examples`, and `.../precision_chance`, what a random order reaches.
      Empty where fewer than two classes have an example.
    """
    base = f"retrieval/{split}"
    found: dict[int, list[np.ndarray]] = {}
    chance, rows = [], np.zeros(0, int)
    for draw in range(max(resamplings, 1)):
        drawn, of = exclusive_rows(features.labels, features.label_names, classes, seed=seed + draw)
        if len(np.unique(of)) < 2:
            return Scores()
        relevant = of[:, None] == of[None, :]
        similarity = features.image_embedding[drawn] @ features.report_embedding[drawn].T
        for k in _CUTS:
            if k <= len(drawn):
                found.setdefault(k, []).append(precision_at_k(similarity, relevant, k))
        chance.append(relevant.mean())
        rows = drawn if draw == 0 else rows
    out = Scores({f"{base}/class_examples": float(len(rows))})
    out.add(f"{base}/precision_chance", float(np.mean(chance)))
    weights = None
    if bootstrap:
        weights = resample([features.patient_id[row] for row in rows], bootstrap, seed)
    for k, lists in found.items():
        means = [float(values.mean()) for values in lists]
        replicates = None
        if weights is not None:
            # Of the first list's patients, moved to the mean over lists.
            replicates = resampled_mean(lists[0], weights) - means[0] + np.mean(means)
        out.add(f"{base}/precision_at_{k}", float(np.mean(means)), replicates)
        out.add(f"{base}/precision_at_{k}_resampling_deviation", float(np.std(means)))
    return out
