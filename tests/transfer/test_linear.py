"""Linear evaluation on planted features: what it scores, on what, and what it leaves out."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_pipelines.records import BadInput
from place_jax.transfer import linear
from place_jax.transfer.image_features import ImageFeatures
from place_jax.transfer.protocols import linear_probe

NAMES = ("Edema", "Pneumothorax", "Fracture")


def make_split(n: int, seed: int, signal: float = 1.5) -> ImageFeatures:
    """Two images a patient; Edema is in the first feature, Pneumothorax in none."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, 3)).astype(np.int8)
    labels[:, 2] = 0  # no positive anywhere
    labels[rng.random((n, 3)) < 0.1] = -2
    features = rng.normal(size=(n, 5)).astype(np.float32)
    features[:, 0] += signal * (labels[:, 0] == 1)
    patients = tuple(f"{seed}p{i // 2}" for i in range(n))
    return ImageFeatures(features, labels, np.arange(n), patients, NAMES)


@pytest.fixture(scope="module")
def splits():
    return {
        "train": make_split(400, 0),
        "validation": make_split(120, 1),
        "test": make_split(160, 2),
    }


def evaluate(splits, **kwargs):
    return linear.evaluate_linear(splits, data_name="folder", **{"bootstrap": 100, **kwargs})


def test_what_is_in_the_features_is_found_and_what_is_not_is_chance(splits):
    out = evaluate(splits, fractions=(0.1, 1.0), seeds=2)
    found = out["linear/test/100_percent/auroc/edema"]
    test = splits["test"]
    known = test.labels[:, 0] >= 0
    # With one informative feature, its own ranking is the best that there is.
    best = roc_auc_score(test.labels[known, 0], test.features[known, 0])
    assert found == pytest.approx(best, abs=0.03)
    assert abs(out["linear/test/100_percent/auroc/pneumothorax"] - 0.5) < 0.12
    assert out["linear/test/100_percent/macro_auroc"] == pytest.approx(
        (found + out["linear/test/100_percent/auroc/pneumothorax"]) / 2
    )
    assert not any("fracture" in name for name in out)  # no positives: no score, no crash
    assert out["linear/test/10_percent/train_examples"] == 40
    for name in ("macro_average_precision", "macro_f1", "macro_accuracy"):
        score = out[f"linear/test/100_percent/{name}"]
        assert out[f"linear/test/100_percent/{name}_ci_low"] <= score


def test_a_part_of_the_split_is_scored_as_if_alone(splits):
    inside = np.arange(160) < 90
    out = evaluate(splits, fractions=(1.0,), seeds=1, groups={"first": inside})
    test = splits["test"]
    alone = dataclasses.replace(
        test,
        features=test.features[inside],
        labels=test.labels[inside],
        index=test.index[inside],
        patient_id=test.patient_id[:90],
    )
    expected = evaluate({**splits, "test": alone}, fractions=(1.0,), seeds=1)
    name = "linear/test/100_percent/first/macro_auroc"
    assert out[name] == pytest.approx(expected["linear/test/100_percent/macro_auroc"])
    assert out["linear/test/100_percent/first/examples"] == 90


def test_test_labels_change_no_probe(splits):
    """Selection is on validation alone: flipped test labels give the mirrored score."""
    test = splits["test"]
    flipped = np.where(test.labels >= 0, 1 - test.labels, test.labels).astype(np.int8)
    flipped[:, 2] = 0
    other = {**splits, "test": dataclasses.replace(test, labels=flipped)}
    name = "linear/test/100_percent/auroc/edema"
    found, mirrored = (evaluate(s, fractions=(1.0,), seeds=1)[name] for s in (splits, other))
    assert mirrored == pytest.approx(1 - found)


def test_mgca_compat_takes_unknown_for_absent_and_draws_images(splits):
    out = evaluate(splits, fractions=(0.1,), seeds=3, protocol="mgca_compat")
    assert out["linear/test/10_percent/train_examples"] == 40
    labels = np.array([[1, -1, -2]], np.int8)
    for read in (linear_probe.training_labels, linear_probe.scored_labels):
        np.testing.assert_array_equal(read(labels, NAMES, "folder", "mgca_compat"), [[1, 0, 0]])
    # strict leaves out what is unknown, but for the policy of a class in training.
    found = linear_probe.training_labels(labels[:, ::-1], NAMES, "folder", "strict")
    np.testing.assert_array_equal(found, [[-2, -1, 1]])
    found = linear_probe.training_labels(np.array([[-1, 0, 0]]), NAMES, "folder", "strict")
    assert found[0, 0] == 1  # edema
    np.testing.assert_array_equal(
        linear_probe.training_labels(labels, NAMES, "chexpert", "strict"), [[1, -1, 0]]
    )


def test_covidx_is_one_class_of_several():
    names = ("Normal", "Pneumonia", "COVID-19")

    def one_of(n, seed):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 3, n)
        features = rng.normal(size=(n, 4)).astype(np.float32)
        features[np.arange(n), truth] += 3
        labels = np.eye(3, dtype=np.int8)[truth]
        patients = tuple(f"{seed}p{i}" for i in range(n))
        return ImageFeatures(features, labels, np.arange(n), patients, names)

    splits = {"train": one_of(300, 0), "validation": one_of(60, 1), "test": one_of(90, 2)}
    out = linear.evaluate_linear(
        splits, data_name="covidx", fractions=(1.0,), seeds=2, bootstrap=50
    )
    test = splits["test"]
    best = (test.features[:, :3].argmax(axis=1) == test.labels.argmax(axis=1)).mean()
    name = "linear/test/100_percent/class_accuracy"
    assert out[name] == pytest.approx(best, abs=0.06)
    assert out[f"{name}_ci_low"] <= out[name] <= out[f"{name}_ci_high"]
    counts = out.details["linear/test/100_percent/class_confusion"].counts
    assert counts.sum() == 90 and np.trace(counts) > 70


def test_covidxs_one_class_alone_is_a_question_of_yes_or_no(splits):
    """A softmax over one class is always 1: nothing would be trained, and all of it right."""
    assert linear_probe.recipe("strict", "covidx", 1).loss is linear_probe.Loss.BINARY
    alone = {
        name: dataclasses.replace(split, labels=split.labels[:, :1], label_names=NAMES[:1])
        for name, split in splits.items()
    }
    out = linear.evaluate_linear(alone, data_name="covidx", fractions=(1.0,), seeds=1, bootstrap=0)
    assert out["linear/test/100_percent/auroc/edema"] > 0.75
    assert "linear/test/100_percent/class_accuracy" not in out


def test_no_class_to_score_is_one_line(splits):
    bare = {
        name: dataclasses.replace(split, labels=np.full_like(split.labels, -2))
        for name, split in splits.items()
    }
    with pytest.raises(BadInput, match="no class of folder has positives and negatives"):
        evaluate(bare)
