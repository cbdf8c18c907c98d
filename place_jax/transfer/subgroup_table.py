"""What a user's own table says of a split's examples, such as sex and age.

It stays with whoever has it, and is read for one evaluation: no record holds such things.
"""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.records import BadInput
from data_pipelines.sources.pseudonyms import pseudonym, read_salt
from place_jax.image_lists import read_rows
from place_jax.transfer.names import snake_case

_KEYS = ("image_id", "study_id", "patient_id")  # the narrowest first
_SALT = ".place_salt"  # beside the CSV that `place prepare folder` read
_MOST_KINDS = 8  # of a column of numbers, before they are grouped in ranges
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")  # of a name in any style, such as PatientAge
# What a score's name cannot hold and tells two values apart, such as <65 and >=65, or -1 and 1.
_SIGNS = {"<=?": " under ", ">=?": " over ", r"\+": " plus ", r"^-(?=\d)": "minus "}
_YEARS = (40, 60, 80)  # [ours] of a column that is called age


def read_column(
    table: pathlib.Path, name: str, data: batches.PreparedData, split: str, index: np.ndarray
) -> np.ndarray:
    """What a column says of each example, in words that a score can be named by.

    Numbers of many kinds become ranges that hold their lower end: ages in steps of 20 years, others
    in thirds of the examples. Where rows of one patient differ, as by study, and the table names
    no study or image, they say nothing.

    Args:
      table: a CSV with a column of image, study or patient identifiers, whichever it is called. Of
        data that were prepared from a folder they are hashed first, by the key beside the table,
        and the rows of the very CSV that was prepared are known by their images as well.
      name: of the column, in any case.
      data: a prepared folder.
      split: train, validation or test.
      index: [n] positions in the split.

    Returns:
      [n] such as `f` or `40_to_60`; "" where the table says nothing.

    Raises:
      BadInput: no such column, a table that names none of the examples, or two values that a
        score's name does not tell apart.
    """
    rows = read_rows(table)
    called = {column.strip().lower(): column for column in rows[0]}
    if name.lower() not in called:
        raise BadInput(
            "unknown_subgroup",
            f"{name!r} is neither view nor device, and no column of {table}: name one of "
            f"{', '.join(map(repr, rows[0]))}",
        )
    cells = [row[called[name.lower()]].strip() for row in rows]
    return _in_words(called[name.lower()], _match(data, split, table, rows, cells, index))


def _match(
    data: batches.PreparedData,
    split: str,
    table: pathlib.Path,
    rows: Sequence[Mapping[str, str]],
    cells: Sequence[str],
    index: np.ndarray,
) -> list[str]:
    """[n] the cell of each example, "" for none: by the column and the identifier that fit most."""
    best, most = [], (0, 0)
    records = batches.read_records(data, split, _KEYS, limit=int(index.max()) + 1)
    forms = _forms(table)
    for column in rows[0]:
        said: dict[str, set[str]] = {}
        for number, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            for form in forms(row[column].strip(), number):
                said.setdefault(form, set()).add(cell)
        for rank, key in enumerate(_KEYS):
            found = [said.get(str(records[i][key]), set()) for i in index]
            fits = sum(map(bool, found)), -rank
            if fits[0] and fits > most:
                best, most = [next(iter(s)) if len(s) == 1 else "" for s in found], fits
    if not best:
        raise BadInput(
            "other_subgroup_table",
            f"{table} names none of the {len(index)} examples of {data.dir} split {split}: give it "
            f"a column of identifiers, such as {records[index[0]]['patient_id']!r} of a patient",
        )
    return best


def _forms(table: pathlib.Path) -> Callable[[str, int], list[str]]:
    """How data sets write the identifier of a cell in a row.

    Itself; a file's name without its end; a part of a path; several, joined as CheXpert's are
    (patient00001-study1-view1_frontal); with MIMIC-CXR's p or s; as `place prepare folder` hashes a
    patient's, and the image of that row.
    """
    salt_file = table.with_name(_SALT)
    salt = read_salt(salt_file) if salt_file.is_file() else None

    def forms(cell: str, row: int) -> list[str]:
        parts = cell.split("/")
        stem = parts[-1].rpartition(".")[0]
        found = [cell, *parts, stem, *("-".join([*parts[k:-1], stem]) for k in range(len(parts)))]
        found += [f"{letter}{cell}" for letter in "ps"] if cell.isdigit() else []
        if salt:
            found += [pseudonym(salt, "patient", cell), pseudonym(salt, "image", f"{row} {cell}")]
        return found

    return forms


def _named(name: str, cells: Sequence[str]) -> np.ndarray:
    """[n] cells as a part of a score's name.

    Raises:
      BadInput: two that differ would have the same one.
    """
    meaning: dict[str, str] = {}
    words = []
    for cell in cells:
        said = cell.lower()
        for sign, word in _SIGNS.items():
            said = re.sub(sign, word, said)
        words.append(snake_case(said))
        other = meaning.setdefault(words[-1], cell)
        if words[-1] and other.lower() != cell.lower():
            raise BadInput(
                "unknown_subgroup",
                f"{other!r} and {cell!r} of {name!r} would both be called {words[-1]!r}: write "
                "them in words that differ",
            )
    return np.array(words)


def _in_words(name: str, cells: Sequence[str]) -> np.ndarray:
    """[n] of n cells."""
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return _named(name, cells)
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) <= _MOST_KINDS:
        return _named(name, cells)
    of_age = "age" in (word.lower() for word in _WORD.findall(name))
    edges = _YEARS if of_age else np.quantile(numbers[known], (1 / 3, 2 / 3))
    ranges = [f"{low:.4g}_to_{high:.4g}" for low, high in zip(edges, edges[1:], strict=False)]
    ranges = [f"under_{edges[0]:.4g}", *ranges, f"{edges[-1]:.4g}_and_over"]
    of_range = np.searchsorted(edges, numbers, side="right")
    return np.array([ranges[k] if there else "" for k, there in zip(of_range, known, strict=True)])
