"""inspect: the counts a person reads, and no picture of what may not be shown."""

import cv2
import pytest
from toy_source import ToySource

from data_pipelines.inspect import inspect
from data_pipelines.prepare import prepare
from data_pipelines.records import BadInput

SETTINGS = {"image_size": 48, "vocab_size": 100, "workers": 1, "max_bad_fraction": 0.1}


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
