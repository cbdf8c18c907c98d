"""PhantomCXR as a source of records: keys, splits, labels, and which sentence means which box."""

import collections
import pickle

import numpy as np
import pytest

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF
from data_pipelines.records import CHEXPERT_LABELS, SPLITS, BadInput, Label
from data_pipelines.reports import split_sentences
from data_pipelines.sources.phantom import PhantomSource

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
