import dataclasses

import numpy as np
import pytest

from place_jax.transfer import grounding, sentence_regions
from place_jax.transfer.features import Features
from place_jax.transfer.maps import MapKind
from place_jax.transfer.texts import EncodedTexts

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
            "sentences": ["one", "two", f"patch {2 * i + 1}"],
            "statement": np.array([3, 4, k]),
            "sentence_box": np.array([[2, 0]]),
            "boxes": patch_box(2 * i + 1) + np.array([[10, 20, 10, 20]]),
            "box_label": np.array([i % 2]),
        }
        for i, k in enumerate(numbers)
    ]


def patch_box(patch: int) -> np.ndarray:
    side = CROP // GRID
    y, x = divmod(patch, GRID)
    return np.array([[x, y, x + 1, y + 1]], float) * side


def link(features, records):
    return sentence_regions.link_sentences(features, records, [(20, 10)] * len(records), CROP)


def test_boxes_are_moved_to_the_crop_and_sentences_found(planted):
    linked = link(*planted)
    assert [item.row for item in linked] == list(range(8))
    assert {(item.position, item.sentence) for item in linked} == {(1, 2)}
    assert linked[3].label == 1 and linked[3].text == "patch 7"
    np.testing.assert_array_equal(linked[3].boxes, patch_box(7))


def test_sentences_that_the_model_did_not_read_and_boxes_out_of_sight_are_left_out(planted):
    features, records = planted
    records[0]["statement"] = np.array([3, 4, 99])
    records[1]["boxes"] = np.array([[70.0, 90, 80, 99]]) + 20
    mask = features.sentence_mask.copy()
    mask[2, 1] = False
    records[3]["boxes"] = np.array([[CROP - 0.4, 0, CROP + 9, 9]]) + (10, 20, 10, 20)  # no pixel
    linked = link(dataclasses.replace(features, sentence_mask=mask), records)
    assert [item.row for item in linked] == [4, 5, 6, 7]


def evaluate(features, records, maps, prior=None, bootstrap=50):
    phrases, texts = grounding.linked_phrases(link(features, records), CROP)
    assert len(texts) == len(phrases) == 8
    return grounding.evaluate_grounding(
        phrases,
        maps(texts),
        patient_id=features.patient_id,
        prior=prior,
        split="test",
        bootstrap=bootstrap,
    )


def encoded(texts, t_por) -> EncodedTexts:
    """One sentence a text; the second place is empty and must not be read."""
    rows = np.stack([np.stack([t_por, np.full(2, np.nan)])] * len(texts))
    return EncodedTexts(rows[:, 0], rows, np.array([[True, False]] * len(texts)))


def test_attention_in_the_region_hits_and_anothers_does_not(planted):
    features, records = planted

    def maps(texts):
        found = encoded(texts, np.array([0.0, 1]))
        return grounding.make_maps(features, found, [MapKind.ATTENTION], CROP)

    places = ["right", "left", "right lower", "left"]
    regions = [(i % 2, places[i % 4], item.mask(CROP)) for i, item in enumerate(link(*planted))]
    out = evaluate(features, records, maps, prior=grounding.make_prior(regions))
    assert out["grounding/test/pointing"] == 1
    assert out["grounding/test/pointing_rolled_image"] == 0
    assert out["grounding/test/pointing_over_rolled_image_ci_low"] == 1
    # Every sentence matches query 1, whatever it says: the phrase makes no difference, and shows.
    assert out["grounding/test/pointing_other_phrase"] == 1
    assert out["grounding/test/pointing_over_other_phrase_ci_high"] == 0
    # No two regions are alike: the mean is eight equal maxima, or four of a label.
    assert out["grounding/test/pointing_mean_box"] == pytest.approx(1 / 8)
    assert out["grounding/test/pointing_mean_box_of_label"] == pytest.approx(1 / 4)
    assert out["grounding/test/pointing_over_mean_box"] == pytest.approx(7 / 8)
    assert out["grounding/test/pointing_uniform"] == pytest.approx(1 / 16)
    assert out["grounding/test/cnr"] > 1 > out["grounding/test/cnr_rolled_image"]
    assert out["grounding/test/iou"] > 0.3 > out["grounding/test/iou_rolled_image"]
    assert out["grounding/test/sentences"] == 8


def test_the_wrong_query_misses_and_similarity_is_named_so(planted):
    features, records = planted
    # Each patch embedding is the share of one axis that the phrase has.
    patches = np.zeros((8, GRID * GRID, 2))
    patches[np.arange(8), 2 * np.arange(8) + 1, 0] = 1
    features = dataclasses.replace(features, patch_embedding=patches)

    def maps(texts):
        kinds = [MapKind.ATTENTION, MapKind.SIMILARITY]
        return grounding.make_maps(features, encoded(texts, np.array([1.0, 0])), kinds, CROP)

    out = evaluate(features, records, maps)
    assert out["grounding/test/pointing"] == 0
    assert out["grounding/test/pointing_similarity"] == 1
    assert out["grounding/test/pointing_similarity_rolled_image"] == 0
    assert "grounding/test/pointing_mean_box" not in out  # without training regions


def test_a_phrase_that_says_a_side_is_told_by_that_sides_mean_region():
    left, right = np.zeros((2, 4, 4), bool)
    left[:, 2:], right[:, :2] = True, True
    texts = ["Left effusion.", "A right effusion.", "Small effusion on the right.", "Effusion."]
    masks = [left, right, right, left | right]
    prior = grounding.make_prior([("e", text, m) for text, m in zip(texts, masks, strict=True)])
    assert prior.mean.argmax() in np.flatnonzero(right)
    phrases = [
        grounding.Phrase(0, 0, mask, "e", grounding.place_words(text))
        for text, mask in zip(["Fluid at the left base.", "Fluid, left."], [left] * 2, strict=True)
    ]
    scored = grounding.evaluate_grounding(phrases, {}, patient_id=["a"], prior=prior, split="test")
    # A base was never said in training: of it the finding's mean is known, which is on the right.
    assert scored["grounding/test/pointing_mean_box_of_label"] == 0
    assert scored["grounding/test/pointing_mean_box_of_phrase"] == 0.5


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Consolidation of the right lower lobe.", ["lower", "right"]),
        ("Fluid at both bases", ["both", "lower"]),
        ("RUL opacity", ["right", "upper"]),
        ("lingular infiltrate", ["left", "mid"]),
        ("cardiomegaly", []),
    ],
)
def test_where_a_phrase_says_that_it_is(text, places):
    assert sorted(grounding.place_words(text)) == places


def test_other_phrases_are_of_another_finding_where_there_is_one():
    mask = np.ones((2, 2), bool)
    phrases = [grounding.Phrase(i, i, mask, label) for i, label in enumerate("aabbb")]
    labels = "aabbb"
    for i, text in enumerate(grounding.other_phrase_texts(phrases)):
        assert labels[text] != labels[i]
    alike = [grounding.Phrase(i, i % 2, mask, "a") for i in range(4)]
    assert grounding.other_phrase_texts(alike) == [1, 0, 1, 0]
    alone = [grounding.Phrase(0, 0, mask, "a")]
    assert grounding.other_phrase_texts(alone) == [0]


def test_other_rows_are_other_patients():
    patients = ["a", "a", "b", "b", "b", "c"]
    rows = grounding.other_patient_rows(patients)
    assert all(patients[row] != patients[i] for i, row in enumerate(rows))
