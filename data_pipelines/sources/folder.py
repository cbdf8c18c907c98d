"""Anyone's own pairs: a CSV with the path of an image and the text of its report in each row."""

import csv as csv_module
import dataclasses
import functools
import hashlib
import hmac
import os
import pathlib
import secrets
from collections.abc import Mapping, Sequence
from typing import ClassVar

from data_pipelines import image, reports
from data_pipelines.records import SPLITS, BadInput, Key, Study

# Of every ten patients in a row, ordered by the hash of their identifier.
_SPLIT_OF_TEN = ("test", "train", "validation", *("train",) * 7)
_NO_TEXT = frozenset(("", "nan", "none", "null", "n/a", "na"))


@dataclasses.dataclass(frozen=True)
class FolderSource:
    """Images (DICOM, PNG, JPEG) and reports named by a CSV file.

    Identifiers are replaced by keyed hashes. Their key is a secret kept beside the CSV in
    `.place_salt`, made on first use: with it the same patient has the same hash next time, and
    without it nobody can go back from hash to patient.

    Attributes:
      csv: the file, UTF-8, with a header line.
      image_column: path of the image, relative to `raw_dir`.
      report_column: the report's text; without headings all of it is findings.
      patient_column: patients are kept within one split; without it each row is a patient.
      study_column: rows of one study share a report, and one of them is taken at a time.
      split_column: train, validation or test; without it, 80, 10 and 10 % of the patients.
      raw_dir: where image paths start from; None for the CSV's folder.
      shareable: images and texts may be shown on pages and in logs.
    """

    csv: str
    image_column: str
    report_column: str
    patient_column: str | None = None
    study_column: str | None = None
    split_column: str | None = None
    raw_dir: str | None = None
    shareable: bool = False
    name: str = "folder"

    has_reports = True
    published_counts: ClassVar[Mapping[str, int]] = {}
    left_out: ClassVar[Mapping[str, int]] = {}

    @property
    def version(self) -> str:
        """Changes with the content of the CSV, and with how it is read."""
        digest = hashlib.blake2b(digest_size=6)
        digest.update(pathlib.Path(self.csv).read_bytes())
        digest.update(repr(dataclasses.replace(self, csv="", raw_dir=None)).encode())
        return f"1-{digest.hexdigest()}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        if self.split_column:
            return f"column {self.split_column} of the CSV"
        return "of every ten patients, ordered by a keyed hash: 8 train, 1 validation, 1 test"

    def prompts(self) -> Mapping[str, Mapping[str, Sequence[str]]] | None:
        """A folder has none."""
        return None

    def keys(self) -> list[Key]:
        """One key a row, in the order of the CSV; nothing is read but the CSV.

        Raises:
          BadInput: no_csv, missing_column, no_rows, bad_split or patient_in_two_splits.
        """
        rows = self._rows
        salt = self._salt()

        def hashed(kind: str, value: str) -> str:
            digest = hmac.new(salt, f"{kind}:{value}".encode(), hashlib.blake2b).hexdigest()
            return digest[:16]

        patients = [
            hashed("patient", row[self.patient_column] if self.patient_column else f"row {i}")
            for i, row in enumerate(rows)
        ]
        splits = self._given_splits(patients) or _drawn_splits(patients)
        keys = []
        for i, (row, patient) in enumerate(zip(rows, patients, strict=True)):
            study = f"{patient} {row[self.study_column]}" if self.study_column else f"row {i}"
            keys.append(
                Key(
                    image_id=hashed("image", f"{i} {row[self.image_column]}"),
                    study_id=hashed("study", study),
                    patient_id=patient,
                    split=splits[patient],
                )
            )
        return keys

    def load(self, key: Key) -> Study:
        """Reads the image and report of a row.

        Raises:
          BadInput: empty_report, or what `image.read_image` raises.
        """
        row = self._row_of_image[key.image_id]
        text = row[self.report_column] or ""
        if text.strip().lower() in _NO_TEXT:
            raise BadInput("empty_report", "the report is empty")
        if text.startswith("version https://git-lfs"):
            raise BadInput("lfs_pointer", "the report is a git-LFS pointer: run `git lfs pull`")
        sections = reports.split_sections(text)
        path = self._folder / row[self.image_column]
        return Study(
            pixels=image.read_image(path),
            findings=sections.get("findings", ""),
            impression=sections.get("impression", ""),
        )

    @property
    def _folder(self) -> pathlib.Path:
        return pathlib.Path(self.raw_dir or pathlib.Path(self.csv).parent)

    @functools.cached_property
    def _rows(self) -> list[dict[str, str]]:
        path = pathlib.Path(self.csv)
        if not path.is_file():
            raise BadInput("no_csv", f"{path} is not a file: give --csv a CSV with a header line")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv_module.DictReader(file)
            columns = [column for column in (reader.fieldnames or []) if column is not None]
            wanted = (
                self.image_column,
                self.report_column,
                self.patient_column,
                self.study_column,
                self.split_column,
            )
            for column in wanted:
                if column is not None and column not in columns:
                    raise BadInput(
                        "missing_column",
                        f"{path} has no column {column!r}, only {', '.join(columns)}: name one of "
                        "those",
                    )
            rows = list(reader)
        if not rows:
            raise BadInput("no_rows", f"{path} has a header and no rows: add one row an image")
        return rows

    @functools.cached_property
    def _row_of_image(self) -> dict[str, dict[str, str]]:
        return {key.image_id: row for key, row in zip(self.keys(), self._rows, strict=True)}

    def _given_splits(self, patients: Sequence[str]) -> dict[str, str] | None:
        if self.split_column is None:
            return None
        splits: dict[str, str] = {}
        for number, (row, patient) in enumerate(zip(self._rows, patients, strict=True), 2):
            split = (row[self.split_column] or "").strip().lower()
            split = {"valid": "validation", "val": "validation", "dev": "validation"}.get(
                split, split
            )
            if split not in SPLITS:
                raise BadInput(
                    "bad_split",
                    f"{self.csv} line {number}: split {split!r} is none of {', '.join(SPLITS)}",
                )
            if splits.setdefault(patient, split) != split:
                raise BadInput(
                    "patient_in_two_splits",
                    f"{self.csv} line {number}: a patient of the {splits[patient]} split is in "
                    f"{split} too: keep each patient in one split",
                )
        return splits

    def _salt(self) -> bytes:
        path = pathlib.Path(self.csv).with_name(".place_salt")
        try:
            # Opened so that of two programs that start together, one makes it and both read it.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        except OSError as error:
            raise BadInput(
                "no_salt",
                f"{path} cannot be written ({error.strerror}): it keeps the key that identifiers "
                "are hashed with; copy the CSV to a folder of yours and give --raw-dir",
            ) from error
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        return bytes.fromhex(path.read_text().strip())


def _drawn_splits(patients: Sequence[str]) -> dict[str, str]:
    """80, 10 and 10 % by the order of hashes, so that a handful has something in every split."""
    ordered = sorted(set(patients))
    return {patient: _SPLIT_OF_TEN[i % 10] for i, patient in enumerate(ordered)}
