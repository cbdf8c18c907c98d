"""The 5x200 list: 200 images of each of five classes, alone among the 14 observations.

GLoRIA's rule (`gloria/datasets/preprocess_datasets.py`), which MGCA's code repeats. Nobody
publishes the list itself: the rule, the seed and the order of the owner's list give it again.
"""

import numpy as np

from data_pipelines.records import CHEXPERT_LABELS, Label

# In the order of the competition that CheXpert was made for.
COMPETITION_CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Pleural Effusion",
)
PER_CLASS = 200
SEED = 0
_UNCHECKED = "No Finding"  # the rule does not look at it


def positions_of_5x200(labels: np.ndarray, frontal: np.ndarray) -> np.ndarray:
    """[k] rows of the list, class after class; a class of fewer than 200 gives all that it has.

    A row is taken for a class that is positive where each of the twelve others is negative or not
    mentioned; an uncertain one excludes it.

    Args:
      labels: [n, 14] of the owner's whole training list, in its order, on which the draw depends.
      frontal: [n] bool.
    """
    number = {name: i for i, name in enumerate(CHEXPERT_LABELS)}
    absent = (labels == Label.NEGATIVE) | (labels == Label.MISSING)
    drawn = []
    for name in COMPETITION_CLASSES:
        others = [i for other, i in number.items() if other not in (name, _UNCHECKED)]
        alone = (labels[:, number[name]] == Label.POSITIVE) & absent[:, others].all(axis=1)
        candidates = np.flatnonzero(frontal & alone)
        # As pandas' sample(n=200, random_state=0) draws; NumPy's old generator is frozen.
        order = np.random.RandomState(SEED).choice(
            len(candidates), size=min(PER_CLASS, len(candidates)), replace=False
        )
        drawn.append(candidates[order])
    return np.concatenate(drawn)
