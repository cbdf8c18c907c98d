"""What a user's own table says of a split's examples, such as sex and age.

It stays with whoever has it, and is read for one evaluation: no record holds such things.
"""

import pathlib
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
_YEARS = (40, 60, 80)  # [ours] of a column that is called age


def read_column(
    table: pathlib.Path, name: str, data: batches.PreparedData, split: str, index: np.ndarray
) -> np.ndarray:
    """What a column says of each example, in words that a score can be named by.

    Numbers of many kinds become ranges that hold their lower end: ages in steps of 20 years, others
    in thirds of the examples.

    Args:
      table: a CSV with a column of image, study or patient identifiers, whichever it is called. Of
        data that were prepared from a folder they are hashed first, by the key beside the table.
      name: of the column, in any case.
      data: a prepared folder.
      split: train, validation or test.
      index: [n] positions in the split.

    Returns:
      [n] such as `f` or `40_to_60`; "" where the table says nothing.

    Raises:
      BadInput: no such column, or a table that names none of the examples.
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
    at = _match(data, split, table, rows, index)
    return _in_words(name, [cells[row] if row >= 0 else "" for row in at])


def _match(
    data: batches.PreparedData,
    split: str,
    table: pathlib.Path,
    rows: Sequence[Mapping[str, str]],
    index: np.ndarray,
) -> np.ndarray:
    """[n] the row of each example, -1 for none: by the column and the identifier that fit most.

    Of several rows of one patient the first is taken.
    """
    best, most = np.full(len(index), -1), 0
    records = batches.read_records(data, split, _KEYS, limit=int(index.max()) + 1)
    forms = _forms(table)
    for key in _KEYS:
        for column in rows[0]:
            row_of: dict[str, int] = {}
            for number, row in enumerate(rows):
                for form in forms(row[column].strip()):
                    row_of.setdefault(form, number)
            found = np.array([row_of.get(str(records[i][key]), -1) for i in index])
            if (found >= 0).sum() > most:
                best, most = found, (found >= 0).sum()
    if not most:
        raise BadInput(
            "other_subgroup_table",
            f"{table} names none of the {len(index)} examples of {data.dir} split {split}: give it "
            f"a column of identifiers, such as {records[index[0]]['patient_id']!r} of a patient",
        )
    return best


def _forms(table: pathlib.Path) -> Callable[[str], list[str]]:
    """How data sets write an identifier: itself, a file's name without its end, a part of a path.

    And as `place prepare folder` hashes a patient's.
    """
    salt_file = table.with_name(_SALT)
    salt = read_salt(salt_file) if salt_file.is_file() else None

    def forms(cell: str) -> list[str]:
        parts = cell.split("/")
        found = [cell, *parts, parts[-1].rpartition(".")[0]]
        return found + ([pseudonym(salt, "patient", cell)] if salt else [])

    return forms


def _in_words(name: str, cells: Sequence[str]) -> np.ndarray:
    """[n] of n cells."""
    words = np.array([snake_case(cell) for cell in cells])
    try:
        numbers = np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return words
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) <= _MOST_KINDS:
        return words
    edges = _YEARS if "age" in name.lower() else np.quantile(numbers[known], (1 / 3, 2 / 3))
    ranges = [f"{low:.4g}_to_{high:.4g}" for low, high in zip(edges, edges[1:], strict=False)]
    ranges = [f"under_{edges[0]:.4g}", *ranges, f"{edges[-1]:.4g}_and_over"]
    of_range = np.searchsorted(edges, numbers, side="right")
    return np.array([ranges[k] if there else "" for k, there in zip(of_range, known, strict=True)])
