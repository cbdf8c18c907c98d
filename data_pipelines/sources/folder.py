"""Anyone's own pairs: a CSV with the path of an image and the text of its report in each row."""

import csv as csv_module
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

from etils import epath

from data_pipelines import reports
from data_pipelines.records import CHEXPERT_LABELS, SPLITS, BadInput, Key, Study
from data_pipelines.sources.folder_labels import labels_of_columns, labels_of_list, listed_names
from data_pipelines.sources.lists import read_listed_image
from data_pipelines.sources.pseudonyms import pseudonym, read_salt

# Of every ten patients in a row, ordered by the hash of their identifier.
_SPLIT_OF_TEN = ("test", "train", "validation", *("train",) * 7)
_OTHER_NAMES = {"valid": "validation", "val": "validation", "dev": "validation"}
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
      report_column: the report's text; without headings all of it is findings. None for images
        that have labels and no reports.
      patient_column: patients are kept within one split; without it each row is a patient.
      study_column: rows of one study share a report, and one of them is taken at a time.
      split_column: train, validation or test; without it, 80, 10 and 10 % of the patients.
      raw_dir: where image paths start from; None for the CSV's folder.
      shareable: images and texts may be shown on pages and in logs.
      label_columns: columns of 1, 0, -1 (uncertain) or nothing (not known), a label each.
      labels_column: instead of them, a column that lists what an image shows, as `Mass|Nodule`:
        what it does not list is not there.
    """

    csv: str
    image_column: str
    report_column: str | None = None
    patient_column: str | None = None
    study_column: str | None = None
    split_column: str | None = None
    raw_dir: str | None = None
    shareable: bool = False
    label_columns: Sequence[str] = ()
    labels_column: str | None = None
    name: str = "folder"

    published_counts: ClassVar[Mapping[str, int]] = {}
    left_out: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self):
        object.__setattr__(self, "label_columns", tuple(self.label_columns))
        if self.label_columns and self.labels_column:
            raise BadInput("two_label_columns", "give --label-columns or --labels-column, not both")
        if not (self.report_column or self.label_columns or self.labels_column):
            raise BadInput(
                "missing_option", "folder needs --report-column, or labels and no reports"
            )

    @property
    def has_reports(self) -> bool:
        """Whether there is a column of reports."""
        return self.report_column is not None

    @property
    def label_names(self) -> Sequence[str]:
        """CheXpert's where the CSV has no labels."""
        if self.label_columns:
            return self.label_columns
        return self._table.label_names if self.labels_column else CHEXPERT_LABELS

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
          BadInput: no_csv, not_utf8, bad_csv, missing_column, repeated_column, no_rows, bad_split,
            patient_in_two_splits, no_salt or bad_salt.
        """
        return list(self._table.keys)

    def load(self, key: Key) -> Study:
        """Reads the image and report of a row.

        Raises:
          BadInput: not_listed, ragged_row, no_patient, empty_report, lfs_pointer, or what
            `image.read_image` raises.
        """
        table = self._table
        if key.image_id not in table.position:
            raise BadInput("not_listed", "the CSV was changed while it was being prepared")
        row = table.rows[table.position[key.image_id]]
        if row.fault is not None:
            raise BadInput(*row.fault)
        if self.has_reports and row.report.lower() in _NO_TEXT:
            raise BadInput("empty_report", "the report is empty")
        if row.report.startswith("version https://git-lfs"):
            raise BadInput("lfs_pointer", "the report is a git-LFS pointer: run `git lfs pull`")
        sections = reports.split_sections(row.report)
        labels = {}
        if self.label_columns:
            labels["labels"] = labels_of_columns(row.labels, self.label_columns, row.line)
        elif self.labels_column:
            labels["labels"] = labels_of_list(row.labels[0], table.label_names)
        return Study(
            **labels,
            pixels=read_listed_image(self._path(row.image)),
            findings=sections.get("findings", ""),
            impression=sections.get("impression", ""),
        )

    def _path(self, image: str) -> epath.Path:
        """Of an image that the CSV names: from the folder, absolute, or a URL."""
        if "://" in image:
            return epath.Path(image)
        return epath.Path(self.raw_dir or epath.Path(self.csv).parent) / image

    @property
    def _table(self) -> "_Table":
        path = pathlib.Path(self.csv)
        if not path.is_file():
            raise BadInput("no_csv", f"{path} is not a file: give --csv a CSV with a header line")
        stat = path.stat()
        return _read_table(
            self, (stat.st_mtime_ns, stat.st_size), read_salt(path.with_name(".place_salt"))
        )


@dataclasses.dataclass(frozen=True)
class _Row:
    """What is kept of a row: `fault` says why its image is left out, whatever the file holds."""

    line: int
    image: str
    report: str
    patient: str
    study: str
    split: str
    labels: tuple[str, ...]
    fault: tuple[str, str] | None


@dataclasses.dataclass(frozen=True)
class _Table:
    rows: list[_Row]
    keys: list[Key]
    position: Mapping[str, int]  # of an image's row
    label_names: tuple[str, ...]  # of the column that lists them


# Kept per process and not in the source, which is sent to the workers with every shard.
@functools.lru_cache(maxsize=1)
def _read_table(source: FolderSource, changed: tuple[int, int], salt: bytes) -> _Table:
    """Reads the CSV. `changed` is when it was written and its size: another is another table."""
    hashed = functools.partial(pseudonym, salt)
    rows = _read_rows(source)

    def owner(number: int, row: _Row) -> str:
        if row.patient:
            return hashed("patient", row.patient)
        # Without patients a study is the most that is known to be one person's.
        if row.study and source.patient_column is None:
            return hashed("study alone", row.study)
        return hashed("row", str(number))

    patients = [owner(i, row) for i, row in enumerate(rows)]
    if source.split_column is None:
        splits = _drawn_splits(patients)
    else:
        splits = _given_splits(source.csv, rows, patients)
    keys = [
        Key(
            image_id=hashed("image", f"{i} {row.image}"),
            study_id=hashed("study", f"{patient} {row.study}" if row.study else f"row {i}"),
            patient_id=patient,
            split=splits[patient],
            line=row.line,
        )
        for i, (row, patient) in enumerate(zip(rows, patients, strict=True))
    ]
    names = listed_names([row.labels[0] for row in rows]) if source.labels_column else ()
    if source.labels_column and not names:
        raise BadInput("no_labels", f"{source.csv}: column {source.labels_column!r} names nothing")
    return _Table(rows, keys, {key.image_id: i for i, key in enumerate(keys)}, names)


def _read_rows(source: FolderSource) -> list[_Row]:
    path, rows, line = pathlib.Path(source.csv), [], 1
    columns = (
        source.image_column,
        source.report_column,
        source.patient_column,
        source.study_column,
        source.split_column,
        *source.label_columns,
        *((source.labels_column,) if source.labels_column else ()),
    )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            # Strict: a quote that is never closed would swallow the rows after it without a word.
            reader = csv_module.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            places = _places(path, header, columns)
            while True:
                line = reader.line_num + 1  # where the next row begins
                cells = next(reader, None)
                if cells is None:
                    break
                if any(map(str.strip, cells)):
                    rows.append(_row(cells, line, len(header), places))
    except UnicodeDecodeError:
        raise BadInput(
            "not_utf8",
            f"{path} is not UTF-8 text: save it as UTF-8, such as by `iconv -f latin1 -t utf-8`",
        ) from None
    except csv_module.Error as error:
        raise BadInput(
            "bad_csv",
            f"{path}: the row that begins in line {line} cannot be read ({error}): put commas "
            "between cells, quotes around texts, and write a quote within a text twice",
        ) from None
    if not rows:
        raise BadInput("no_rows", f"{path} has a header and no rows: add one row an image")
    return rows


def _places(
    path: pathlib.Path, header: Sequence[str], columns: Sequence[str | None]
) -> list[int | None]:
    """Where the columns stand in the header, None for those that are not named."""
    wanted = [column for column in columns if column is not None]
    for column in wanted:
        if header.count(column) > 1:
            raise BadInput(
                "repeated_column",
                f"{path} has {header.count(column)} columns {column!r}: rename all but one",
            )
        if column in header:
            continue
        for sign in ";\t|":
            if column in [name.strip('"') for name in sign.join(header).split(sign)]:
                advice = f"it is separated by {sign!r}: save it with commas"
                break
        else:
            # A line of which nothing is known may be a patient's: it is not repeated here.
            known = set(wanted) & set(header)
            advice = (
                f"name one of {', '.join(map(repr, header))}"
                if known
                else f"of the {len(header)} cells of its first line none is a column that was "
                "named: is it a header, separated by commas?"
            )
        raise BadInput("missing_column", f"{path} has no column {column!r}: {advice}")
    return [None if column is None else header.index(column) for column in columns]


def _row(cells: Sequence[str], line: int, width: int, places: Sequence[int | None]) -> _Row:
    fault = None
    if len(cells) <= max(place for place in places if place is not None) or any(cells[width:]):
        # Its cells are not those of its columns, so none is taken.
        fault = (
            "ragged_row",
            f"line {line} has {len(cells)} cells and the header {width}: put quotes around texts "
            "that hold a comma",
        )
        return _Row(line, "", "", "", "", "", ("",) * len(places[5:]), fault)
    # Spaces around an identifier would make two patients of one.
    picked = ["" if place is None else cells[place].strip() for place in places]
    if places[2] is not None and not picked[2]:
        fault = ("no_patient", f"line {line} names no patient: without, splits could share one")
    return _Row(line, *picked[:5], tuple(picked[5:]), fault)


def _given_splits(csv: str, rows: Sequence[_Row], patients: Sequence[str]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for row, patient in zip(rows, patients, strict=True):
        # A row at fault is left out of the split that it is counted in.
        split = SPLITS[0] if row.fault else row.split.lower()
        split = _OTHER_NAMES.get(split, split)
        if split not in SPLITS:
            raise BadInput(
                "bad_split",
                f"{csv} line {row.line}: split {row.split!r} is none of {', '.join(SPLITS)}",
            )
        if splits.setdefault(patient, split) != split:
            raise BadInput(
                "patient_in_two_splits",
                f"{csv} line {row.line}: a patient of the {splits[patient]} split is in "
                f"{split} too: keep each patient in one split",
            )
    return splits


def _drawn_splits(patients: Sequence[str]) -> dict[str, str]:
    """80, 10 and 10 % by the order of hashes, so that a handful has something in every split."""
    ordered = sorted(set(patients))
    return {patient: _SPLIT_OF_TEN[i % 10] for i, patient in enumerate(ordered)}
