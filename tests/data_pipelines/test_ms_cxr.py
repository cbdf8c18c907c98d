"""MS-CXR: its list beside MIMIC-CXR's images; phrases become sentences linked to boxes."""

import pickle

import command_line
import cv2
import mimic_tree
import numpy as np
import pytest
from mimic_tree import Image, name

from data_pipelines.batches import open_data, read_records
from data_pipelines.records import CHEXPERT_LABELS, BadInput
from data_pipelines.sources.ms_cxr import MsCxrSource
from place_jax import cli

IMAGES = (Image(name(1), 50000001, 10000001), Image(name(2), 50000002, 11000002))
HEADER = "dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height,split"


def line(image: Image, category: str, phrase: str, box: str, split="test", size="48,40") -> str:
    group = f"p{str(image.patient)[:2]}"
    path = f"files/{group}/p{image.patient}/s{image.study}/{image.image}.jpg"
    return f'{image.image},{category},"{phrase}",{path},{box},{size},{split}'


ROWS = (
    line(IMAGES[0], "Pleural Effusion", "Small bilateral  effusions", "2,20,10,15"),
    line(
        IMAGES[1], "Pneumothorax", "large pneumothorax. Mild shift, 1.5 cm.", "4,4,20,20", "train"
    ),
    line(IMAGES[0], "Pleural Effusion", "Small bilateral effusions", "30,20,30,15"),
    line(IMAGES[0], "Atelectasis", "left basal atelectasis", "30,25,10,10"),
)


def write_list(folder, rows=ROWS, header=HEADER, version="1.1.0"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"MS_CXR_Local_Alignment_v{version}.csv"
    path.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ms_cxr")
    mimic_tree.write_images(folder, IMAGES)
    write_list(folder)
    return folder


def load(source, number):
    return source.load(next(key for key in source.keys() if key.image_id == name(number)))


def test_phrases_are_sentences_linked_to_their_boxes(tree):
    source = pickle.loads(pickle.dumps(MsCxrSource(str(tree))))
    keys = source.keys()
    assert [(key.patient_id, key.study_id, key.split) for key in keys] == [
        ("p10000001", "s50000001", "test"),
        ("p11000002", "s50000002", "test"),
    ]
    study = load(source, 1)
    assert study.findings == "Small bilateral effusions\n\nleft basal atelectasis"
    # in the order of the rows; the second reaches past the edge
    assert study.boxes.tolist() == [[2, 20, 12, 35], [30, 20, 48, 35], [30, 25, 40, 35]]
    assert [CHEXPERT_LABELS[i] for i in study.box_label] == [
        "Pleural Effusion",
        "Pleural Effusion",
        "Atelectasis",
    ]
    assert study.sentence_box.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert {CHEXPERT_LABELS[i] for i in np.flatnonzero(study.labels == 1)} == {
        "Pleural Effusion",
        "Atelectasis",
    }
    assert load(source, 2).sentence_box.tolist() == [[0, 0], [1, 0]]


def test_the_owners_splits(tree, tmp_path):
    keys = MsCxrSource(str(tree), test_set="test").keys()
    assert [key.split for key in keys] == ["test", "train"]
    mimic_tree.write_images(tmp_path, IMAGES)
    first = [row.rpartition(",")[0] for row in ROWS]  # the first version has no such column
    write_list(tmp_path / "ms-cxr" / "0.1", first, HEADER.removesuffix(",split"), "1.0.0")
    assert len(MsCxrSource(str(tmp_path)).keys()) == 2
    with pytest.raises(BadInput, match="no column 'split'"):
        MsCxrSource(str(tmp_path), test_set="test").keys()


def test_layouts_of_dicom_files_and_of_smaller_copies(tree, tmp_path):
    home = tmp_path / "physionet.org" / "files"
    write_list(home / "ms-cxr" / "1.1.0")
    mimic_tree.write_images(home / "mimic-cxr" / "2.1.0", IMAGES, "dicom")
    ours, theirs = (
        load(MsCxrSource(str(d), **o), 1) for d, o in ((tmp_path, {"images": "dicom"}), (tree, {}))
    )
    assert (ours.boxes == theirs.boxes).all() and ours.pixels.shape == (40, 48)
    small = tmp_path / "small"
    write_list(small)
    mimic_tree.write_images(small, IMAGES)
    for path in small.rglob("*.jpg"):
        cv2.imwrite(str(path), np.zeros((20, 24), np.uint8))
    study = load(MsCxrSource(str(small)), 1)
    assert study.boxes[0].tolist() == [1, 10, 6, 17.5] and study.pixels.shape == (20, 24)
    for path in small.rglob("*.jpg"):
        cv2.imwrite(str(path), np.zeros((24, 24), np.uint8))
    with pytest.raises(BadInput, match="24 x 24 pixels and its boxes are for 48 x 40"):
        load(MsCxrSource(str(small)), 1)


def test_what_is_missing_is_named(tree, tmp_path):
    with pytest.raises(BadInput, match="MS_CXR_Local_Alignment_v1.1.0.csv.*MS-CXR of PhysioNet"):
        MsCxrSource(str(tmp_path)).keys()
    write_list(tmp_path)
    with pytest.raises(BadInput, match="files/p10.*MIMIC-CXR-JPG of PhysioNet"):
        MsCxrSource(str(tmp_path)).keys()


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("files/p10/p10000001", "files/p10/../../p10000001", "bad_path"),
        (f"{name(1)}.jpg", f"{name(2)}.jpg", "bad_path"),
        ("Atelectasis", "Elephant", "bad_label"),
        ("30,25,10,10", "30,25,10,x", "bad_number"),
        ("30,25,10,10", "30,25,0,10", "bad_box"),
        ("48,40,test", "48,0,test", "bad_number"),
    ],
)
def test_a_list_that_is_not_the_owners(tree, tmp_path, old, new, reason):
    mimic_tree.write_images(tmp_path, IMAGES)
    write_list(tmp_path, [row.replace(old, new) for row in ROWS])
    with pytest.raises(BadInput, match="row") as error:
        MsCxrSource(str(tmp_path)).keys()
    assert error.value.reason == reason


def test_from_the_command_line(tree, tmp_path, capsys):
    vocab = tmp_path / "vocab.txt"
    words = (
        "Small bilateral effusions left basal atelectasis large pneumothorax Mild shift , .".split()
    )
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    out = tmp_path / "data"
    command = ["prepare", "ms_cxr", "--raw-dir", str(tree), "--out-dir", str(out)]
    command += ["--image-size", "24", "--workers", "1"]
    assert cli.main(command) == 1
    assert "give --vocab vocab.txt" in capsys.readouterr().err and not out.exists()
    command_line.prepare("ms_cxr", tree, out, "--image-size", "24", "--vocab", str(vocab))
    data = open_data(out)
    assert data.splits == {"test": 2}
    record = next(r for r in read_records(data, "test") if r["image_id"] == name(1))
    assert record["sentences"] == ["Small bilateral effusions", "left basal atelectasis"]
    assert record["boxes"][0].tolist() == [1, 10, 6, 17.5]
    assert record["sentence_box"].tolist() == [[0, 0], [0, 1], [1, 2]]
