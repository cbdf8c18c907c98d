"""The lateral view of PhantomCXR shows the same findings, as high and as large as the frontal."""

import collections

import numpy as np
import pytest

from data_pipelines.phantom.anatomy import Detail, Side, sample_anatomy
from data_pipelines.phantom.exposure import Scanner, sample_exposure
from data_pipelines.phantom.findings import COUNTED, Finding, Kind, Zone
from data_pipelines.phantom.lateral import render_lateral
from data_pipelines.records import BadInput, Label
from data_pipelines.sources.phantom import PhantomSource

BOTH = (Side.RIGHT, Side.LEFT)
ZONED = (Kind.CONSOLIDATION, Kind.LESION, Kind.OPACITY, Kind.PNEUMONIA, Kind.THICKENING)
GROWING = (
    *ZONED,
    Kind.CARDIOMEGALY,
    Kind.EDEMA,
    Kind.WIDE_MEDIASTINUM,
    Kind.PNEUMOTHORAX,
    Kind.EFFUSION,
    Kind.ATELECTASIS,
    Kind.FRACTURE,
)


def _draw(kind, size=0.7, zone=Zone.MID, sides=None, patient=1, number=1, pixels=192):
    sides = sides or (BOTH if kind is Kind.EDEMA else (Side.RIGHT,))
    anatomy = sample_anatomy(2, patient, "PA", 0, Detail.LIFELIKE)
    exposure = sample_exposure(2, patient, 0, "LATERAL", Scanner.CLINIC)
    findings = () if kind is None else (Finding(kind, sides, zone, size, 5, number),)
    return render_lateral(anatomy, findings, exposure, pixels)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_finding_is_seen_from_the_side(kind):
    for patient in range(4):
        drawn, healthy = _draw(kind, patient=patient), _draw(None, patient=patient)
        change = drawn.pixels.astype(int)[drawn.masks.any(0)] - healthy.pixels[drawn.masks.any(0)]
        assert np.percentile(np.abs(change), 90) > 4
        if kind is not Kind.FRACTURE:
            assert (change.mean() < 0) == (kind is Kind.PNEUMOTHORAX)


@pytest.mark.parametrize("kind", GROWING)
def test_more_severe_is_larger(kind):
    areas = [_draw(kind, size).masks.sum() for size in (0.1, 0.5, 0.95)]
    assert areas[0] < areas[1] < areas[2]


@pytest.mark.parametrize("kind", ZONED)
def test_zones_lie_one_below_the_other(kind):
    boxes = [_draw(kind, 0.3, zone).boxes() for zone in Zone]
    heights = [(box[:, 1].min() + box[:, 3].max()) / 2 for box in boxes]
    assert heights[0] + 10 < heights[1] < heights[2] - 10


@pytest.mark.parametrize("kind", COUNTED)
def test_what_comes_in_numbers_has_a_box_each(kind):
    assert [len(_draw(kind, 0.3, number=n).masks) for n in (1, 2, 4)] == [1, 2, 4]


def test_fluid_of_both_sides_has_two_boxes():
    assert len(_draw(Kind.EFFUSION, sides=BOTH).masks) == 2


@pytest.mark.parametrize("config", ["default", "hard"])
def test_some_pa_images_have_a_lateral_beside_them_with_the_same_report_and_labels(config):
    source = PhantomSource(config=config, patients=60, size=64, views="all")
    images = collections.defaultdict(list)
    for key in source.keys():
        images[key.study_id].append(key)
    pairs = [keys for keys in images.values() if len(keys) == 2]
    assert 0.15 < len(pairs) / len(images) < 0.45
    for frontal, lateral in (map(source.load, keys) for keys in pairs[:12]):
        assert (frontal.view, lateral.view) == ("PA", "LATERAL")
        assert (frontal.findings, frontal.impression) == (lateral.findings, lateral.impression)
        np.testing.assert_array_equal(frontal.labels, lateral.labels)
        assert set(lateral.box_label) == set(np.flatnonzero(lateral.labels == Label.POSITIVE)) - {0}
        assert not np.array_equal(frontal.pixels, lateral.pixels)


def test_views_are_chosen_and_a_frontal_image_is_the_same_whatever_is_beside_it():
    sources = {
        views: PhantomSource(config="default", patients=30, size=64, views=views)
        for views in ("frontal", "lateral", "all")
    }
    names = {views: {key.image_id for key in source.keys()} for views, source in sources.items()}
    assert names["frontal"] | names["lateral"] == names["all"]
    assert not names["frontal"] & names["lateral"] and names["lateral"]
    key = sources["frontal"].keys()[3]
    one, other = (sources[views].load(key).pixels for views in ("frontal", "all"))
    np.testing.assert_array_equal(one, other)
    assert len({source.version for source in sources.values()}) == 3


@pytest.mark.parametrize("wrong", [{"views": "oblique"}, {"config": "easy", "views": "lateral"}])
def test_a_view_that_cannot_be_drawn_is_refused_at_once(wrong):
    with pytest.raises(BadInput, match="choose"):
        PhantomSource(**wrong)
