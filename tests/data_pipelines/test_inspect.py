"""inspect: the counts a person reads, and no picture of what may not be shown."""

import dataclasses

import cv2
import numpy as np
import pytest
from toy_source import ToySource

from data_pipelines.inspect import inspect
from data_pipelines.prepare import prepare
from data_pipelines.records import BadInput, Label

SETTINGS = {"image_size": 48, "vocab_size": 100, "workers": 1, "max_bad_fraction": 0.1}


class MarkedSource(ToySource):
    """No reports; every tenth image has a mask over the middle of it, and some have a box too."""

    has_reports = False
    label_names = ("Pneumothorax", "No Finding")
    published_counts = {"train": 256, "validation": 30, "test": 32}
    left_out = {"no_annotation": 7, "repeated_file": 1}
    boxes = False

    def load(self, key):
        i = int(key.image_id.removeprefix("image"))
        study = super().load(key)
        mask = np.zeros(study.pixels.shape, np.uint8)
        mask[20:-20, 15:-15] = i % 10 == 0
        boxed = int(self.boxes and i % 10 == 0)
        return dataclasses.replace(
            study,
            findings="",
            impression="",
            labels=np.array([i % 10 == 0, i % 10 != 0]).astype(np.int8) * Label.POSITIVE,
            boxes=np.array([[2, 3, 50, 90]] * boxed, np.float32).reshape(-1, 4),
            box_label=np.zeros(boxed, np.int32),
            mask=mask,
            sentence_box=np.zeros((0, 2), np.int32),
        )


class BoxedSource(MarkedSource):
    boxes = True


def colored(path) -> np.ndarray:
    """[h, w] bool: where a sheet of grey images is not grey."""
    sheet = cv2.imread(str(path)).astype(int)
    return sheet.max(axis=2) - sheet.min(axis=2) > 40


def regions(path) -> list[int]:
    """Pixels of every coloured piece of a sheet, but for specks."""
    sizes = cv2.connectedComponentsWithStats(colored(path).astype(np.uint8))[2][1:, -1]
    return [size for size in sizes.tolist() if size > 2000]


def test_it_says_what_there_is_and_draws_it(tmp_path):
    prepare(ToySource(images=80, bad=(3, 4)), tmp_path / "data", **SETTINGS)
    text = inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert "train: 62 images of" in text and "16 patients" in text
    assert "left out: 2 images (truncated_pixels 2)" in text
    assert "by patient number" in text and "48 pixels" in text
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert min(sheet.shape[:2]) > 500 and sheet.std() > 20


def test_what_may_not_be_shared_is_not_drawn(tmp_path):
    prepare(ToySource(images=80, shareable=False), tmp_path / "data", **SETTINGS)
    text = inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert "--include-examples" in text and "may not be shown" in text
    assert not (tmp_path / "sheet.png").exists()
    assert "effusion." not in text.lower(), "a report's text was shown"
    inspect(tmp_path / "data", tmp_path / "sheet.png", include_examples=True)
    assert (tmp_path / "sheet.png").exists()


def test_a_phantom_is_said_to_be_synthetic(phantom_dir, tmp_path):
    text = inspect(phantom_dir, tmp_path / "sheet.png")
    assert "synthetic" in text and "no real patient" in text


def test_no_folder(tmp_path):
    with pytest.raises(BadInput, match="place prepare"):
        inspect(tmp_path / "nothing")


def test_counts_stand_beside_the_published_ones_and_what_was_left_out(tmp_path):
    prepare(MarkedSource(images=320, bad=(5,)), tmp_path / "data", **SETTINGS)
    text = inspect(tmp_path / "data", tmp_path / "sheet.png")
    lines = text.splitlines()
    train, validation, test = (
        next(line for line in lines if line.startswith(f"{split}: "))
        for split in ("train", "validation", "test")
    )
    assert train.startswith("train: 255 images") and "(published: 256, all listed)" in train
    assert "(published: 30, 2 more listed)" in validation
    assert "(published: 32, all listed)" in test and "sentences" not in text
    assert "not taken: no_annotation 7, repeated_file 1" in lines
    assert "left out: 1 images (truncated_pixels 1); quarantine.jsonl names them" in lines
    assert "without reports" in lines[0]
    assert "  labels: No Finding 223, Pneumothorax 32" in lines


def test_a_split_that_is_published_and_not_there(tmp_path):
    prepare(MarkedSource(images=8), tmp_path / "data", **SETTINGS, limit=6)
    text = inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert "train: 6 images" in text and "(published: 256, 250 fewer listed)" in text
    assert "test: none (published: 32)" in text and "limit: 6 images" in text


def test_masks_are_drawn_and_findings_are_shown_where_they_are_rare(tmp_path):
    prepare(MarkedSource(images=200), tmp_path / "data", **SETTINGS)
    inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert len(regions(tmp_path / "sheet.png")) == 6  # of twelve images; one in ten has a mask


def test_boxes_are_drawn_beside_masks(tmp_path):
    for name, source in (("masks", MarkedSource), ("boxes", BoxedSource)):
        prepare(source(images=200), tmp_path / name, **SETTINGS)
        inspect(tmp_path / name, tmp_path / f"{name}.png")
    masks, boxes = (colored(tmp_path / f"{name}.png").sum() for name in ("masks", "boxes"))
    assert boxes > masks + 6 * 500  # six outlines


def test_sheets_of_data_without_reports_leave_no_room_for_them(tmp_path):
    for name, source in (("images", MarkedSource), ("reports", ToySource)):
        prepare(source(images=80), tmp_path / name, **SETTINGS)
        inspect(tmp_path / name, tmp_path / f"{name}.png")
    images, reports = (
        cv2.imread(str(tmp_path / f"{name}.png")).shape[0] for name in ("images", "reports")
    )
    assert images < 0.75 * reports


def test_one_image_is_enough(tmp_path):
    prepare(MarkedSource(images=1), tmp_path / "data", **SETTINGS)
    inspect(tmp_path / "data", tmp_path / "sheet.png")
    assert len(regions(tmp_path / "sheet.png")) == 1
