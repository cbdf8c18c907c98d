"""SIIM-ACR Pneumothorax from small trees in the layouts of both stages."""

import csv
import pickle
import shutil

import command_line
import dicom_files
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_pipelines.annotations import encode_relative_rle
from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput
from data_pipelines.sources.siim_pneumothorax import SiimPneumothoraxSource

UIDS = [f"1.2.276.0.7230010.3.1.4.8323329.{i}.151" for i in range(20)]
MANY, ONE = UIDS[3], UIDS[8]
UNLISTED = "1.2.276.0.7230010.3.1.4.8323329.999.151"


def region(x: int, y: int, width: int = 40, height: int = 90) -> np.ndarray:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


PARTS = [region(100, 200), region(120, 250), region(700, 300)]  # the first two overlap
ROWS = [(uid, "-1") for uid in UIDS if uid not in (MANY, ONE)]
for at, part in zip((5, 11, 14), PARTS, strict=True):  # by rows, one in each split
    ROWS.insert(at, (MANY, encode_relative_rle(part)))
ROWS += [(ONE, encode_relative_rle(PARTS[0])), (MANY, encode_relative_rle(PARTS[2]))]
ORDER = list(dict.fromkeys(uid for uid, _ in ROWS))


def write_list(path, rows=ROWS, *, stray: str = ""):
    """Stage 1 has a space before the second column's name and values, stage 2 has none."""
    lines = [f"ImageId,{stray}EncodedPixels", *(f"{uid},{stray}{runs}" for uid, runs in rows)]
    path.write_text("\n".join(lines) + "\n")


def content(uid: str, side: int = 1024) -> bytes:
    ramp = np.add.outer(np.arange(side), np.arange(side)) // 16
    return dicom_files.make((ramp + (sum(map(ord, uid)) % 100)).astype(np.uint8))


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage_2")
    write_list(folder / "stage_2_train.csv")
    (folder / "images").mkdir()
    for uid in (*UIDS, UNLISTED):
        (folder / "images" / f"{uid}.dcm").write_bytes(content(uid))
    return folder


@pytest.fixture(scope="module")
def nested(tmp_path_factory, flat):
    """Study and series have ids of their own; the second stage's training took in the test."""
    folder = tmp_path_factory.mktemp("stage_1")
    write_list(folder / "train-rle.csv", stray=" ")
    for i, uid in enumerate((*UIDS, UNLISTED)):
        part = "dicom-images-test" if i % 7 == 6 else "dicom-images-train"
        path = folder / "siim" / part / f"1.2.276.1.{i}" / f"1.2.276.2.{i}" / f"{uid}.dcm"
        path.parent.mkdir(parents=True)
        shutil.copy(flat / "images" / f"{uid}.dcm", path)
    (folder / "sample images").mkdir()
    shutil.copy(flat / "images" / f"{ONE}.dcm", folder / "sample images")
    return folder


def load(source, uid):
    return source.load(next(key for key in source.keys() if key.image_id == uid))


def test_every_image_once_whatever_its_rows(flat):
    source = SiimPneumothoraxSource(str(flat))
    keys = source.keys()
    assert [key.image_id for key in keys] == ORDER
    splits = [key.split for key in keys]
    assert {s: splits.count(s) for s in splits} == {"train": 14, "validation": 3, "test": 3}
    assert source.left_out == {"no_annotation": 1}
    assert pickle.loads(pickle.dumps(source)).keys() == keys
    assert not source.shareable and source.has_reports is False


def test_both_layouts_are_the_same_data(flat, nested):
    first, second = SiimPneumothoraxSource(str(flat)), SiimPneumothoraxSource(str(nested))
    assert first.keys() == second.keys()
    assert second.left_out == {"no_annotation": 1, "repeated_file": 1}
    assert first.version.startswith("stage_2-strict-")
    assert second.version.startswith("stage_1-strict-")
    for uid in (MANY, ONE, UIDS[0]):
        one, other = load(first, uid), load(second, uid)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_masks_of_several_rows_are_joined(flat):
    source = SiimPneumothoraxSource(str(flat))
    study = load(source, MANY)
    np.testing.assert_array_equal(study.mask, PARTS[0] | PARTS[1] | PARTS[2])
    assert study.labels.tolist() == [1] and source.label_names == ("Pneumothorax",)
    np.testing.assert_array_equal(load(source, ONE).mask, PARTS[0])
    healthy = load(source, UIDS[0])
    assert not healthy.mask.any() and healthy.labels.tolist() == [0]


def test_mgca_compat_splits_rows_so_that_an_image_may_be_in_several_splits(flat):
    source = SiimPneumothoraxSource(str(flat), protocol="mgca_compat")
    train, rest = train_test_split(ROWS, test_size=0.3, random_state=0)
    test, validation = train_test_split(rest, test_size=0.5, random_state=0)
    expected = {"train": train, "validation": validation, "test": test}
    keys = source.keys()
    for split, rows in expected.items():
        of_split = [key for key in keys if key.split == split]
        assert {key.image_id.split("@")[0] for key in of_split} == {uid for uid, _ in rows}
        for key in of_split:
            runs = [r for uid, r in rows if uid == key.image_id.split("@")[0]]
            parts = [p for p in PARTS if encode_relative_rle(p) in runs]
            expected_mask = np.any(parts, axis=0) if parts else np.zeros((1024, 1024))
            np.testing.assert_array_equal(source.load(key).mask, expected_mask)
    assert [key.image_id for key in keys if "@" in key.image_id] == [
        f"{MANY}@validation",
        f"{MANY}@test",
    ]
    assert "1 images are in more than one split" in source.split_rule
    assert len({key.patient_id for key in keys}) == len(keys)


def test_the_official_numbers_give_the_published_counts(tmp_path):
    uids = [str(i) for i in range(12047)]
    (tmp_path / "0.dcm").write_bytes(b"")
    write_list(tmp_path / "stage_2_train.csv", [(u, "-1") for u in uids] + [("7", "0 5")] * 907)
    source = SiimPneumothoraxSource(str(tmp_path))
    splits = [key.split for key in source.keys()]
    assert {s: splits.count(s) for s in set(splits)} == source.published_counts


@pytest.mark.parametrize(
    "rows, reason",
    [
        ([(ONE, "-1"), (ONE, "0 5")], "contradicting_rows"),
        ([(ONE, "0 5 3")], "bad_run_lengths"),
        ([(ONE, "0 9999999")], "bad_run_lengths"),
        ([(ONE, "nan")], "bad_run_lengths"),
        ([(UIDS[0] + "0", "-1")], "missing_file"),
    ],
)
def test_what_makes_an_image_unusable(flat, tmp_path, rows, reason):
    write_list(tmp_path / "stage_2_train.csv", rows)
    shutil.copy(flat / "images" / f"{ONE}.dcm", tmp_path)
    source = SiimPneumothoraxSource(str(tmp_path))
    with pytest.raises(BadInput) as error:
        source.load(source.keys()[0])
    assert error.value.reason == reason and "\n" not in str(error.value)


def test_an_image_that_was_resized_is_refused(tmp_path):
    write_list(tmp_path / "stage_2_train.csv", [(ONE, "-1")])
    (tmp_path / f"{ONE}.dcm").write_bytes(content(ONE, 512))
    with pytest.raises(BadInput, match="512 x 512 pixels and its run lengths are for 1024"):
        load(SiimPneumothoraxSource(str(tmp_path)), ONE)


def test_what_is_missing_is_named(tmp_path):
    source = SiimPneumothoraxSource(str(tmp_path))
    with pytest.raises(BadInput, match="stage_2_train.csv or train-rle.csv.*SIIM-ACR.*--raw-dir"):
        source.keys()
    write_list(tmp_path / "train-rle.csv", stray=" ")
    with pytest.raises(BadInput, match="no .dcm file.*SIIM-ACR.*--raw-dir"):
        source.keys()


def test_prepared(nested, tmp_path, capfd):
    options = ("--image-size", "64")
    manifest = command_line.prepare("siim_pneumothorax", nested, tmp_path / "data", *options)
    assert {s: d["examples"] for s, d in manifest["splits"].items()} == {
        "train": 14,
        "validation": 3,
        "test": 3,
    }
    assert manifest["left_out"] == {"no_annotation": 1, "repeated_file": 1}
    told = capfd.readouterr().err
    assert "train 14 (published: 8433)" in told and "no_annotation 1" in told
    data = open_data(tmp_path / "data")
    records = {r["image_id"]: r for s in data.splits for r in read_records(data, s)}
    assert set(records) == set(UIDS)
    mask = decode_png(records[MANY]["mask"])
    truth = PARTS[0] | PARTS[1] | PARTS[2]
    assert mask.shape == (64, 64) and set(np.unique(mask)) == {0, 1}
    assert abs(mask.mean() - truth.mean()) < 0.2 * truth.mean()
    assert records[MANY]["labels"].tolist() == [1] and records[UIDS[0]]["labels"].tolist() == [0]


@pytest.mark.real
def test_rows_of_the_official_list(real_data, tmp_path):
    sample = real_data / "formats" / "siim_rle_sample.csv"
    (tmp_path / "stage_2_train.csv").write_bytes(sample.read_bytes())
    with sample.open(newline="") as file:
        rows = list(csv.DictReader(file))
    marked = {row["ImageId"] for row in rows if row["EncodedPixels"] != "-1"}
    several = [u for u in marked if sum(row["ImageId"] == u for row in rows) > 4]
    for uid in several:
        (tmp_path / f"{uid}.dcm").write_bytes(content(uid))
    source = SiimPneumothoraxSource(str(tmp_path))
    keys = source.keys()
    assert len(keys) == len({row["ImageId"] for row in rows})
    for key in keys:
        if key.image_id in several:
            study = source.load(key)
            assert study.labels.tolist() == [1] and 0 < study.mask.mean() < 0.3
    assert len(several) == 20
