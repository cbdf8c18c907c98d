"""Open-i from its official layouts: XML reports, PNG or DICOM images, projections, index terms."""

import csv
import pickle
import tarfile

import command_line
import numpy as np
import openi_tree
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openi_tree import REPORTS, Report

from data_pipelines import openi_reports
from data_pipelines.batches import open_data, read_records
from data_pipelines.records import BadInput, Label
from data_pipelines.sources.openi import OpeniSource, read_labels
from data_pipelines.sources.openi_files import read_reports
from place_jax import cli

NAMES = OpeniSource.label_names


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openi")
    openi_tree.write_reports(folder / "ecgen-radiology")
    openi_tree.write_projections(folder)
    openi_tree.write_images(folder, "png")
    return folder


def load(source, image):
    return source.load(next(key for key in source.keys() if key.image_id == image))


def positive(labels) -> set[str]:
    return {name for name, value in zip(NAMES, labels, strict=True) if value == Label.POSITIVE}


def test_frontal_images_with_a_report(tree):
    source = OpeniSource(str(tree))
    keys = source.keys()
    assert [key.image_id for key in keys][:3] == [
        "CXR1_1_IM-0001-4001",
        "CXR2_IM-0652-1001",
        "CXR4_IM-2050-2001",
    ]
    assert source.left_out == {
        "no_findings_or_impression": 1,
        "no_image": 1,
        "no_view": 1,
        "other_view": 1,
    }
    splits = [key.split for key in keys]
    assert {split: splits.count(split) for split in splits} == {
        "train": 9,
        "validation": 1,
        "test": 3,
    }
    assert all(key.patient_id == key.study_id == key.image_id.split("_")[0] for key in keys)


def test_views_need_the_list_of_projections(tree, tmp_path):
    assert len(OpeniSource(str(tree), views="lateral").keys()) == 1
    assert len(OpeniSource(str(tree), views="all").keys()) == 15
    openi_tree.write_reports(tmp_path / "ecgen-radiology")
    openi_tree.write_images(tmp_path, "png")
    assert len(OpeniSource(str(tmp_path), views="all").keys()) == 15
    with pytest.raises(BadInput, match="indiana_projections.csv.*Kaggle.*views=all"):
        OpeniSource(str(tmp_path)).keys()


def test_an_image_its_report_and_its_labels(tree):
    source = pickle.loads(pickle.dumps(OpeniSource(str(tree))))
    study = load(source, "CXR1_1_IM-0001-4001")
    assert study.findings == "The lungs are clear. No XXXX effusion."
    assert study.impression == "No acute disease." and study.view == "FRONTAL"
    assert study.pixels.shape == (40, 48) and positive(study.labels) == {"No Finding"}
    assert positive(load(source, "CXR2_IM-0652-1001").labels) == {"Cardiomegaly"}
    assert (load(source, "CXR4_IM-2050-2001").labels == Label.MISSING).all()


@pytest.mark.parametrize(
    "terms, names",
    [
        (["pleural effusion/left/small", "opacity/lung"], {"Pleural Effusion"}),
        (["pericardial effusion", "subcutaneous emphysema"], set()),
        (["thickening/pleura/apex/left", "hernia, hiatal/large"], {"Pleural Thickening", "Hernia"}),
        (["thickening/lung/bronchi"], set()),
    ],
)
def test_labels_of_index_terms(terms, names):
    assert positive(read_labels(terms)) == names and Label.MISSING not in read_labels(terms)
    assert (read_labels(["no indexing"]) == Label.MISSING).all()


@pytest.mark.parametrize(
    "kind, folder",
    [
        ("dicom", ""),
        ("dicom", "NLMCXR_dcm"),
        ("png", "NLMCXR_png"),
        ("kaggle", "images/images_normalized"),
    ],
)
def test_layouts_give_the_same_studies(tree, tmp_path, kind, folder):
    """The reports' archive as it is, images wherever they are unpacked."""
    openi_tree.write_archive(tmp_path / "NLMCXR_reports.tgz")
    openi_tree.write_projections(tmp_path)
    openi_tree.write_images(tmp_path / folder, kind)
    ours = OpeniSource(str(tmp_path), images="dicom" if kind == "dicom" else "png")
    theirs = OpeniSource(str(tree))
    assert ours.keys() == theirs.keys()
    for key in ours.keys()[:3]:
        mine, yours = ours.load(key), theirs.load(key)
        assert (mine.findings, mine.impression) == (yours.findings, yours.impression)
        assert np.corrcoef(np.ravel(mine.pixels), np.ravel(yours.pixels))[0, 1] > 0.98


def test_what_is_missing_is_named_with_where_it_comes_from(tmp_path):
    with pytest.raises(BadInput, match="ecgen-radiology nor NLMCXR_reports.tgz.*openi.nlm.nih.gov"):
        OpeniSource(str(tmp_path)).keys()
    openi_tree.write_archive(tmp_path / "NLMCXR_reports.tgz")
    openi_tree.write_projections(tmp_path)
    with pytest.raises(BadInput, match="CXR1_1_IM-0001-4001 as png: unpack NLMCXR_png.tgz"):
        OpeniSource(str(tmp_path)).keys()
    with pytest.raises(BadInput, match="NLMCXR_dcm.tgz"):
        OpeniSource(str(tmp_path), images="dicom").keys()
    openi_tree.write_images(tmp_path, "png", REPORTS[:1])
    source = OpeniSource(str(tmp_path))
    with pytest.raises(BadInput) as error:
        load(source, "CXR2_IM-0652-1001")
    assert error.value.reason == "missing_file"


def test_reports_that_cannot_be_read_are_counted(tree, tmp_path):
    folder = tmp_path / "ecgen-radiology"
    openi_tree.write_reports(folder)
    openi_tree.write_projections(tmp_path)
    openi_tree.write_images(tmp_path, "png")
    (folder / "10.xml").write_text(Report(10).xml[:300])
    (folder / "11.xml").write_text("")
    (folder / "12.xml").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    (folder / "13.xml").write_text("<html><body>not found</body></html>")
    (folder / "14.xml").write_bytes(Report(14).xml.encode("utf-16"))
    (folder / "15.xml").write_text(Report(15).xml.replace("<eCitation>", "<!DOCTYPE x><eCitation>"))
    (folder / "16.xml").write_text(Report(16, findings="x" * (2 << 20)).xml)
    (folder / "17.xml").write_text(Report(17, images={"../../etc/passwd": ""}).xml)
    (folder / "18 copy.xml").write_text(REPORTS[-2].xml)
    source = OpeniSource(str(tmp_path))
    assert len(source.keys()) == 13 - 8
    assert source.left_out == {
        "damaged_report": 3,
        "empty_file": 1,
        "large_report": 1,
        "lfs_pointer": 1,
        "no_findings_or_impression": 1,
        "no_image": 1,
        "no_view": 1,
        "other_report": 2,
        "other_view": 1,
        "repeated_report": 1,
    }


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("at", [0.3, 0.9])
def test_a_damaged_archive(tmp_path, damage, at):
    path = tmp_path / "NLMCXR_reports.tgz"
    openi_tree.write_archive(path)
    data = path.read_bytes()
    place = int(at * len(data))
    rest = bytes([data[place] ^ 255]) + data[place + 1 :] if damage == "changed" else b""
    path.write_bytes(data[:place] + rest)
    with pytest.raises(BadInput, match="no whole archive: download it again"):
        OpeniSource(str(tmp_path)).keys()


@given(st.data())
def test_no_bytes_stop_the_parser(data):
    whole = REPORTS[0].xml.encode()
    start = data.draw(st.integers(0, len(whole)))
    text = whole[:start] + data.draw(st.binary(max_size=20)) + whole[start + 5 :]
    try:
        report = openi_reports.parse_report(text)
    except BadInput:
        return
    assert report.uid.startswith("CXR")


def test_from_the_command_line(tree, tmp_path, capsys):
    out = tmp_path / "data"
    command_line.prepare("openi", tree, out, "--image-size", "32", "--views", "all")
    said = capsys.readouterr().err
    assert "no_image 1" in said and "train 10, validation 2, test 3" in said
    assert cli.main(["inspect", str(out), "--out", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    data = open_data(out)
    assert data.label_names == NAMES
    record = next(r for r in read_records(data, "train") if r["image_id"].startswith("CXR1"))
    assert record["sentences"][-1] == "No acute disease."


@pytest.mark.real
def test_every_real_report_is_parsed_with_its_sections(real_data, tmp_path):
    path = tmp_path / "NLMCXR_reports.tgz"
    path.symlink_to(real_data / "openi_reports.tgz")
    reports, faults = read_reports(tmp_path)
    assert len(reports) == 1979 and not any(faults.values())
    has = {name: set() for name in ("FINDINGS", "IMPRESSION", "INDICATION", "COMPARISON")}
    with tarfile.open(path) as archive:
        for member in archive:
            text = archive.extractfile(member).read().decode()
            for name, known in has.items():
                body = text.partition(f'<AbstractText Label="{name}">')[2]
                if body.partition("</AbstractText>")[0].strip():
                    known.add(member.name.partition("/")[2].removesuffix(".xml"))
    for name, known in has.items():
        found = {report.uid[3:] for report in reports if getattr(report, name.lower())}
        assert len(known) > 1600 and len(found & known) >= 0.99 * len(known), name


@pytest.mark.real
def test_real_images_have_a_projection_and_real_labels_are_those_of_people(real_data, tmp_path):
    (tmp_path / "NLMCXR_reports.tgz").symlink_to(real_data / "openi_reports.tgz")
    projections = real_data / "formats" / "indiana_projections.csv"
    (tmp_path / projections.name).symlink_to(projections)
    openi_tree.write_images(tmp_path, "png", [Report(3, images={"CXR4_IM-2050-1001": ""})])
    source = OpeniSource(str(tmp_path))
    keys = source.keys()
    assert 1800 < len(keys) and "no_view" not in source.left_out
    theirs = {name: name for name in NAMES} | {
        "Pleural Effusion": "Effusion",
        "Pleural Thickening": "Pleural_Thickening",
        "No Finding": "normal",
    }
    reports = {report.uid: report for report in read_reports(tmp_path)[0]}
    same = differ = 0
    with (real_data / "openi_labels.csv").open() as file:
        for row in csv.DictReader(file):
            labels = read_labels(reports[row["uid"]].terms)
            for name, label in zip(NAMES, labels, strict=True):
                if label != Label.MISSING and name != "Hernia":  # theirs counts no hiatal one
                    equal = int(row[theirs[name]]) == label
                    same, differ = same + equal, differ + (not equal)
    assert same > 26_000 and differ < 20
