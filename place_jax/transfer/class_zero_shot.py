"""Zero-shot classification into one of several classes, as 5x200 and 8x200 are reported."""

import enum
from collections.abc import Mapping, Sequence

import numpy as np

from place_jax.metrics.bootstrap import resample
from place_jax.metrics.classification import multiclass_accuracy, multiclass_f1
from place_jax.metrics.resampled import resampled_multiclass
from place_jax.metrics.scores import Confusion, Scores
from place_jax.transfer.features import Features
from place_jax.transfer.names import snake_case
from place_jax.transfer.protocols.class_lists import exclusive_rows
from place_jax.transfer.zero_shot import Combine, EncodedPrompts, side_scores


class Normalisation(enum.Enum):
    """What is done to the scores of a class before the classes are compared."""

    NONE = "none"
    TRANSDUCTIVE = "transductive"  # GLoRIA: centred and scaled over the test images themselves


def class_scores(
    image_embedding: np.ndarray,
    prompts: Sequence[EncodedPrompts],
    *,
    combine: Combine,
    normalisation: Normalisation,
) -> np.ndarray:
    """[n, C] score of each image for each class, by its positive prompts."""
    scores = np.stack([side_scores(image_embedding, p.positive, combine) for p in prompts], axis=1)
    if normalisation is Normalisation.TRANSDUCTIVE:
        scores = (scores - scores.mean(axis=0)) / np.maximum(scores.std(axis=0), 1e-12)
    return scores


def evaluate_classes(
    features: Features,
    prompts: Mapping[str, EncodedPrompts],
    classes: Sequence[str],
    *,
    split: str,
    combine: Combine = Combine.MEAN,
    normalisation: Normalisation = Normalisation.NONE,
    bootstrap: int = 0,
    seed: int = 0,
) -> Scores:
    """Accuracy and macro F1 over images that show one class alone, of the classes that any shows.

    Args:
      features: of the split; of each class at most 200 images are taken.
      prompts: of every class.
      classes: C names.
      split: for the names.
      combine: of the prompts of a class.
      normalisation: transductive scores end in `_transductive`.
      bootstrap: replicates over patients for 95 % intervals; 0 for none.
      seed: of the draw and the bootstrap.

    Returns:
      `zero_shot/SPLIT/class_accuracy`, `.../class_macro_f1` and `.../class_examples/CLASS`, with
      the confusion as a detail. Empty where fewer than two classes have an image.
    """
    rows, truth = exclusive_rows(features.labels, features.label_names, classes, seed=seed)
    shown, truth = np.unique(truth, return_inverse=True)
    classes = [classes[k] for k in shown]  # one that no image shows would count 0 in F1
    if len(classes) < 2:
        return Scores()
    scores = class_scores(
        features.image_embedding[rows],
        [prompts[name] for name in classes],
        combine=combine,
        normalisation=normalisation,
    )
    called = scores.argmax(axis=1)
    accuracy = f1 = None
    if bootstrap:
        weights = resample([features.patient_id[row] for row in rows], bootstrap, seed)
        accuracy, f1 = resampled_multiclass(truth, called, len(classes), weights)
    ending = "_transductive" if normalisation is Normalisation.TRANSDUCTIVE else ""
    base = f"zero_shot/{split}/class"
    out = Scores({f"{base}_examples": float(len(rows))})
    out.add(f"{base}_accuracy{ending}", multiclass_accuracy(truth, called), accuracy)
    out.add(f"{base}_macro_f1{ending}", multiclass_f1(truth, called, len(classes)), f1)
    for k, name in enumerate(classes):
        out.add(f"{base}_examples/{snake_case(name)}", np.count_nonzero(truth == k))
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (truth, called), 1)
    out.details[f"{base}_confusion{ending}"] = Confusion(tuple(classes), counts)
    return out
