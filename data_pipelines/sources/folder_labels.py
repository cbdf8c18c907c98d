"""Labels in a user's own CSV: a column for each, or one column that lists what an image shows."""

import re
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput, Label

_VALUES = {
    "1": Label.POSITIVE,
    "0": Label.NEGATIVE,
    "-1": Label.UNCERTAIN,
    "": Label.MISSING,
    "nan": Label.MISSING,
    "true": Label.POSITIVE,
    "false": Label.NEGATIVE,
}
_NOTHING = frozenset(("", "no finding", "normal", "none", "nan"))


def labels_of_columns(cells: Sequence[str], names: Sequence[str], line: int) -> np.ndarray:
    """[K] int8 of Label: 1, 0, -1 uncertain, empty missing, also written as 1.0 or True.

    Raises:
      BadInput: bad_label.
    """
    labels = np.full(len(names), Label.MISSING, np.int8)
    for k, (cell, name) in enumerate(zip(cells, names, strict=True)):
        value = _VALUES.get(re.sub(r"\.0*$", "", cell.strip().lower()))
        if value is None:
            raise BadInput(
                "bad_label",
                f"line {line}: label {name!r} is {cell.strip()[:40]!r}: write 1, 0, -1 (uncertain) "
                "or nothing",
            )
        labels[k] = value
    return labels


def listed_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Every name that occurs in cells such as `Mass|Nodule`, sorted; "No Finding" is none."""
    return tuple(sorted({name for cell in cells for name in _split(cell)}))


def labels_of_list(cell: str, names: Sequence[str]) -> np.ndarray:
    """[K] int8 of Label: what a cell lists is there, and what it does not list is not."""
    there = _split(cell)
    return np.array([Label.POSITIVE if n in there else Label.NEGATIVE for n in names], np.int8)


def _split(cell: str) -> list[str]:
    names = [name.strip() for name in re.split(r"[|;]", cell)]
    return [name for name in names if name.lower() not in _NOTHING]
