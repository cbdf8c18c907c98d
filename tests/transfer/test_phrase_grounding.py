"""A CSV of phrases with boxes or masks: MS-CXR's names, one's own, and what is wrong with them."""

import csv

import cv2
import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput
from place_jax import Predictor
from place_jax.transfer.phrase_grounding import evaluate_phrases
from place_jax.transfer.phrases import read_phrases, region_mask


@pytest.fixture(scope="module")
def predictor(phantom_dir):
    return Predictor.from_checkpoint(tiny_run.untrained_run(phantom_dir))


@pytest.fixture
def images(phantom_dir, tmp_path):
    """Four phantoms, 128 x 128, of other sizes than the records."""
    records = read_records(open_data(phantom_dir), "test", limit=4)
    for number, record in enumerate(records):
        pixels = cv2.resize(decode_png(record["image"]), (128, 128))
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    return tmp_path


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_ms_cxr_rows_are_read_as_they_are(tmp_path):
    common = {"category_name": "Edema", "label_text": "edema", "image_width": 2000}
    common |= {"image_height": 1000, "path": "p10/a.jpg", "split": "test"}
    rows = [common | dict(x=0, y=0, w=500, h=500), common | dict(x=1000, y=500, w=10, h=20)]
    rows.append(common | dict(x=0, y=0, w=5, h=5, split="val", label_text="else"))
    path = write(tmp_path / "ms_cxr.csv", rows)
    (region,) = read_phrases(path, images=tmp_path / "files", split="test")
    assert region.image == tmp_path / "files" / "p10" / "a.jpg" and region.label == "Edema"
    np.testing.assert_array_equal(region.boxes, [[0, 0, 500, 500], [1000, 500, 1010, 520]])
    assert [r.text for r in read_phrases(path, split="validation")] == ["else"]
    assert region.patient == "p10/a.jpg"
    paths = ("files/p10/p10032725/s1/x.jpg", "p10/p10032725/s2/y.jpg")
    more = write(tmp_path / "more.csv", [common | dict(x=0, y=0, w=5, h=5, path=p) for p in paths])
    assert [r.patient for r in read_phrases(more)] == ["p10032725"] * 2
    # In an image stored at half that size, the crop of 64 of 64 pixels holds padding above.
    mask = region_mask(region, (500, 1000), 64, 64)
    rows, columns = np.nonzero(mask[:, :20])
    assert (rows.min(), rows.max(), columns.max()) == (16, 31, 15)


def test_boxes_and_masks_of_one_region_score_alike(predictor, images):
    mask = np.zeros((128, 128), np.uint8)
    mask[40:80, 32:64] = 255
    cv2.imwrite(str(images / "mask.png"), mask)
    texts = ["pleural effusion", "cardiomegaly"]
    base = [{"image": f"{i}.png", "phrase": texts[i % 2], "label": i % 2} for i in range(4)]
    boxes = write(images / "b.csv", [row | dict(x=32, y=40, w=32, h=40) for row in base])
    masks = write(images / "m.csv", [row | dict(mask="mask.png") for row in base])
    scored = [
        evaluate_phrases(predictor, path, training=boxes, bootstrap=20) for path in (boxes, masks)
    ]
    assert scored[0]["grounding/test/sentences"] == 4
    assert scored[0]["grounding/test/left_out"] == 0
    assert scored[0]["grounding/test/pointing_mean_box_of_label"] == 1
    for name, value in scored[0].items():
        assert scored[1][name] == pytest.approx(value, abs=0.02), name
    assert "grounding/test/cnr_similarity_other_phrase" in scored[0]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"image": "0.png", "x": 1, "y": 1, "w": 2, "h": 2}, "no column label_text or phrase"),
        ({"image": "0.png", "phrase": "a"}, "no column x"),
        ({"image": "0.png", "phrase": "a", "x": 1, "y": 1, "w": 0, "h": 2}, "must be above 0"),
        ({"image": "0.png", "phrase": "a", "x": "", "y": 1, "w": 1, "h": 2}, "neither a mask nor"),
        ({"image": "0.png", "phrase": " ", "x": 1, "y": 1, "w": 1, "h": 2}, "has no phrase"),
        ({"image": "9.png", "phrase": "edema", "x": 1, "y": 1, "w": 1, "h": 2}, "9.png"),
        ({"image": "0.png", "phrase": "edema", "x": 900, "y": 1, "w": 1, "h": 2}, "none of 1"),
        (
            {"image": "0.png", "phrase": "edema", "x": 1, "y": 1, "w": 9, "h": 9, "split": "val"},
            "no rows of split test",
        ),
    ],
)
def test_what_a_file_lacks_is_one_line(predictor, images, row, says):
    with pytest.raises(BadInput) as error:
        evaluate_phrases(predictor, write(images / "bad.csv", [row]), bootstrap=0)
    assert says in str(error.value) and "\n" not in str(error.value)
