"""A user's CSV as a source: what is read of it, and what each mistake in it is called."""

import csv
import dataclasses
import pickle
import stat

import cv2
import numpy as np
import pytest

from data_pipelines.records import BadInput, Key
from data_pipelines.sources import folder as folder_module
from data_pipelines.sources.folder import FolderSource

HEADER = ["path", "report", "patient", "study", "split"]
ROWS = [[f"{i}.png", f"Heart is normal, {i} cm.", f"P{i // 2}", f"S{i}", "train"] for i in range(6)]


def write(folder, rows, header=HEADER):
    with open(folder / "pairs.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return FolderSource(str(folder / "pairs.csv"), "path", "report", patient_column="patient")


def full(source):
    return dataclasses.replace(source, study_column="study", split_column="split")


def rewrite(source, text, encoding="utf-8"):
    with open(source.csv, "wb") as file:
        file.write(text.encode(encoding))
    return source


def with_image(folder, name="0.png", value=77):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((9, 7), value, np.uint8))
    return path


def reason(call, *arguments):
    with pytest.raises(BadInput) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return error.value.reason, str(error.value)


def load_report(folder, report):
    """Findings and impression of a report that stands in the first row."""
    with_image(folder)
    source = write(folder, [["0.png", report, "P0"], *ROWS[1:]])
    study = source.load(source.keys()[0])
    assert study.pixels.shape == (9, 7) and (np.asarray(study.pixels) == 77).all()
    return study.findings, study.impression


def test_a_row_is_an_image_and_its_report(tmp_path):
    text = "INDICATION: cough\nFINDINGS: Lungs,\n\u201cclear\u201d.\nIMPRESSION: Normal."
    assert load_report(tmp_path, text) == ("Lungs, \u201cclear\u201d.", "Normal.")
    assert load_report(tmp_path, 'He said "clear".') == ('He said "clear".', "")
    assert load_report(tmp_path, "INDICATION: cough") == ("", "")  # left out when records are made


@pytest.mark.parametrize("report", ["", "  \n", "NaN", "None", "null", "N/A"])
def test_no_report(tmp_path, report):
    assert reason(load_report, tmp_path, report)[0] == "empty_report"


def test_a_pointer_in_place_of_a_report(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:12"
    assert reason(load_report, tmp_path, pointer) == (
        "lfs_pointer",
        "the report is a git-LFS pointer: run `git lfs pull`",
    )


def test_images_may_lie_anywhere(tmp_path):
    table, images = tmp_path / "table", tmp_path / "images"
    table.mkdir()
    paths = [" a/0.png ", "../images/a/1.png", str(with_image(images, "a/2.png", 2))]
    with_image(images, "a/0.png", 0), with_image(images, "a/1.png", 1)
    source = write(table, [[path, "Clear.", f"P{i}"] for i, path in enumerate(paths)])
    source = dataclasses.replace(source, raw_dir=str(images))
    assert [np.asarray(source.load(key).pixels)[0, 0] for key in source.keys()] == [0, 1, 2]
    beside = dataclasses.replace(source, raw_dir=None)
    keys = beside.keys()
    assert np.asarray(beside.load(keys[1]).pixels)[0, 0] == 1
    assert reason(beside.load, keys[0])[0] == "missing_file"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_marks_blank_lines_and_line_ends(tmp_path, ends):
    with_image(tmp_path)
    lines = [
        "\ufeff patient ,report, path",
        "",
        "P0,Clear.,0.png",
        " ,,",
        'P1,"No',
        'edema.",0.png',
    ]
    source = rewrite(write(tmp_path, ROWS), ends.join([*lines, "P2,Clear.,0.png", ""]))
    keys = source.keys()
    assert [key.line for key in keys] == [3, 5, 7]
    assert [source.load(key).findings for key in keys] == ["Clear.", "No edema.", "Clear."]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "missing_column: .*no column 'path'.*0 cells"),
        ("path,report,patient\n", "no_rows: .*add one row"),
        ("path,text,patient\n1.png,Clear.,P1", "missing_column: .*'report'.*'path', 'text', 'pati"),
        ("path;report;patient\n1.png;Clear.;P1", "missing_column: .*by ';': save it with commas"),
        ("path\treport\tpatient\n1.png\tClear.\tP1", "missing_column: .*by '.t': save it with com"),
        ("path,report,patient,report\n1.png,a,P1,b", "repeated_column: .*2 columns 'report'"),
        ('path,report,patient\n1.png,"Clear.,P1\n2.png,Clear,P1', "bad_csv: .*begins in line 2"),
        ('path,report,patient\n1.png,A,P1\n2.png,"a"b,P1', "bad_csv: .*begins in line 3.*twice"),
        (f"path,report,patient\n1.png,{'a' * 140000},P1", "bad_csv: .*begins in line 2.*131072"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, text, said):
    source = rewrite(write(tmp_path, ROWS), text)
    name, message = reason(source.keys)
    expected, _, pattern = said.partition(": ")
    assert name == expected
    assert str(source.csv) in message
    with pytest.raises(BadInput, match=pattern):
        source.keys()


@pytest.mark.parametrize("column", HEADER)
def test_each_missing_column_is_named(tmp_path, column):
    source = full(write(tmp_path, ROWS, [name if name != column else "other" for name in HEADER]))
    name, message = reason(source.keys)
    assert name == "missing_column" and f"no column {column!r}" in message and "'other'" in message


def test_a_table_without_a_header_is_not_repeated(tmp_path):
    source = write(tmp_path, ROWS[1:], ["SMITH.png", "Heart is large.", "MRN1", "S0", "train"])
    name, message = reason(source.keys)
    assert name == "missing_column" and "is it a header" in message
    assert not any(word in message for word in ("SMITH", "MRN1", "Heart"))


def test_other_encodings_and_no_file(tmp_path):
    source = write(tmp_path, ROWS)
    text = "path,report,patient\n1.png,\u00e9dema,P1"
    for encoding in ("latin-1", "utf-16"):
        name, message = reason(rewrite(source, text, encoding).keys)
        assert name == "not_utf8" and "iconv" in message
    assert reason(dataclasses.replace(source, csv=str(tmp_path / "no.csv")).keys)[0] == "no_csv"
    assert reason(dataclasses.replace(source, csv=str(tmp_path)).keys)[0] == "no_csv"


@pytest.mark.parametrize(
    "line, expected",
    [
        ("1.png", "ragged_row"),
        ("1.png,Clear, normal,P1", "ragged_row"),
        ("1.png,Clear,", "no_patient"),
        ("1.png,,P1", "empty_report"),
        (",Clear,P1", "missing_file"),
        ("1.png,Clear,P1,,", "missing_file"),
    ],
)
def test_a_row_that_cannot_be_used_leaves_the_others_alone(tmp_path, line, expected):
    with_image(tmp_path)
    source = rewrite(write(tmp_path, ROWS), f"path,report,patient\n{line}\n0.png,Clear.,P0\n")
    bad, good = source.keys()
    assert reason(source.load, bad)[0] == expected
    assert source.load(good).findings == "Clear."
    assert bad.patient_id != good.patient_id


def test_patients_and_studies_are_kept_together(tmp_path):
    rows = [[f"{i}.png", "Clear.", f"P{i % 40}", f"S{i % 2}", "train"] for i in range(160)]
    rows[80][2] = " P0 "
    rows[81][3] = ""
    source = dataclasses.replace(write(tmp_path, rows), study_column="study")
    keys = source.keys()
    assert len({k.image_id for k in keys}) == 160 and len({k.patient_id for k in keys}) == 40
    assert keys[0].patient_id == keys[40].patient_id == keys[80].patient_id
    assert keys[0].study_id == keys[40].study_id != keys[1].study_id
    assert len({k.study_id for k in keys}) == 41, "an image of no named study is its own"
    splits = {
        patient: {k.split for k in keys if k.patient_id == patient}
        for patient in {k.patient_id for k in keys}
    }
    assert all(len(of_patient) == 1 for of_patient in splits.values())
    counts = {s: sum(s in of for of in splits.values()) for s in ("train", "validation", "test")}
    assert counts == {"train": 32, "validation": 4, "test": 4}


def test_a_study_is_in_one_split_where_patients_are_not_known(tmp_path):
    rows = [[f"{i}.png", "Clear.", "", f"S{i // 2}" if i > 1 else "", "train"] for i in range(80)]
    source = write(tmp_path, rows)
    source = dataclasses.replace(source, study_column="study", patient_column=None)
    keys = source.keys()
    assert len({k.study_id for k in keys}) == len({k.patient_id for k in keys}) == 41
    for first, second in zip(keys[2::2], keys[3::2], strict=True):
        assert first.study_id == second.study_id and first.split == second.split


def test_given_splits(tmp_path):
    names = ["train", "VALID", "val", "dev", " Validation", "test"]
    rows = [[f"{i}.png", "Clear.", f"P{i}", "", name] for i, name in enumerate(names)]
    source = full(write(tmp_path, rows))
    assert [k.split for k in source.keys()] == ["train", *["validation"] * 4, "test"]
    with open(source.csv, "a") as file:
        file.write("6.png\n7.png,Clear.,,,holdout\n")  # left out, whatever their split
    assert len(source.keys()) == 8
    write(
        tmp_path,
        [*rows, ["6.png", "Two\nlines.", "P9", "", "test"], ["7.png", "A.", "P8", "", "x"]],
    )
    name, message = reason(source.keys)
    assert name == "bad_split" and "line 10: split 'x'" in message and "train, val" in message
    write(tmp_path, [*rows, ["6.png", "Clear.", "P0", "", "test"]])
    name, message = reason(source.keys)
    assert name == "patient_in_two_splits" and "line 8" in message and "P0" not in message


def test_hashes_are_the_same_with_the_salt_and_others_without(tmp_path):
    source = write(tmp_path, ROWS)
    first = source.keys()
    salt = tmp_path / ".place_salt"
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert len(bytes.fromhex(salt.read_text())) == 32
    write(tmp_path, ROWS[::-1])
    assert [k.patient_id for k in source.keys()] == [k.patient_id for k in first][::-1]
    write(tmp_path, ROWS)
    assert write(tmp_path, ROWS).keys() == first
    salt.unlink()
    second = write(tmp_path, ROWS).keys()
    for kind in ("image_id", "study_id", "patient_id"):
        assert not {getattr(k, kind) for k in first} & {getattr(k, kind) for k in second}


@pytest.mark.parametrize("content", [b"", b"00", b"zz" * 32, b"\xff" * 64, b"ab" * 31])
def test_a_damaged_salt_is_never_used(tmp_path, content):
    source = write(tmp_path, ROWS)
    (tmp_path / ".place_salt").write_bytes(content)
    name, message = reason(source.keys)
    assert name == "bad_salt" and f"{len(content)} bytes" in message and "delete it" in message
    assert (tmp_path / ".place_salt").read_bytes() == content


def test_a_salt_that_cannot_be_made(tmp_path):
    source = write(tmp_path, ROWS)
    (tmp_path / ".place_salt").mkdir()
    name, message = reason(source.keys)
    assert name == "no_salt" and "--raw-dir" in message


def test_version_changes_with_the_content_and_with_how_it_is_read(tmp_path):
    source = write(tmp_path, ROWS)
    versions = [source.version, full(source).version]
    moved = tmp_path / "moved"
    moved.mkdir()
    assert dataclasses.replace(write(moved, ROWS), raw_dir="elsewhere").version == versions[0]
    versions.append(write(moved, ROWS[1:]).version)
    assert len(set(versions)) == 3


def test_the_table_is_read_once_and_again_only_when_it_has_changed(tmp_path, monkeypatch):
    with_image(tmp_path)
    reads = []
    read = folder_module._read_rows
    monkeypatch.setattr(folder_module, "_read_rows", lambda s: reads.append(1) or read(s))
    source = write(tmp_path, [["0.png", "Clear.", f"P{i}"] for i in range(50)])
    for key in source.keys():
        # As workers get it: with every shard, and without the table.
        assert len(sent := pickle.dumps(source)) < 1000
        assert pickle.loads(sent).load(key).findings == "Clear."
    assert len(reads) == 1
    write(tmp_path, [["0.png", "Effusion.", f"P{i}"] for i in range(51)])
    assert source.load(source.keys()[50]).findings == "Effusion." and len(reads) == 2
    assert reason(source.load, Key("gone", "s", "p", "train"))[0] == "not_listed"
