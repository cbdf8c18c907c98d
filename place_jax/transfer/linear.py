"""Linear classification on frozen features, beside the same encoder untrained.

For each fraction of the training labels, several probes that differ in the subset and the order of
their batches. The test split is read for the chosen probes alone.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_pipelines.records import BadInput
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol
from data_pipelines.sources.subsets import mgca_compat_positions, subset_positions
from place_jax.metrics.bootstrap import in_blocks, resample
from place_jax.metrics.classification import (
    accuracy,
    auroc,
    average_precision,
    best_threshold,
    f1,
    known,
    multiclass_accuracy,
    multiclass_f1,
)
from place_jax.metrics.resampled import (
    resampled_accuracy,
    resampled_auroc,
    resampled_average_precision,
    resampled_f1,
    resampled_multiclass,
)
from place_jax.metrics.scores import Confusion, Ranking, Scores
from place_jax.transfer.calibration import score_calibration
from place_jax.transfer.image_features import ImageFeatures
from place_jax.transfer.names import percent, snake_case
from place_jax.transfer.probe import Examples, train_probes
from place_jax.transfer.protocols import linear_probe

FRACTIONS = (0.01, 0.1, 1.0)
_RANKED = {
    "auroc": (auroc, resampled_auroc),
    "average_precision": (average_precision, resampled_average_precision),
}
_CALLED = {"f1": (f1, resampled_f1), "accuracy": (accuracy, resampled_accuracy)}


def evaluate_linear(
    splits: Mapping[str, ImageFeatures],
    *,
    data_name: str,
    protocol: str = "strict",
    fractions: Sequence[float] = FRACTIONS,
    seeds: int = 5,
    bootstrap: int = 1000,
    seed: int = 0,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Scores:
    """Trains the probes and scores them on the test split.

    A class takes part where train, validation and test know both kinds of it.

    Args:
      splits: train, validation and test.
      data_name: of the prepared data, for its classes and its reading of blanks.
      protocol: strict or mgca_compat.
      fractions: of the training examples.
      seeds: probes for each fraction.
      bootstrap: replicates over the test split's patients for 95 % intervals; 0 for none.
      seed: of the first probe, and of the bootstrap.
      groups: name -> [n] bool, parts of the test split to be scored by themselves too.

    Returns:
      `linear/test/100_percent/macro_auroc` and `.../auroc/CLASS`, the same of average_precision,
      f1 and accuracy (called at the validation split's best F1): means over seeds, with the
      interval of that mean over patients; `.../macro_auroc_seed_deviation`;
      `.../train_examples`; `.../GROUP/macro_auroc` and `.../GROUP/examples`.

    Raises:
      BadInput: unknown_protocol, bad_fraction, bad_seeds, or no class can be scored.
    """
    check_runs(protocol, fractions, seeds)
    labels = {
        name: (linear_probe.scored_labels if name == "test" else linear_probe.training_labels)(
            split.labels, split.label_names, data_name, protocol
        )
        for name, split in splits.items()
    }
    label_names = splits["test"].label_names
    classes = scored_classes(labels, label_names, data_name)
    recipe = linear_probe.recipe(protocol, data_name, len(classes))
    columns = [label_names.index(name) for name in classes]
    examples = {
        name: Examples(split.features, labels[name][:, columns]) for name, split in splits.items()
    }
    subsets = [
        [
            choose_subset(splits["train"].patient_id, fraction, protocol, seed + k)
            for k in range(seeds)
        ]
        for fraction in fractions
    ]
    probes = train_probes(examples["train"], examples["validation"], subsets, recipe, seed=seed)
    test = examples["test"]
    weights = resample(splits["test"].patient_id, bootstrap, seed) if bootstrap else None
    out = Scores()
    for fraction, trained, drawn in zip(fractions, probes, subsets, strict=True):
        held_out = examples["validation"]
        logits = trained.logits(test.features)
        theirs = held_out.labels, trained.logits(held_out.features)
        scores = score_logits(theirs, (test.labels, logits), classes, weights)
        calibrated = score_calibration(
            (held_out.labels, theirs[1][0]), (test.labels, logits[0]), temperature=1.0
        )
        scores |= calibrated.prefixed("first_seed")
        if recipe.loss is linear_probe.Loss.SOFTMAX:
            scores |= _score_one_of(test.labels, logits, classes, weights)
        scores.add("train_examples", float(np.mean([len(positions) for positions in drawn])))
        for group, inside in (groups or {}).items():
            scores |= _score_group(
                logits[:, inside],
                test.labels[inside],
                None if weights is None else weights[:, inside],
            ).prefixed(group)
        if fraction != max(fractions):
            scores.details.clear()
        out |= scores.prefixed(f"linear/test/{percent(fraction)}")
    return out


def check_runs(protocol: str, fractions: Sequence[float], seeds: int) -> None:
    """Raises BadInput: unknown_protocol, bad_fraction, bad_seeds; before anything costs time."""
    check_protocol(protocol)
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise BadInput("bad_fraction", f"fraction={fraction} must be above 0 and at most 1")
    if seeds < 1:
        raise BadInput("bad_seeds", f"seeds={seeds}: give 1 or more")


def scored_classes(
    labels: Mapping[str, np.ndarray], label_names: Sequence[str], data_name: str
) -> list[str]:
    """The classes of the data set's custom that every split knows both kinds of.

    Raises:
      BadInput: there is none.
    """
    found = [
        name
        for name in linear_probe.classes_of(data_name, label_names)
        if all(_both(split[:, label_names.index(name)]) for split in labels.values())
    ]
    if not found:
        raise BadInput(
            "nothing_to_score",
            f"no class of {data_name} has positives and negatives in each of "
            f"{', '.join(labels)}: a linear probe needs labels, and all three splits",
        )
    return found


def _both(column: np.ndarray) -> bool:
    return len(np.unique(column[known(column)])) == 2


def choose_subset(
    patient_id: Sequence[str], fraction: float, protocol: str, seed: int
) -> np.ndarray:
    """Positions of a fraction. mgca_compat draws images, the same for every seed."""
    if protocol == MGCA_COMPAT:
        return mgca_compat_positions(len(patient_id), fraction)
    return subset_positions(patient_id, fraction, seed=seed)


def score_logits(
    held_out: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Sequence[str],
    weights: np.ndarray | None,
) -> Scores:
    """Of K classifiers: every metric by class, and its macro mean, over the test split.

    Args:
      held_out: labels [m, C] and logits [K, m, C] of the validation split, for thresholds.
      test: labels [n, C] and logits [K, n, C].
      classes: C names.
      weights: [R, n] of bootstrap replicates, or None.
    """
    labels, logits = test
    called = np.empty(logits.shape, bool)
    for k, theirs in enumerate(held_out[1]):
        for c in range(len(classes)):
            called[k, :, c] = logits[k, :, c] >= best_threshold(held_out[0][:, c], theirs[:, c])
    out = Scores()
    for metrics, values in ((_RANKED, logits), (_CALLED, called)):
        for name, (metric, resampled) in metrics.items():
            by_seed, replicates = _by_class(metric, resampled, labels, values, weights)
            out.add(f"macro_{name}", by_seed.mean(), _mean(replicates, axis=0))
            if name == "auroc":
                out.add("macro_auroc_seed_deviation", by_seed.mean(axis=1).std())
            for c, label in enumerate(classes):
                out.add(
                    f"{name}/{snake_case(label)}",
                    by_seed[:, c].mean(),
                    None if replicates is None else replicates[c],
                )
    for c, label in enumerate(classes):  # pictures are of the first seed
        out.details[f"auroc/{snake_case(label)}"] = Ranking(labels[:, c], logits[0, :, c])
        out.details[f"confusion/{snake_case(label)}"] = _confusion(labels[:, c], called[0, :, c])
    return out


def _score_one_of(
    labels: np.ndarray, logits: np.ndarray, classes: Sequence[str], weights: np.ndarray | None
) -> Scores:
    """Accuracy and macro F1 of K classifiers that name one of C classes."""
    rows = np.flatnonzero(known(labels).all(axis=1) & (labels.sum(axis=1) == 1))
    truth, called = labels[rows].argmax(axis=1), logits[:, rows].argmax(axis=2)
    out, count = Scores(), len(classes)
    replicates = [(None, None)]
    if weights is not None:
        replicates = [resampled_multiclass(truth, k, count, weights[:, rows]) for k in called]
    for name, values, drawn in (
        ("class_accuracy", [multiclass_accuracy(truth, k) for k in called], 0),
        ("class_macro_f1", [multiclass_f1(truth, k, count) for k in called], 1),
    ):
        of_seeds = None if weights is None else np.mean([r[drawn] for r in replicates], axis=0)
        out.add(name, float(np.mean(values)), of_seeds)
    counts = np.zeros((count, count), int)
    np.add.at(counts, (truth, called[0]), 1)
    out.details["class_confusion"] = Confusion(tuple(classes), counts)
    return out


def _confusion(labels: np.ndarray, called: np.ndarray) -> Confusion:
    keep = known(labels)
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (labels[keep].astype(int), called[keep].astype(int)), 1)
    return Confusion(("absent", "present"), counts)


def _score_group(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> Scores:
    """Macro AUROC over the classes that a part of the test split knows both kinds of."""
    out = Scores({"examples": float(len(labels))})
    scored = [c for c in range(labels.shape[1]) if _both(labels[:, c])]
    if scored:
        by_seed, replicates = _by_class(
            auroc, resampled_auroc, labels[:, scored], logits[:, :, scored], weights
        )
        out.add("macro_auroc", by_seed.mean(), _mean(replicates, axis=0))
    return out


def _by_class(
    metric: Callable, resampled: Callable, labels: np.ndarray, values: np.ndarray, weights
) -> tuple[np.ndarray, np.ndarray | None]:
    """Of values [K, n, C]: the metric [K, C], and its mean over K in each replicate, [C, R]."""
    found = np.array([[metric(labels[:, c], v[:, c]) for c in range(v.shape[1])] for v in values])
    if weights is None:
        return found, None

    def replicates(c: int) -> np.ndarray:
        return np.mean(
            [
                in_blocks(functools.partial(resampled, labels[:, c], v[:, c]), weights)
                for v in values
            ],
            axis=0,
        )

    return found, np.stack([replicates(c) for c in range(labels.shape[1])])


def _mean(replicates: np.ndarray | None, axis: int) -> np.ndarray | None:
    return None if replicates is None else replicates.mean(axis=axis)
