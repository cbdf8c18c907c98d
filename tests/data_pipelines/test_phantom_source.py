"""PhantomCXR as a source of records: keys, splits, labels, and which sentence means which box."""

import collections
import pickle

import numpy as np
import pytest

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, Kind
from data_pipelines.records import CHEXPERT_LABELS, SPLITS, BadInput, Label
from data_pipelines.reports import split_sentences
from data_pipelines.sources.phantom import PhantomSource, split_of
from data_pipelines.sources.subsets import subset

EASY = ("Cardiomegaly", "Edema", "Consolidation", "Pneumothorax", "Pleural Effusion")


def _number(label):
    return CHEXPERT_LABELS.index(label)


def test_splits_are_exact_by_patient_and_stay_when_patients_are_added():
    few, many = PhantomSource(patients=200), PhantomSource(patients=500)
    split_of = {key.patient_id: key.split for key in many.keys()}
    counts = collections.Counter(split_of.values())
    assert counts == {"train": 400, "validation": 40, "test": 60} and set(counts) == set(SPLITS)
    assert all(split_of[key.patient_id] == key.split for key in few.keys())
    assert len({key.image_id for key in many.keys()}) == len(many.keys()) > 500
    other = {key.patient_id[9:]: key.split for key in PhantomSource(patients=200, seed=1).keys()}
    assert any(other[key.patient_id[9:]] != key.split for key in few.keys())


def test_a_pickled_source_loads_the_same_study():
    source = PhantomSource(config="default", patients=8, size=96, seed=3)
    key = source.keys()[5]
    a, b = source.load(key), pickle.loads(pickle.dumps(source)).load(key)
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert (a.findings, a.impression, a.view) == (b.findings, b.impression, b.view)
    assert "synthetic" in source.version and source.shareable


@pytest.mark.parametrize("config", DIFFICULTY)
def test_labels_masks_boxes_and_links_agree(config):
    source = PhantomSource(config=config, patients=40, size=96)
    known = {LABEL_OF[kind] for kind in DIFFICULTY[config].prevalence} | {"No Finding"}
    for key in source.keys():
        study = source.load(key)
        for label, value in zip(CHEXPERT_LABELS, study.labels, strict=True):
            if label not in ("Enlarged Cardiomediastinum", "Lung Opacity", "Consolidation"):
                assert (value == Label.MISSING) == (label not in known)
        positive = set(np.flatnonzero(study.labels == Label.POSITIVE))
        boxed = set(study.box_label.tolist())
        assert positive == boxed or (positive == {_number("No Finding")} and not boxed)
        assert study.mask.shape == study.pixels.shape == (96, 96)
        assert set(np.unique(study.mask)) - {0} <= {1 + label for label in boxed}
        _, findings, report = source.truth(*_patient_and_study(key))
        sentences = split_sentences(study.findings) + split_sentences(study.impression)
        assert sentences == [sentence.text for sentence in report.sentences]
        for sentence, box in study.sentence_box:
            spoken = [link.finding for link in report.sentences[sentence].links]
            labels = [findings[i].label for i in spoken if i is not None]
            assert CHEXPERT_LABELS[study.box_label[box]] in labels
        assert (study.boxes[:, 2:] > study.boxes[:, :2]).all()
        assert study.boxes.min(initial=0) >= 0 and study.boxes.max(initial=0) <= 96


def _patient_and_study(key):
    _, patient, study, _ = key.image_id.split("-")
    return int(patient), int(study[1:])


@pytest.mark.parametrize("config", DIFFICULTY)
def test_another_author_writes_the_test_reports_of_a_shifted_source_and_no_others(config):
    own, shifted = (PhantomSource(config=config, patients=50, shift=s) for s in ("none", "author"))
    for key in own.keys():
        (_, before, report), (_, after, other) = (
            source.truth(*_patient_and_study(key)) for source in (own, shifted)
        )
        assert before == after
        assert (report == other) == (key.split != "test")


@pytest.mark.parametrize("config", ["default", "hard"])
def test_another_scanner_takes_the_test_pictures_of_the_same_findings_and_no_others(config):
    own, shifted = (
        PhantomSource(config=config, patients=50, size=64, shift=s) for s in ("none", "scanner")
    )
    for key in own.keys()[::3]:
        before, after = own.load(key), shifted.load(key)
        assert before.findings == after.findings
        np.testing.assert_array_equal(before.labels, after.labels)
        assert np.array_equal(before.pixels, after.pixels) == (key.split != "test")


def test_a_shift_of_labels_changes_how_often_findings_are_there_in_the_test_split_alone():
    shares = {}
    for shift in ("none", "labels"):
        source = PhantomSource(config="default", patients=4000, shift=shift)
        for split in ("train", "test"):
            patients = [p for p in range(4000) if split_of(0, p) == split][:450]
            drawn = [{f.kind for f in source.truth(p, 0)[1]} for p in patients]
            shares[shift, split] = {k: np.mean([k in kinds for kinds in drawn]) for k in Kind}
    assert shares["none", "train"] == shares["labels", "train"]
    before, after = shares["none", "test"], shares["labels", "test"]
    assert after[Kind.LESION] > 1.5 * before[Kind.LESION]
    assert after[Kind.EDEMA] < 0.6 * before[Kind.EDEMA]


def test_in_hard_a_device_betrays_a_finding_in_training_and_not_in_the_test_split():
    source = PhantomSource(config="hard", patients=4000)
    gap = {}
    for split in ("train", "validation", "test"):
        patients = [p for p in range(4000) if split_of(0, p) == split][:480]
        kinds = [{f.kind for f in source.truth(p, 0)[1]} for p in patients]
        line = {
            has: np.mean([Kind.CENTRAL_LINE in k for k in kinds if (Kind.PNEUMOTHORAX in k) == has])
            for has in (True, False)
        }
        gap[split] = line[True] - line[False]
    print({split: round(float(value), 2) for split, value in gap.items()})
    assert gap["train"] > 0.6 and gap["validation"] > 0.6 and abs(gap["test"]) < 0.2


def test_some_patients_come_twice_as_the_same_body_with_other_findings():
    source = PhantomSource(config="default", patients=40, size=64)
    twice = [key for key in source.keys() if "-s1-" in key.image_id]
    assert 4 <= len(twice) <= 16
    studies = {key.image_id: key for key in source.keys()}
    differ = 0
    for key in twice:
        first = studies[key.image_id.replace("-s1-", "-s0-")]
        assert (first.patient_id, first.split) == (key.patient_id, key.split)
        differ += source.load(first).findings != source.load(key).findings
    assert differ > 0.8 * len(twice)


def test_a_hundredth_and_a_tenth_of_training_are_nested_and_hold_whole_patients():
    keys = [key for key in PhantomSource(patients=2500).keys() if key.split == "train"]
    small, large = subset(keys, 0.01), subset(keys, 0.1)
    assert set(small) < set(large) < set(keys)
    assert abs(len(small) - 0.01 * len(keys)) < 3 and abs(len(large) - 0.1 * len(keys)) < 3
    for part in (small, large):
        patients = {key.patient_id for key in part}
        assert set(part) == {key for key in keys if key.patient_id in patients}


def test_easy_findings_are_balanced_and_independent():
    source = PhantomSource(config="easy", patients=3000)
    drawn = np.array(
        [
            [label in {f.label for f in source.truth(patient, 0)[1]} for label in EASY]
            for patient in range(1500)
        ]
    )
    assert (drawn.mean(0) > 0.24).all() and (drawn.mean(0) < 0.36).all()
    correlations = np.corrcoef(drawn.T)[np.triu_indices(len(EASY), 1)]
    assert np.abs(correlations).max() < 0.1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"config": "harder"}, "phantom_config"),
        ({"shift": "season"}, "phantom_shift"),
        ({"size": 32}, "phantom_size"),
        ({"patients": 0}, "phantom_patients"),
        ({"seed": -1}, "phantom_seed"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(wrong, reason):
    with pytest.raises(BadInput) as error:
        PhantomSource(**wrong)
    assert error.value.reason == reason
