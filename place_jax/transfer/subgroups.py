"""Parts of a split to be scored by themselves: by view, device, or what the user's own table says.

Sex and age are in no record of ours: identifiers and headers are left behind in preparation.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.records import BadInput, Label
from place_jax.transfer.names import snake_case
from place_jax.transfer.subgroup_table import read_column

SUBGROUPS = ("view", "device")
_DEVICE = "Support Devices"


@dataclasses.dataclass(frozen=True)
class Subgroups:
    """What to score by itself.

    Attributes:
      names: of SUBGROUPS, or columns of the table, in any case.
      table: a CSV with a column of image, study or patient identifiers; None for none.
    """

    names: Sequence[str] = ()
    table: pathlib.Path | None = None


def find_groups(
    data: batches.PreparedData,
    split: str,
    *,
    subgroups: Subgroups,
    index: np.ndarray,
    labels: np.ndarray,
) -> dict[str, np.ndarray]:
    """Which examples are in which group.

    Args:
      data: a prepared folder.
      split: train, validation or test.
      subgroups: which.
      index: [n] positions in the split.
      labels: [n, K] of them.

    Returns:
      `view_pa` and the like, `device_present`, `device_absent`, and of a table's columns `sex_f`
      or `age_40_to_60`: [n] bool. A view that is not known is `view_unknown`; an example whose
      device or cell is not known is in no such group.

    Raises:
      BadInput: a name that is not known, devices that the data do not label, or a table that names
        none of the examples.
    """
    groups = {}
    for name in subgroups.names:
        if name == "view":
            records = batches.read_records(data, split, ("view",), limit=int(index.max()) + 1)
            views = [snake_case(records[i]["view"]) or "unknown" for i in index]
            groups |= _by_value("view", np.array(views))
        elif name == "device":
            if _DEVICE not in data.label_names:
                raise BadInput("unknown_subgroup", f"{data.dir} has no label {_DEVICE!r}")
            column = labels[:, data.label_names.index(_DEVICE)]
            for said, value in (("present", Label.POSITIVE), ("absent", Label.NEGATIVE)):
                groups[f"device_{said}"] = column == value
        elif subgroups.table is None:
            raise BadInput(
                "unknown_subgroup",
                f"{name!r} is none of {', '.join(SUBGROUPS)}: give --subgroup-table a CSV that has "
                "such a column",
            )
        else:
            values = read_column(subgroups.table, name, data, split, index)
            groups |= _by_value(snake_case(name), values)
    return {name: inside for name, inside in groups.items() if inside.any()}


def _by_value(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """A group for each value; "" is in none."""
    return {f"{name}_{value}": values == value for value in np.unique(values).tolist() if value}
