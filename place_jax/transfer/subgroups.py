"""Parts of a split to be scored by themselves: by view, by whether a device is in the image.

Sex and age are in no record of ours: identifiers and headers are left behind in preparation.
"""

from collections.abc import Sequence

import numpy as np

from data_pipelines import batches
from data_pipelines.records import BadInput, Label
from place_jax.transfer.names import snake_case

SUBGROUPS = ("view", "device")
_DEVICE = "Support Devices"


def find_groups(
    data: batches.PreparedData,
    split: str,
    *,
    names: Sequence[str],
    index: np.ndarray,
    labels: np.ndarray,
) -> dict[str, np.ndarray]:
    """Which examples are in which group.

    Args:
      data: a prepared folder.
      split: train, validation or test.
      names: of SUBGROUPS.
      index: [n] positions in the split.
      labels: [n, K] of them.

    Returns:
      `view_pa` and the like, `device_present`, `device_absent`: [n] bool. A view that is not known
      is `view_unknown`; an example whose Support Devices label is not known is in no device group.

    Raises:
      BadInput: a name that is not known, or devices that the data do not label.
    """
    groups = {}
    for name in names:
        if name == "view":
            records = batches.read_records(data, split, ("view",), limit=int(index.max()) + 1)
            views = np.array([snake_case(records[i]["view"]) or "unknown" for i in index])
            groups |= {f"view_{view}": views == view for view in np.unique(views).tolist()}
        elif name == "device":
            if _DEVICE not in data.label_names:
                raise BadInput("unknown_subgroup", f"{data.dir} has no label {_DEVICE!r}")
            column = labels[:, data.label_names.index(_DEVICE)]
            for said, value in (("present", Label.POSITIVE), ("absent", Label.NEGATIVE)):
                groups[f"device_{said}"] = column == value
        else:
            raise BadInput("unknown_subgroup", f"{name!r} is none of {', '.join(SUBGROUPS)}")
    return {name: inside for name, inside in groups.items() if inside.any()}
