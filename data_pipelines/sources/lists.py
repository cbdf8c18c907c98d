"""Reading the lists that come with an official download: CSV files of images, labels and splits.

What several sources share: finding a list or saying where it comes from, stray spaces and NaN,
labels, and splits drawn by patient from a seed.
"""

import csv
import functools
import gzip
import hashlib
import io
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_pipelines import image
from data_pipelines.records import BadInput, Label

MAX_LIST_BYTES = 2 << 30  # inflated; the longest official list is a tenth of it
_PART = 1 << 20
# What spreadsheets and pandas write where there is nothing.
_NOTHING = frozenset(("nan", "na", "n/a", "#n/a", "none", "null"))
_LABELS: Mapping[str, Label] = {
    "": Label.MISSING,
    "1": Label.POSITIVE,
    "1.0": Label.POSITIVE,
    "0": Label.NEGATIVE,
    "0.0": Label.NEGATIVE,
    "-1": Label.UNCERTAIN,
    "-1.0": Label.UNCERTAIN,
}


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises BadInput: unknown_<name>, for an option that is none of the choices."""
    if value not in choices:
        raise BadInput(f"unknown_{name}", f"{name}={value!r} is none of {', '.join(choices)}")


def find(raw_dir: os.PathLike | str, names: Sequence[str], release: str) -> epath.Path:
    """The first of these files or folders that is there.

    Args:
      raw_dir: where the user's download lies.
      names: paths within it, the likeliest first.
      release: what to download, by its owner's name for it.

    Raises:
      BadInput: missing_list, that names the file and the release it comes with.
    """
    found = find_optional(raw_dir, names)
    if found is None:
        wanted = dict.fromkeys(os.path.basename(name) for name in names)
        raise BadInput(
            "missing_list",
            f"{os.fspath(raw_dir)!r} holds no {' or '.join(wanted)}: it comes with {release}; give "
            "--raw-dir the folder that holds it",
        )
    return found


def find_optional(raw_dir: os.PathLike | str, names: Sequence[str]) -> epath.Path | None:
    """The same, None where there is none."""
    return next((p for p in (epath.Path(raw_dir) / name for name in names) if p.exists()), None)


def read_text(path: os.PathLike | str) -> str:
    """A whole text file, unpacked if its name ends in .gz.

    Raises:
      BadInput: missing_list, too_large, empty_list, lfs_pointer, html_page or damaged_list.
    """
    path = epath.Path(path)
    try:
        with path.open("rb") as file:
            packed = gzip.GzipFile(fileobj=file) if path.name.endswith(".gz") else file
            # In parts: to read at most so much, Python would take the memory of so much.
            parts, size = [], 0
            while size <= MAX_LIST_BYTES and (part := packed.read(_PART)):
                parts.append(part)
                size += len(part)
            data = b"".join(parts)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput("missing_list", f"{path} is not a file: download it again") from None
    except (OSError, EOFError, zlib.error) as error:  # gzip raises all three
        raise BadInput(
            "damaged_list", f"{path} cannot be read ({type(error).__name__}): download it again"
        ) from None
    if len(data) > MAX_LIST_BYTES:
        raise BadInput(
            "too_large", f"{path} holds more than {MAX_LIST_BYTES} bytes: it is no official list"
        )
    head = data[:512].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not data.strip(b"\0 \r\n\t"):
        raise BadInput("empty_list", f"{path} is empty: download it again")
    if head.startswith(b"version https://git-lfs"):
        raise BadInput("lfs_pointer", f"{path} is a git-LFS pointer: run `git lfs pull`")
    if head.startswith((b"<!doctype html", b"<html")):
        raise BadInput("html_page", f"{path} is a web page: its download had failed, try again")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(
            "damaged_list", f"{path} is not UTF-8 text: download it again, and unpack it"
        ) from None


def read_table(
    path: os.PathLike | str, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[dict[str, str]]:
    """All rows that `iterate_table` gives."""
    return list(iterate_table(path, columns, optional))


def iterate_table(
    path: os.PathLike | str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """The wanted columns of a CSV with a header line, one dictionary a row.

    Names and values lose the spaces around them; a NaN, however it is written, becomes "". Blank
    lines and other columns are passed over.

    Args:
      path: the file, UTF-8, also packed as .csv.gz.
      columns: that must be there.
      optional: "" in every row where the file has no such column.

    Raises:
      BadInput: missing_column, no_rows, short_row, damaged_list, or what `read_text` raises.
    """
    empty = True
    reader = _csv_rows(path)
    header = [name.strip() for name in next(reader)[1]]
    for column in columns:
        if column not in header:
            named = ", ".join(name for name in header[:40] if name)
            raise BadInput(
                "missing_column",
                f"{path} has no column {column!r}, only {named}: is it the official file?",
            )
    place = {name: header.index(name) for name in (*columns, *optional) if name in header}
    needed = max(place.values(), default=-1) + 1
    absent = {name: "" for name in optional if name not in place}
    for line, values in reader:
        if not any(value.strip() for value in values):
            continue
        if len(values) < needed:
            raise BadInput(
                "short_row",
                f"{path} line {line} has {len(values)} values and {needed} are wanted: the file is "
                "cut short, download it again",
            )
        empty = False
        yield {name: _clean(values[i]) for name, i in place.items()} | absent
    if empty:
        raise BadInput("no_rows", f"{path} has a header and no rows: download it again")


def _csv_rows(path: os.PathLike | str) -> Iterator[tuple[int, list[str]]]:
    """(line, values) of every row, the header first."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for values in reader:
            yield reader.line_num, values
    except csv.Error as error:
        raise BadInput(
            "damaged_list", f"{path} line {reader.line_num} is no CSV ({error}): download it again"
        ) from None


def _clean(value: str) -> str:
    value = value.strip()
    if value.lower() in _NOTHING:
        return ""
    # Most values repeat ("1.0", "Frontal"), and official lists have 200,000 rows.
    return sys.intern(value) if len(value) < 16 else value


def read_names(path: os.PathLike | str) -> list[str]:
    """A list of one name a line, such as an official split; blank lines are passed over."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def parse_label(value: str, where: str) -> Label:
    """1, 0, -1 or nothing, as the CheXpert labeller and its kin write them.

    Raises:
      BadInput: bad_label, that says `where`.
    """
    try:
        return _LABELS[value]
    except KeyError:
        raise BadInput(
            "bad_label", f"{where}: label {value!r} is none of 1, 0, -1, empty"
        ) from None


def parse_labels(row: Mapping[str, str], names: Sequence[str], where: str) -> list[Label]:
    """`parse_label` of several columns of a row. Raises BadInput: bad_label."""
    try:
        return [_LABELS[row[name]] for name in names]
    except KeyError:
        return [parse_label(row[name], f"{where}, {name}") for name in names]


def parse_number(value: str, where: str) -> float:
    """A finite number. Raises BadInput: bad_number, that says `where`."""
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise BadInput("bad_number", f"{where}: {value!r} is not a finite number")
    return number


def read_listed_image(path: os.PathLike | str) -> image.ImageFile:
    """`image.open_image` of a path, here or in an object store."""
    path = epath.Path(path)
    if "://" not in os.fspath(path):
        return image.open_image(path)
    try:
        return image.open_image(path.read_bytes())
    except FileNotFoundError:
        raise BadInput("missing_file", f"there is no image file {path}") from None


def draw_order(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Each name once, in an order that depends on (seed, purpose, name) alone: not on the order of
    the list, nor on what else is in it.
    """

    def rank(name: str) -> tuple[bytes, str]:
        text = f"{seed}/{purpose}/{name}".encode()
        return hashlib.blake2b(text, digest_size=8).digest(), name

    return sorted(set(names), key=rank)


def draw_splits(
    patients: Sequence[str], images: Mapping[str, int], *, seed: int, rest: str = "train"
) -> dict[str, str]:
    """Draws splits of about so many images, each patient whole.

    Patients come in the order of `draw_order`. One goes to the first split that still has room for
    all of its images, so that a split is never larger than asked for, and smaller only where no
    patient fits any more.

    Args:
      patients: the patient of every image.
      images: split -> how many images it should get.
      seed: other seeds draw others.
      rest: the split of those that are not drawn.

    Returns:
      Patient -> split.
    """
    count = Counter(patients)
    room = dict(images)
    splits = {}
    for patient in draw_order(count, seed, "split"):
        splits[patient] = next((s for s, left in room.items() if left >= count[patient]), rest)
        if splits[patient] in room:
            room[splits[patient]] -= count[patient]
    return splits


class PerProcess:
    """What a source reads from its lists, kept for the process and never sent with the source.

    A source goes to every worker with every shard. Were its lists a cached property they would
    travel along each time: 200,000 rows, a thousand times.

    Args:
      read: source -> its lists; the source is a frozen dataclass.
    """

    def __init__(self, read: Callable[[Any], Any]):
        self._read = read
        functools.update_wrapper(self, read)
        self._source, self._lists = None, None

    def fresh(self, source: Any) -> Any:
        """Reads the files again: a user may have repaired them."""
        self._source, self._lists = None, None
        lists = self._read(source)
        self._source, self._lists = source, lists
        return lists

    def __call__(self, source: Any) -> Any:
        """What `fresh` last read for this source."""
        if self._source != source:
            return self.fresh(source)
        return self._lists
