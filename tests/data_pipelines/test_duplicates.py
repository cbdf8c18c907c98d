"""The same radiograph in two splits is found under any name and encoding, and by option dropped."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from test_prepare import SETTINGS, contents
from toy_source import ToySource

from data_pipelines.batches import open_data, read_records
from data_pipelines.image_hash import image_hash
from data_pipelines.inspect import inspect
from data_pipelines.prepare import prepare
from data_pipelines.records import Key
from place_jax import cli

SPLIT = {0: "train", 1: "validation", 2: "test"}
# Copy -> (original, how it was made). Images 0..49 train, 50..59 validation, 60..69 test.
COPIES = {
    3: (64, "as it is"),
    7: (61, "poor jpeg"),
    11: (52, "half the size"),
    20: (66, "other grey levels"),
    55: (66, "as it is"),
    30: (31, "as it is"),  # within a split: no matter
}


def picture(i: int) -> np.ndarray:
    """[120, 100] uint8, smooth as a radiograph is."""
    noise = np.random.default_rng(i).normal(0, 1, (120, 100)).astype(np.float32)
    smooth = 4 * cv2.GaussianBlur(noise, (0, 0), 8) + cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.rint(20 + 200 * smooth).astype(np.uint8)


def altered(pixels: np.ndarray, how: str) -> np.ndarray:
    if how == "poor jpeg":
        return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0)
    if how == "half the size":
        return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    if how == "other grey levels":
        return np.rint(pixels * 0.8 + 30).astype(np.uint8)
    return pixels


@dataclasses.dataclass(frozen=True)
class Repeating(ToySource):
    images: int = 70

    def keys(self):
        splits = ("train",) * 50 + ("validation",) * 10 + ("test",) * 10
        return [Key(f"image{i}", f"study{i}", f"p{i}", splits[i], line=i + 2) for i in range(70)]

    def load(self, key):
        i = int(key.image_id.removeprefix("image"))
        original, how = COPIES.get(i, (i, "as it is"))
        return dataclasses.replace(
            super().load(Key(f"image{i}", "", "", "")),
            pixels=altered(picture(original), how),
            mask=None,
            boxes=np.zeros((0, 4), np.float32),
            box_label=np.zeros(0, np.int32),
            sentence_box=np.zeros((0, 2), np.int32),
        )


def listed(folder) -> dict[int, tuple]:
    lines = (folder / "duplicates.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert all(entry["line"] == entry["position"] + 2 for entry in entries)
    return {e["position"]: (e["of_position"], e["split"], e["of_split"]) for e in entries}


EXPECTED = {
    3: (64, "train", "test"),
    7: (61, "train", "test"),
    11: (52, "train", "validation"),
    20: (55, "train", "validation"),  # or 66: of two as near, the first
    55: (66, "validation", "test"),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    out = tmp_path_factory.mktemp("repeating") / "data"
    prepare(Repeating(), out, **SETTINGS)
    return out


def test_they_are_named_and_kept(kept, capsys):
    data = open_data(kept)
    assert listed(kept) == EXPECTED
    assert data.manifest["duplicates"] == {
        "train of test": 2,
        "train of validation": 2,
        "validation of test": 1,
    }
    assert data.splits == {"train": 50, "validation": 10, "test": 10}
    assert "the same to the eye in two splits: train of test 2" in inspect(kept)


def test_by_option_they_are_dropped_and_the_test_split_stays_whole(kept, tmp_path, capsys):
    out = tmp_path / "data"
    prepare(Repeating(), out, drop_duplicates=True, **SETTINGS)
    said = capsys.readouterr().err
    assert "train of test 2, train of validation 2, validation of test 1 (left out)" in said
    data = open_data(out)
    assert data.splits == {"train": 46, "validation": 9, "test": 10}
    assert listed(out) == EXPECTED and data.manifest["quarantined"] == {}
    originals = {r["image_id"]: r for s in data.splits for r in read_records(open_data(kept), s)}
    for split in data.splits:
        for record in read_records(data, split):
            assert record["image"] == originals.pop(record["image_id"])["image"]
    assert originals.keys() == {f"image{i}" for i in EXPECTED}
    first = contents(out)
    prepare(Repeating(), out, drop_duplicates=True, **SETTINGS)
    assert contents(out) == first, "the same command again changes nothing"


def test_an_interruption_while_dropping_changes_nothing(tmp_path, monkeypatch):
    from data_pipelines import duplicates

    whole, out = tmp_path / "whole", tmp_path / "data"
    prepare(Repeating(), whole, drop_duplicates=True, **SETTINGS)
    write, calls = duplicates.folder_layout.write_arrays, []

    def stopped(path, **arrays):
        if len(arrays.get("dropped", ())):
            calls.append(path)
            if len(calls) == 2:
                raise KeyboardInterrupt
        write(path, **arrays)

    monkeypatch.setattr(duplicates.folder_layout, "write_arrays", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(Repeating(), out, drop_duplicates=True, **SETTINGS)
    prepare(Repeating(), out, drop_duplicates=True, **SETTINGS)
    assert contents(out) == contents(whole)


def test_thousands_of_blank_images_are_no_trouble(tmp_path, monkeypatch):
    from data_pipelines.duplicates import _nearest

    hashes = np.repeat(image_hash(np.zeros((40, 40), np.uint8))[None], 3, 0)
    assert _nearest(hashes, np.array([0, 1, 2]))[0][0] == 0


def test_the_hash_tells_images_apart():
    hashes = np.array([image_hash(picture(i)) for i in range(60)])
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(-1)
    assert distance[np.triu_indices(60, 1)].min() > 40


def test_from_the_command_line(tmp_path, capsys):
    rows = ["path,text,patient,split"]
    for i, split in enumerate(["train"] * 40 + ["validation"] * 2 + ["test"] * 2):
        pixels = picture(40 if i == 41 else 0 if i == 43 else i)
        cv2.imwrite(str(tmp_path / f"{i}.png"), pixels)
        rows.append(f"{i}.png,There is an effusion {i}.,P{i},{split}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    command = ["prepare", "folder", "--csv", str(tmp_path / "pairs.csv"), "--image-column", "path"]
    command += ["--report-column", "text", "--patient-column", "patient"]
    command += ["--split-column", "split", "--image-size", "48", "--drop-duplicates"]
    assert cli.main([*command, "--out-dir", str(tmp_path / "out")]) == 0
    assert "train of test 1 (left out)" in capsys.readouterr().err
    assert open_data(tmp_path / "out").splits == {"train": 39, "validation": 2, "test": 2}
