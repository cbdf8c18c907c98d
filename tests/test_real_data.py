"""Real radiographs, texts and DICOM files through prepare, train and evaluate.

For each file it is said here whether it must be used, or quarantined and why. Nothing of the data
is in this repository: PLACE_REAL_DATA names the folder.
"""

import csv
import json

import pytest

from data_pipelines.batches import open_data, read_records
from data_pipelines.prepare import prepare
from data_pipelines.sources.folder import FolderSource
from place_jax import cli

# DICOM file, by its prefix -> None where it must be used, or the reason of its quarantine.
DICOM_FILES = {
    "d01": None,  # JPEG baseline
    "d02": None,  # the same, said to be MONOCHROME1
    "d06": None,  # JPEG lossless, modality LUT
    "d07": None,  # JPEG-LS
    "d08": None,  # JPEG extended, 12 bits
    "d10": None,  # JPEG 2000
    "d11": None,  # VOI LUT
    "d13": None,  # signed, rescaled
    "d15": None,  # big endian
    "d17": "undecodable_pixels",  # deflated one-bit segmentation: no image of grey levels
    "d18": None,  # run-length encoded
    "d25": "truncated_pixels",
    "d26": None,  # padded
    "d29": "not_an_image",  # neither preamble nor a first element
    "d30": "no_pixels",
    "d31": "damaged_dicom",  # mixed byte orders
    "d36": "not_an_image",  # a gzip archive
}


@pytest.fixture(scope="module")
def prepared(real_data, tmp_path_factory):
    """All 91 image-text pairs and all 17 DICOM files, prepared, and which row each one was."""
    folder = tmp_path_factory.mktemp("real")
    with open(real_data / "retrieval_pairs.csv", newline="") as file:
        pairs = list(csv.DictReader(file))
    rows = [(row["image"], row["text"], row["patient"]) for row in pairs]
    dicoms = sorted(p for p in (real_data / "dicom").iterdir() if p.name[0] == "d")
    assert {p.name[:3] for p in dicoms} == set(DICOM_FILES)
    # A text of its own for each, by which its record is found again.
    rows += [(f"dicom/{p.name}", f"Test file {p.name[1:3]}.", p.name[:3]) for p in dicoms]
    table = folder / "pairs.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "report", "patient"])
        writer.writerows(rows)
    source = FolderSource(
        csv=str(table),
        image_column="path",
        report_column="report",
        patient_column="patient",
        raw_dir=str(real_data),
    )
    prepare(source, folder / "data", image_size=128, vocab_size=1500, max_bad_fraction=0.1)
    return folder / "data", pairs


def test_each_file_is_used_or_quarantined_for_its_reason(prepared):
    folder, pairs = prepared
    data = open_data(folder)
    texts = [
        record["findings"] + " " + record["impression"]
        for split in data.splits
        for record in read_records(data, split, ["findings", "impression"])
    ]
    used = {name: any(f"Test file {name[1:]}." in text for text in texts) for name in DICOM_FILES}
    assert used == {name: reason is None for name, reason in DICOM_FILES.items()}
    expected = {}
    for reason in filter(None, DICOM_FILES.values()):
        expected[reason] = expected.get(reason, 0) + 1
    assert data.manifest["quarantined"] == expected
    assert sum(data.splits.values()) == len(pairs) + sum(used.values())


def test_train_fifty_steps_and_evaluate(prepared, tmp_path):
    folder, _ = prepared
    run = tmp_path / "run"
    command = ["train", "--config", "phantom_demo:smoke", "--workdir", str(run)]
    settings = {
        "data.dir": folder,
        "data.crop_size": 112,
        "data.max_tokens": 96,
        "train.steps": 50,
        "train.log_every": 10,
        "train.eval_every": 50,
        "train.checkpoint_every": 50,
    }
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    assert cli.main(command) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert losses[-1] < losses[0]
    out = tmp_path / "retrieval.json"
    evaluate = ["evaluate", "retrieval", "--checkpoint", str(run), "--data", str(folder)]
    assert cli.main([*evaluate, "--split", "train", "--out", str(out)]) == 0
    scores = json.loads(out.read_text())
    assert scores["retrieval/train/pool_size"] > 10
    # The texts may not be shown: the data is the user's own until said to be shareable.
    page = (run / "report.html").read_text()
    assert "Test file" not in page
