"""Pictures of PhantomCXR are reproducible, and what is drawn is where the truth says."""

import hashlib
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from data_pipelines.phantom.anatomy import Detail, Side, sample_anatomy
from data_pipelines.phantom.exposure import Scanner, sample_exposure
from data_pipelines.phantom.findings import COUNTED, DIFFICULTY, Finding, Kind, Zone
from data_pipelines.phantom.renderer import render
from data_pipelines.sources.phantom import PhantomSource

ZONED = (Kind.CONSOLIDATION, Kind.LESION, Kind.OPACITY, Kind.PNEUMONIA, Kind.THICKENING)
SIDED = (*ZONED, Kind.ATELECTASIS, Kind.PNEUMOTHORAX, Kind.EFFUSION, Kind.FRACTURE)
GROWING = (Kind.CARDIOMEGALY, Kind.EDEMA, Kind.WIDE_MEDIASTINUM, *SIDED)
# Of _bytes_of_some(). When one has to change, change data_pipelines.phantom.VERSION with it;
# "easy" is what the demo's numbers rest on.
GOLDEN = {
    "easy": "4d389dd1c39162df",
    "default": "9398d26f44e65999",
    "hard": "fef3ea8c974a3c3d",
}


def _draw(kind, patient=3, size=160, sides=(Side.LEFT,), zone=Zone.MID, amount=0.8, seed=11):
    finding = Finding(kind, sides, zone if kind in ZONED else None, amount, seed)
    if kind is Kind.ATELECTASIS:
        finding = Finding(kind, sides, Zone.LOWER, amount, seed)
    anatomy = sample_anatomy(0, patient, "PA")
    return render(anatomy, (finding,), sample_exposure(0, patient, 0, "PA"), size)


def _bytes_of_some():
    digests = {}
    for config in DIFFICULTY:
        digest = hashlib.blake2b(digest_size=8)
        for size, count in ((64, 8), (112, 6), (200, 4)):
            source = PhantomSource(config=config, patients=12, size=size, views="all")
            for key in source.keys()[:count]:
                study = source.load(key)
                digest.update(study.pixels.tobytes() + study.mask.tobytes() + study.boxes.tobytes())
        digests[config] = digest.hexdigest()
    return digests


def test_bytes_are_the_golden_ones():
    assert _bytes_of_some() == GOLDEN


def test_bytes_do_not_depend_on_the_process_its_hash_seed_or_its_vector_instructions():
    program = (
        "import sys; sys.path[:0] = ['tests/data_pipelines', '.']\n"
        "import test_phantom_renderer as t; print(t._bytes_of_some())"
    )
    slow = {
        "PYTHONHASHSEED": "7",
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FP16",
        "OPENCV_IPP": "off",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **slow}
    )
    assert done.stdout.strip() == str(_bytes_of_some()), done.stderr


@pytest.mark.parametrize(
    ("config", "side_view"),
    [("easy", False), ("default", False), ("default", True), ("hard", False), ("hard", True)],
)
def test_taking_a_finding_away_changes_its_own_place_and_nothing_else(config, side_view):
    source, reach = PhantomSource(config=config, size=160, seed=1), np.ones((9, 9), np.uint8)
    for patient in range(24):
        view, findings, _ = source.truth(patient, 0)
        view = "LATERAL" if side_view else view
        whole = source.draw(patient, 0, view, findings)
        for index, finding in enumerate(findings):
            rest = findings[:index] + findings[index + 1 :]
            without = source.draw(patient, 0, view, rest)
            change = np.abs(whole.pixels.astype(int) - without.pixels)
            mask = whole.masks[whole.finding_of_mask == index].any(0)
            near = cv2.dilate(mask.astype(np.uint8), reach) > 0
            assert change[~near].max(initial=0) <= 3, (finding.kind, patient)
            assert np.any(change[mask] > 3), (finding.kind, patient)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_finding_is_visible_against_the_noise(kind):
    finding = Finding(kind, (Side.RIGHT,), Zone.MID, 0.7, 5)
    if kind is Kind.EDEMA:
        finding = Finding(kind, (Side.RIGHT, Side.LEFT), None, 0.7, 5)
    for patient in range(5):
        anatomy, exposure = sample_anatomy(2, patient, "PA"), sample_exposure(2, patient, 0, "PA")
        change = _change(finding, anatomy, exposure)
        assert np.percentile(np.abs(change), 80) > 10, patient
        if kind is Kind.FRACTURE:  # bone moves: it is lost in one place and found in another
            assert (change > 10).any() and (change < -10).any()
        else:
            assert (np.median(change) < 0) == (kind is Kind.PNEUMOTHORAX)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_finding_is_visible_in_a_clinics_pictures_too(kind):
    finding = Finding(kind, (Side.RIGHT,), Zone.MID, 0.7, 5)
    if kind is Kind.EDEMA:
        finding = Finding(kind, (Side.RIGHT, Side.LEFT), None, 0.7, 5)
    strength = []
    for patient in range(8):
        anatomy = sample_anatomy(2, patient, "PA", 0, Detail.LIFELIKE)
        exposure = sample_exposure(2, patient, 0, "PA", Scanner.CLINIC)
        strength.append(np.percentile(np.abs(_change(finding, anatomy, exposure)), 80))
    assert min(strength) > 4 and np.median(strength) > 10


def _change(finding, anatomy, exposure):
    """Grey levels that a finding adds, within its mask."""
    drawn, healthy = (render(anatomy, some, exposure, 224) for some in ((finding,), ()))
    mask = drawn.masks.any(0)
    return drawn.pixels[mask].astype(float) - healthy.pixels[mask]


@pytest.mark.parametrize("kind", SIDED)
def test_the_patients_left_is_on_the_images_right(kind):
    for patient in range(4):
        exposure = sample_exposure(0, patient, 0, "PA")
        midline = exposure.canvas(160).pixels(np.array([[0.0, 0.5]]))[0, 0]
        for side in Side:
            (box,) = _draw(kind, patient, sides=(side,)).boxes()
            centre = (box[0] + box[2]) / 2
            assert (centre > midline) == (side is Side.LEFT)


@pytest.mark.parametrize("kind", COUNTED)
def test_what_comes_in_numbers_has_a_box_each(kind):
    for number in (1, 2, 4):
        finding = Finding(kind, (Side.RIGHT,), Zone.MID, 0.4, 3, number)
        drawn = render(sample_anatomy(0, 1, "PA"), (finding,), sample_exposure(0, 1, 0, "PA"), 224)
        assert len(drawn.masks) == number and set(drawn.finding_of_mask) == {0}
        centres = drawn.boxes().reshape(-1, 2, 2).mean(1)
        apart = np.abs(centres[:, None] - centres).max(-1) + 99 * np.eye(number)
        assert apart.min() > 6


@pytest.mark.parametrize("kind", ZONED)
def test_zones_lie_one_below_the_other(kind):
    heights = []
    for zone in (Zone.UPPER, Zone.MID, Zone.LOWER):
        (box,) = _draw(kind, zone=zone, amount=0.4).boxes()
        heights.append((box[1] + box[3]) / 2)
    assert heights[0] + 15 < heights[1] < heights[2] - 15


@pytest.mark.parametrize("kind", GROWING)
def test_more_severe_is_larger(kind):
    sides = (Side.RIGHT, Side.LEFT) if kind is Kind.EDEMA else (Side.RIGHT,)
    areas = [_draw(kind, sides=sides, amount=a).masks.sum() for a in (0.1, 0.5, 0.95)]
    assert areas[0] < areas[1] < areas[2]


def test_boxes_bound_their_masks():
    drawn = _draw(Kind.EFFUSION, sides=(Side.RIGHT, Side.LEFT))
    assert len(drawn.masks) == 2
    for mask, (left, top, right, bottom) in zip(
        drawn.masks, drawn.boxes().astype(int), strict=True
    ):
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        assert not mask[~inside].any()
        assert mask[top].any() and mask[bottom - 1].any()
        assert mask[:, left].any() and mask[:, right - 1].any()


def test_a_phantom_is_the_same_at_every_size():
    small, large = (_draw(Kind.EFFUSION, size=size) for size in (96, 768))
    np.testing.assert_allclose(small.boxes() * 8, large.boxes(), atol=14)
    shrunk = cv2.resize(large.pixels, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
    assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.97


def test_a_size_that_cannot_be_drawn_says_which_can():
    with pytest.raises(ValueError, match=r"size=63 is outside 64\.\.1024"):
        _draw(Kind.LESION, size=63)
