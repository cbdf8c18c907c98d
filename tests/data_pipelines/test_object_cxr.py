"""object-CXR from a small tree in the layout of its download."""

import pickle
import shutil

import command_line
import cv2
import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png
from data_pipelines.records import BadInput
from data_pipelines.sources.object_cxr import ObjectCxrSource

TRAIN = [f"{i:05d}" for i in range(1, 21)]
DEV = [f"{i:05d}" for i in range(8001, 8006)]
MANY = "00004"
ANNOTATIONS = {
    MANY: "0 10 20 50 40;1 100 50 140 130;2 60 150 100 150 60 190",
    "00007": "0 150 10 300 30",  # drawn past the right edge
    "08002": "1 30 30 60 60;",
}
WIDTH, HEIGHT = 160, 200


def write_list(path, names, annotations=ANNOTATIONS, header="image_name,annotation"):
    path.write_text("\n".join([header, *(f"{n}.jpg,{annotations.get(n, '')}" for n in names)]))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("object_cxr")
    ramp = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 256
    for part, names in (("train", TRAIN), ("dev", DEV)):
        write_list(folder / f"{part}.csv", names)
        (folder / part).mkdir()
        for i, name in enumerate(names):
            cv2.imwrite(str(folder / part / f"{name}.jpg"), ((ramp + 5 * i) % 256).astype(np.uint8))
    return folder


def load(source, image_id):
    return source.load(next(key for key in source.keys() if key.image_id == image_id))


def test_train_gives_validation_and_dev_is_test(tree):
    source = ObjectCxrSource(str(tree))
    keys = source.keys()
    assert [key.image_id for key in keys] == [f"train-{n}" for n in TRAIN] + [
        f"dev-{n}" for n in DEV
    ]
    assert all((key.split == "test") == key.image_id.startswith("dev") for key in keys)
    splits = [key.split for key in keys]
    assert {s: splits.count(s) for s in splits} == {"train": 16, "validation": 4, "test": 5}
    assert pickle.loads(pickle.dumps(source)).keys() == keys
    assert source.shareable and source.has_reports is False and not source.left_out


def test_mgca_compat_keeps_the_tenth_of_the_reference_code(tree):
    source = ObjectCxrSource(str(tree), protocol="mgca_compat")
    train, validation = train_test_split(TRAIN, test_size=0.1, random_state=0)
    found = {
        s: {k.image_id for k in source.keys() if k.split == s} for s in ("train", "validation")
    }
    assert found == {
        "train": {f"train-{n}" for n in train},
        "validation": {f"train-{n}" for n in validation},
    }
    assert source.version != ObjectCxrSource(str(tree)).version


def test_the_official_numbers_give_the_published_counts(tmp_path):
    for part, first, number in (("train", 1, 8000), ("dev", 8001, 1000)):
        write_list(tmp_path / f"{part}.csv", [f"{first + i:05d}" for i in range(number)])
        (tmp_path / part).mkdir()
    for protocol in ("strict", "mgca_compat"):
        source = ObjectCxrSource(str(tmp_path), protocol=protocol)
        splits = [key.split for key in source.keys()]
        assert {s: splits.count(s) for s in set(splits)} == source.published_counts


def test_rectangles_ellipses_and_polygons(tree):
    source = ObjectCxrSource(str(tree))
    study = load(source, f"train-{MANY}")
    np.testing.assert_array_equal(
        study.boxes, [[10, 20, 50, 40], [100, 50, 140, 130], [60, 150, 100, 190]]
    )
    assert study.box_label.tolist() == [0, 0, 0] and source.label_names == ("Foreign Object",)
    assert study.labels.tolist() == [1]
    rectangle, ellipse, triangle = (
        study.mask[int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in study.boxes
    )
    assert study.mask.sum() == rectangle.sum() + ellipse.sum() + triangle.sum()
    assert rectangle.all()
    assert abs(ellipse.mean() - np.pi / 4) < 0.01 and ellipse[40, 20] and not ellipse[0, 0]
    assert abs(triangle.mean() - 0.5) < 0.02 and triangle[1, 1] and not triangle[-1, -1]


def test_what_lies_past_the_edge_is_cut_off(tree):
    study = load(ObjectCxrSource(str(tree)), "train-00007")
    np.testing.assert_array_equal(study.boxes, [[150, 10, 160, 30]])
    assert study.mask.shape == study.pixels.shape == (HEIGHT, WIDTH)
    assert study.mask[10:30, 150:].all() and study.mask.sum() == 200


def test_an_image_without_objects(tree):
    study = load(ObjectCxrSource(str(tree)), "dev-08001")
    assert study.labels.tolist() == [0]
    assert study.boxes.shape == (0, 4) and study.mask is not None and not study.mask.any()


@pytest.mark.parametrize(
    "annotation, reason",
    [
        ("3 1 1 2 2", "bad_shape"),
        ("0 1 1 2", "bad_shape"),
        ("0 170 10 190 30", "bad_box"),
        ("0 20 20 20 90", "bad_box"),
    ],
)
def test_a_bad_shape_makes_its_own_image_unusable(tree, tmp_path, annotation, reason):
    shutil.copytree(tree, tmp_path / "data")
    write_list(tmp_path / "data" / "train.csv", TRAIN, {"00002": annotation})
    source = ObjectCxrSource(str(tmp_path / "data"))
    with pytest.raises(BadInput) as error:
        load(source, "train-00002")
    assert error.value.reason == reason and "\n" not in str(error.value)
    assert load(source, "train-00003").labels.tolist() == [0]


@pytest.mark.parametrize("name", ["train.csv", "dev.csv", "train", "dev"])
def test_what_is_missing_is_named(tree, tmp_path, name):
    shutil.copytree(tree, tmp_path / "data")
    path = tmp_path / "data" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BadInput, match=f"no {name}.*object-CXR.*--raw-dir") as error:
        ObjectCxrSource(str(tmp_path / "data")).keys()
    assert "\n" not in str(error.value)


def test_lists_of_something_else(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "data")
    source = ObjectCxrSource(str(tmp_path / "data"))
    write_list(tmp_path / "data" / "dev.csv", DEV, header="file,boxes")
    with pytest.raises(BadInput, match="no column 'image_name', only file, boxes"):
        source.keys()
    write_list(tmp_path / "data" / "dev.csv", [*DEV, DEV[0]])
    with pytest.raises(BadInput, match="08001.jpg twice"):
        source.keys()


def test_prepared(tree, tmp_path, capfd):
    options = ("--image-size", "100")
    manifest = command_line.prepare("object_cxr", tree, tmp_path / "data", *options)
    assert {s: d["examples"] for s, d in manifest["splits"].items()} == {
        "train": 16,
        "validation": 4,
        "test": 5,
    }
    assert "validation 4 (published: 1600)" in capfd.readouterr().err
    data = open_data(tmp_path / "data")
    assert data.label_names == ("Foreign Object",)
    records = {r["image_id"]: r for s in data.splits for r in read_records(data, s)}
    record = records[f"train-{MANY}"]
    np.testing.assert_allclose(record["boxes"][0], [5, 10, 25, 20])
    mask = decode_png(record["mask"])
    assert mask.shape == (100, 80) and set(np.unique(mask)) == {0, 1}
    assert mask[10:20, 5:25].all()
    assert [records[f"dev-{n}"]["labels"].tolist() for n in DEV] == [[0], [1], [0], [0], [0]]
