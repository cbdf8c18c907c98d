import dataclasses

import numpy as np
import pytest

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from place_jax.transfer.class_retrieval import evaluate_class_retrieval
from place_jax.transfer.features import Features
from place_jax.transfer.protocols.class_lists import classes_named, exclusive_rows
from place_jax.transfer.retrieval import evaluate_retrieval, make_pool


@pytest.fixture
def perfect():
    """Twelve examples of ten distinct reports; images have their report's embedding."""
    reports = np.array([0, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9])
    return Features(
        image_embedding=np.eye(10)[reports],
        report_embedding=np.eye(10)[reports],
        labels=np.zeros((12, 14), np.int8),
        index=np.arange(12),
        report_statement=np.stack([reports, reports], axis=1).astype(np.uint32),
        statement=np.zeros((12, 1, 2), np.uint32),
        sentence_mask=np.ones((12, 1), bool),
        patient_id=tuple(f"p{i}" for i in range(12)),
    )


def test_equal_reports_are_one_candidate(perfect):
    out = evaluate_retrieval(perfect, split="test", pool=256, bootstrap=50)
    assert out["retrieval/test/pool_size"] == 10
    for direction in ("", "text_to_image_"):
        assert out[f"retrieval/test/{direction}recall_at_1"] == 1
        assert out[f"retrieval/test/{direction}median_rank"] == 1
    assert out["retrieval/test/recall_at_1_ci_low"] == 1


def test_pool_is_the_first_distinct_reports_in_order(perfect):
    np.testing.assert_array_equal(make_pool(perfect, 5).rows, [0, 1, 2, 4, 5])
    out = evaluate_retrieval(perfect, split="test", pool=5)
    assert out["retrieval/test/pool_size"] == 5
    assert "retrieval/test/recall_at_10" not in out


def test_embeddings_that_all_coincide_retrieve_nothing(perfect):
    collapsed = dataclasses.replace(perfect, image_embedding=np.ones((12, 10)))
    out = evaluate_retrieval(collapsed, split="test", pool=256)
    assert out["retrieval/test/recall_at_1"] == 0
    assert out["retrieval/test/recall_at_5"] == 0


def test_directions_are_told_apart(perfect):
    # Every image is nearest to report 0: from reports, each image but the first is found among
    # ties, from images only the first is right.
    image = np.eye(10)[perfect.report_statement[:, 0]] + 2 * np.eye(10)[0]
    out = evaluate_retrieval(
        dataclasses.replace(perfect, image_embedding=image), split="test", pool=256
    )
    assert out["retrieval/test/recall_at_1"] == pytest.approx(0.1)
    assert out["retrieval/test/text_to_image_recall_at_1"] == 1


def test_chance_is_chance(perfect):
    rng = np.random.default_rng(0)
    n = 400
    statement = np.arange(2 * n).reshape(n, 2).astype(np.uint32)
    random = dataclasses.replace(
        perfect,
        image_embedding=rng.normal(size=(n, 8)),
        report_embedding=rng.normal(size=(n, 8)),
        report_statement=statement,
        patient_id=tuple(map(str, range(n))),
    )
    out = evaluate_retrieval(random, split="test", pool=n)
    assert out["retrieval/test/recall_at_10"] < 0.07
    assert 150 < out["retrieval/test/median_rank"] < 250


def test_all_pairs_count_equal_texts_as_one(perfect):
    out = evaluate_retrieval(perfect, split="test", pool=0, bootstrap=20)
    assert out["retrieval/test/pool_size"] == 10
    for direction in ("", "text_to_image_"):
        assert out[f"retrieval/test/{direction}recall_at_1"] == 1
    # Image 3 shares report 2 with image 2; with another embedding it alone misses, of twelve.
    image = perfect.image_embedding.copy()
    image[3] = np.eye(10)[5]
    out = evaluate_retrieval(
        dataclasses.replace(perfect, image_embedding=image), split="test", pool=0
    )
    assert out["retrieval/test/recall_at_1"] == pytest.approx(11 / 12)
    # Report 5 now has a tie with an image that is not its own; report 2 still finds image 2.
    assert out["retrieval/test/text_to_image_recall_at_1"] == pytest.approx(9 / 10)


def labelled(features: Features, names) -> Features:
    labels = np.full((len(names), 14), -2, np.int8)
    for row, positive in enumerate(names):
        for name in positive:
            labels[row, CHEXPERT_LABELS.index(name)] = 1
    return dataclasses.replace(features, labels=labels)


def test_precision_of_a_hand_worked_table(perfect):
    edema, effusion = ["Edema"], ["Pleural Effusion"]
    rows = [edema, edema, effusion, effusion, effusion]
    rows += [["Edema", "Fracture"], [], *[["Pneumonia"]] * 5]
    chosen = labelled(perfect, rows)
    similarity = np.zeros((12, 12))
    similarity[0, :5] = [5, 1, 4, 3, 2]  # P@1 1, all five: 2 of 5
    similarity[1, :5] = [1, 1, 1, 1, 1]  # ties count against: P@1 0
    similarity[2, :5] = [0, 0, 3, 2, 1]  # P@1 1
    similarity[3, :5] = [9, 0, 3, 2, 1]  # P@1 0
    similarity[4, :5] = [0, 0, 3, 2, 1]  # P@1 1
    chosen = dataclasses.replace(chosen, image_embedding=similarity, report_embedding=np.eye(12))
    out = evaluate_class_retrieval(chosen, ("Edema", "Pleural Effusion"), split="test")
    assert out["retrieval/test/class_examples"] == 5
    assert out["retrieval/test/precision_at_1"] == pytest.approx(3 / 5)
    assert out["retrieval/test/precision_at_5"] == pytest.approx((2 * 2 + 3 * 3) / 25)
    assert "retrieval/test/precision_at_10" not in out
    assert out["retrieval/test/precision_at_1_resampling_deviation"] == 0
    assert out["retrieval/test/precision_chance"] == pytest.approx((4 + 9) / 25)


def test_lists_are_exclusive_bounded_and_drawn_anew():
    labels = np.zeros((900, 14), np.int8)
    edema, effusion = (CHEXPERT_LABELS.index(n) for n in ("Edema", "Pleural Effusion"))
    labels[:500, edema] = 1
    labels[500:, effusion] = 1
    labels[:50, effusion] = -1  # uncertain of another: out
    labels[-1, CHEXPERT_LABELS.index("No Finding")] = 1  # which the rule does not look at
    rows, of = exclusive_rows(labels, CHEXPERT_LABELS, ("Edema", "Pleural Effusion"))
    assert np.bincount(of).tolist() == [200, 200] and rows.min() >= 50
    again, _ = exclusive_rows(labels, CHEXPERT_LABELS, ("Edema", "Pleural Effusion"), seed=1)
    assert 0 < len(np.intersect1d(rows, again)) < 400


def test_named_classes_must_be_labelled():
    assert len(classes_named(["5x200"], CHEXPERT_LABELS)) == 5
    assert len(classes_named(["8x200"], CHEXPERT_LABELS)) == 8
    with pytest.raises(BadInput, match="'Effusion' is no label"):
        classes_named(["Edema", "Effusion"], CHEXPERT_LABELS)
    with pytest.raises(BadInput, match="1 of the classes"):
        classes_named(["Edema"], CHEXPERT_LABELS)
