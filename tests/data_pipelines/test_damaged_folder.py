"""A thousand files of which one in a hundred is damaged, each in another way, from the command
line: all good ones are in, each bad one is named with its reason.
"""

import csv
import json
import struct
from collections import Counter

import cv2
import dicom_files
import numpy as np
import pytest

from data_pipelines.batches import open_data, read_records
from data_pipelines.records import BadInput
from place_jax import cli

FILES = 1000
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><title>403 Forbidden</title></html>\n"


def pixels(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (40, 32), np.uint8)


def png(i: int) -> bytes:
    return cv2.imencode(".png", pixels(i))[1].tobytes()


def jpeg(i: int) -> bytes:
    return cv2.imencode(".jpg", pixels(i))[1].tobytes()


def huge(i: int) -> bytes:
    content = bytearray(png(i))
    content[16:24] = struct.pack(">II", 60000, 60000)
    return bytes(content)


def without_pixels(i: int) -> bytes:
    made = dicom_files.dataset(pixels(i))
    made.file_meta = None
    content = dicom_files.make(pixels(i))
    return content[: content.index(b"\xe0\x7f\x10\x00")]


# Reason -> the file's content; None where there is no file, or where the text is what is wrong.
DAMAGE = {
    "empty_file": lambda i: b"",
    "lfs_pointer": lambda i: LFS,
    "html_page": lambda i: PAGE,
    "truncated_image": lambda i: jpeg(i)[:-200],
    "truncated_pixels": lambda i: dicom_files.make(pixels(i))[:-300],
    "no_pixels": without_pixels,
    "not_an_image": lambda i: b"PK\x03\x04" + bytes(range(200)),
    "too_large": huge,
    "missing_file": None,
    "empty_report": png,
}


def write_folder(folder, bad: dict[int, str]):
    """A folder of FILES rows, those in `bad` damaged, and its CSV."""
    folder.mkdir()
    make = (png, jpeg, lambda i: dicom_files.make(pixels(i)))
    with open(folder / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text"])
        for i in range(FILES):
            content, text = make[i % 3](i), f"FINDINGS: The heart is normal. Scar number {i}."
            if i in bad:
                damage = DAMAGE[bad[i]]
                content = None if damage is None else damage(i)
                text = "NaN" if bad[i] == "empty_report" else text
            if content is not None:
                (folder / f"{i}.jpg").write_bytes(content)  # whatever it is
            writer.writerow([f"{i}.jpg", text])
    return folder / "pairs.csv"


def prepare(table, out) -> int:
    command = ["prepare", "folder", "--csv", str(table), "--image-column", "path"]
    command += ["--report-column", "text", "--image-size", "32", "--workers", "1"]
    return cli.main([*command, "--out-dir", str(out)])


def test_all_good_files_are_in_and_each_bad_one_is_named(tmp_path, capsys):
    bad = {17 + 97 * n: reason for n, reason in enumerate(DAMAGE)}
    assert len(bad) == 10
    out = tmp_path / "data"
    assert prepare(write_folder(tmp_path / "raw", bad), out) == 0
    data = open_data(out)
    assert data.manifest["quarantined"] == dict.fromkeys(sorted(DAMAGE), 1)
    entries = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert {e["position"]: e["reason"] for e in entries} == bad
    assert {e["line"] for e in entries} == {i + 2 for i in bad}
    numbers = [
        int(record["sentences"][1].split()[-1].rstrip("."))
        for split in data.splits
        for record in read_records(data, split, ("sentences",))
    ]
    assert Counter(numbers) == Counter(set(range(FILES)) - bad.keys())
    said = capsys.readouterr().err
    assert "left out 10 images (" in said and "html_page 1" in said and "quarantine.jsonl" in said


def test_above_the_allowed_fraction_nothing_looks_finished(tmp_path, capsys):
    import tensorflow_datasets as tfds

    bad = {17 + 90 * n: reason for n, reason in enumerate([*DAMAGE, "html_page"])}
    out = tmp_path / "data"
    assert prepare(write_folder(tmp_path / "raw", bad), out) == 1
    said = capsys.readouterr().err
    error = [line for line in said.splitlines() if line.startswith("place prepare:")]
    assert len(error) == 1 and "11 of 1000 images cannot be used (html_page 2," in error[0]
    assert not {p.name for p in out.iterdir()} & {
        "manifest.json",
        "dataset_info.json",
        "features.json",
        "vocab.txt",
    }
    with pytest.raises(BadInput, match="not a finished prepared folder"):
        open_data(out)
    with pytest.raises(Exception, match="(?i)dataset_info|not found|could not"):
        tfds.builder_from_directory(str(out))
    reasons = Counter(
        json.loads(line)["reason"] for line in (out / "quarantine.jsonl").read_text().splitlines()
    )
    assert reasons == Counter(bad.values()), "what is to be repaired is listed"
