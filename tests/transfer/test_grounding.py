import dataclasses

import numpy as np
import pytest

from place_jax.transfer import grounding
from place_jax.transfer.features import Features

CROP, GRID = 64, 4


def statement_halves(number: int) -> list[int]:
    unsigned = number % 2**64
    return [unsigned >> 32, unsigned & 0xFFFFFFFF]


@pytest.fixture
def planted():
    """Eight patients; each one's report speaks of one patch of its own, where query 1 looks."""
    n, numbers = 8, [-5, 7, -(2**60), 2**50, 11, 12, 13, 14]
    attention = np.full((n, 2, GRID * GRID), 0.01, np.float32)
    attention[:, 0, 0] = 1
    attention[np.arange(n), 1, 2 * np.arange(n) + 1] = 1
    return Features(
        image_embedding=np.zeros((n, 2)),
        report_embedding=np.zeros((n, 2)),
        labels=np.zeros((n, 14), np.int8),
        index=np.arange(n),
        report_statement=np.zeros((n, 2), np.uint32),
        statement=np.array([[[0, 0], statement_halves(k)] for k in numbers], np.uint32),
        sentence_mask=np.ones((n, 2), bool),
        patient_id=tuple(f"p{i}" for i in range(n)),
        v_por=np.tile(np.eye(2)[None], (n, 1, 1)),
        v_por_attention=attention,
        t_por=np.tile(np.eye(2)[None], (n, 1, 1)),
    ), [
        {
            "statement": np.array([3, 4, k]),
            "sentence_box": np.array([[2, 0]]),
            "boxes": patch_box(2 * i + 1) + np.array([[10, 20, 10, 20]]),
            "box_label": np.array([5]),
        }
        for i, k in enumerate(numbers)
    ]


def patch_box(patch: int) -> np.ndarray:
    side = CROP // GRID
    y, x = divmod(patch, GRID)
    return np.array([[x, y, x + 1, y + 1]], float) * side


def link(features, records):
    return grounding.link_sentences(features, records, [(20, 10)] * len(records), CROP)


def test_boxes_are_moved_to_the_crop_and_sentences_found(planted):
    linked = link(*planted)
    assert [item.row for item in linked] == list(range(8))
    assert {(item.position, item.sentence, item.label) for item in linked} == {(1, 2, 5)}
    np.testing.assert_array_equal(linked[3].boxes, patch_box(7))


def test_sentences_that_the_model_did_not_read_and_boxes_out_of_sight_are_left_out(planted):
    features, records = planted
    records[0]["statement"] = np.array([3, 4, 99])
    records[1]["boxes"] = np.array([[70.0, 90, 80, 99]]) + 20
    mask = features.sentence_mask.copy()
    mask[2, 1] = False
    linked = link(dataclasses.replace(features, sentence_mask=mask), records)
    assert [item.row for item in linked] == [3, 4, 5, 6, 7]


def test_attention_in_the_region_hits_and_anothers_does_not(planted):
    features, records = planted
    out = grounding.evaluate_grounding(
        features, link(features, records), crop=CROP, split="test", bootstrap=50
    )
    assert out["grounding/test/pointing"] == 1
    assert out["grounding/test/pointing_rolled_image"] == 0
    assert out["grounding/test/pointing_over_rolled_image_ci_low"] == 1
    assert out["grounding/test/pointing_mean_box"] == 1 / 8
    assert out["grounding/test/pointing_uniform"] == pytest.approx(1 / 16)
    assert out["grounding/test/sentences"] == 8


def test_the_wrong_query_misses(planted):
    features, records = planted
    other = dataclasses.replace(features, t_por=features.t_por[:, ::-1])
    out = grounding.evaluate_grounding(other, link(features, records), crop=CROP, split="test")
    assert out["grounding/test/pointing"] == 0


def test_other_rows_are_other_patients():
    patients = ["a", "a", "b", "b", "b", "c"]
    rows = grounding.other_patient_rows(patients)
    assert all(patients[row] != patients[i] for i, row in enumerate(rows))
