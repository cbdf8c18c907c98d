"""Balanced lists of images that show one class alone: 5x200 and 8x200."""

from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput, Label
from data_pipelines.sources.five_by_200 import COMPETITION_CLASSES, PER_CLASS

# 8x200: Zhang et al., ConVIRT (arXiv 2010.00747), whose list EGMA uses too.
CLASS_LISTS = {
    "5x200": COMPETITION_CLASSES,
    "8x200": (
        "Atelectasis",
        "Cardiomegaly",
        "Edema",
        "Fracture",
        "Pleural Effusion",
        "Pneumonia",
        "Pneumothorax",
        "No Finding",
    ),
}
_UNCHECKED = "No Finding"  # GLoRIA's rule does not look at it where another class is meant


def classes_named(names: Sequence[str], label_names: Sequence[str]) -> tuple[str, ...]:
    """The classes of a list (`5x200`, `8x200`), or those named, that the data label.

    Raises:
      BadInput: unknown_label, or fewer than two of them are labelled.
    """
    listed = len(names) == 1 and names[0] in CLASS_LISTS
    wanted = CLASS_LISTS[names[0]] if listed else tuple(names)
    unknown = [name for name in wanted if name not in label_names]
    if unknown and not listed:
        raise BadInput(
            "unknown_label",
            f"class {unknown[0]!r} is no label of these data: use 5x200, 8x200 or some of "
            f"{', '.join(label_names)}",
        )
    found = tuple(name for name in wanted if name in label_names)
    if len(found) < 2:
        raise BadInput(
            "too_few_classes", f"{len(found)} of the classes are labelled: two or more are needed"
        )
    return found


def exclusive_rows(
    labels: np.ndarray,
    label_names: Sequence[str],
    classes: Sequence[str],
    *,
    per_class: int = PER_CLASS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are positive for one class and in no other label positive or uncertain.

    GLoRIA's rule, on whatever labels the data have. A class of more than `per_class` rows gives as
    many, drawn from the seed; another seed is another list.

    Args:
      labels: [n, K] of `records.Label`.
      label_names: K names.
      classes: C of them.
      per_class: at most.
      seed: of the draw.

    Returns:
      rows [m], and the class of each, [m] of 0..C-1.
    """
    number = {name: i for i, name in enumerate(label_names)}
    absent = (labels == Label.NEGATIVE) | (labels == Label.MISSING)
    rows, of = [], []
    for k, name in enumerate(classes):
        others = [i for other, i in number.items() if other not in (name, _UNCHECKED)]
        alone = (labels[:, number[name]] == Label.POSITIVE) & absent[:, others].all(axis=1)
        found = np.flatnonzero(alone)
        if len(found) > per_class:
            found = np.sort(np.random.default_rng((seed, k)).permutation(found)[:per_class])
        rows.append(found)
        of.append(np.full(len(found), k))
    return np.concatenate(rows), np.concatenate(of)
