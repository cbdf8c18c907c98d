"""A part of the training data, for the low-data settings: 1 %, 10 %."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput, Key
from data_pipelines.sources.lists import draw_order

_PANDAS_SEED = 42


def subset(keys: Sequence[Key], fraction: float, *, seed: int = 0) -> list[Key]:
    """The keys of the first patients, in an order drawn from the seed, that make up the fraction.

    Nested: what a smaller fraction holds, a larger one of the same seed holds too, so that more
    data is the same data and more. Patients are kept whole. The order of `keys` is kept.

    Raises:
      BadInput: bad_fraction.
    """
    positions = subset_positions([key.patient_id for key in keys], fraction, seed=seed)
    return [keys[i] for i in positions]


def subset_positions(patients: Sequence[str], fraction: float, *, seed: int = 0) -> np.ndarray:
    """[k] positions of `subset`, ascending, from the patient of every image: what a prepared
    folder's index holds.

    At least one patient; as few as reach `fraction` of the images, rounded.
    """
    wanted = _wanted(len(patients), fraction)
    count = Counter(patients)
    kept, images = set(), 0
    for patient in draw_order(count, seed, "subset"):
        if kept and images >= wanted:
            break
        kept.add(patient)
        images += count[patient]
    return np.flatnonzero([patient in kept for patient in patients])


def mgca_compat_positions(images: int, fraction: float) -> np.ndarray:
    """[k] positions, in the order drawn, as `df.sample(frac=fraction, random_state=42)` of pandas
    draws them from a list of so many rows: by image, not by patient, and not nested.
    """
    wanted = _wanted(images, fraction)
    return np.random.RandomState(_PANDAS_SEED).choice(images, size=wanted, replace=False)


def _wanted(images: int, fraction: float) -> int:
    if not 0 < fraction <= 1:
        raise BadInput("bad_fraction", f"fraction={fraction} must be above 0 and at most 1")
    return round(fraction * images)
