"""object-CXR (JF Healthcare, 2020): foreign objects on the lungs: boxes, ellipses, polygons."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines import annotations
from data_pipelines.records import BadInput, Key, Study
from data_pipelines.sources import lists
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol, train_test_positions

_RELEASE = "object-CXR (train.zip, train.csv, dev.zip, dev.csv of Academic Torrents), unpacked"
_SEED = 0
_COMPAT_VALIDATION = 0.1  # of train.csv by the reference code; its paper's text has 1,600 of 8,000


@dataclasses.dataclass(frozen=True)
class ObjectCxrSource:
    """9,000 frontal radiographs of township hospitals, half of them with a foreign object: buttons,
    necklaces, coins. Tubes, pacemakers and the like were left unmarked, so that this is not
    CheXpert's Support Devices.

    Every shape gives its smallest box, and the mask of all of them.

    Attributes:
      raw_dir: holds train.csv, dev.csv and the folders train and dev. The owner kept the labels of
        the third part, so dev is the test split.
      protocol: strict keeps 20 % of train.csv for validation, as the papers say; mgca_compat the
        very 10 % that MGCA's code keeps.
    """

    raw_dir: str
    protocol: str = "strict"

    name = "object_cxr"
    shareable = True  # CC BY-NC 4.0
    has_reports = False
    label_names = ("Foreign Object",)
    left_out: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self):
        check_protocol(self.protocol)

    @property
    def version(self) -> str:
        """Changes with the content of the lists."""
        return f"1-{self.protocol}-{_lists(self).digest}"

    @property
    def published_counts(self) -> Mapping[str, int]:
        """Of MGCA (arXiv 2210.06044): its text, or what its code makes of the owner's lists."""
        if self.protocol == MGCA_COMPAT:
            return {"train": 7200, "validation": 800, "test": 1000}
        return {"train": 6400, "validation": 1600, "test": 1000}

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        if self.protocol == MGCA_COMPAT:
            return (
                "test: dev.csv; validation: 10 % of the rows of train.csv by scikit-learn's "
                "train_test_split, random_state 0"
            )
        return (
            "test: dev.csv; validation: 20 % of train.csv, images in the order of a hash of (seed "
            f"{_SEED}, name)"
        )

    def keys(self) -> Sequence[Key]:
        """One key an image, train.csv before dev.csv, in their order.

        Raises:
          BadInput: missing_list, repeated_image, or what `lists.read_table` raises.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image and its shapes.

        Raises:
          BadInput: bad_shape, bad_box, or what `image.read_image` raises.
        """
        row = _lists(self).rows[key.image_id]
        shapes = annotations.read_shapes(row.annotation)
        pixels = lists.read_listed_image(row.path)
        boxes = np.array([annotations.shape_to_box(shape) for shape in shapes], np.float64)
        return Study(
            pixels=pixels,
            findings="",
            impression="",
            labels=np.array([len(shapes) > 0], np.int8),
            boxes=annotations.clip_boxes(boxes, *pixels.shape),
            box_label=np.zeros(len(shapes), np.int32),
            mask=annotations.shapes_to_mask(shapes, *pixels.shape),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Row:
    path: epath.Path
    annotation: str


@dataclasses.dataclass(frozen=True)
class _Lists:
    keys: tuple[Key, ...]
    rows: Mapping[str, _Row]  # image_id -> its row
    digest: str


@lists.PerProcess
def _lists(source: ObjectCxrSource) -> _Lists:
    keys, rows = [], {}
    for part in ("train", "dev"):
        table = _read_part(source.raw_dir, part)
        splits = _splits(list(table), source.protocol) if part == "train" else ["test"] * len(table)
        for (name, row), split in zip(table.items(), splits, strict=True):
            image_id = f"{part}-{name.rpartition('.')[0] or name}"
            if image_id in rows:
                raise BadInput("repeated_image", f"{part}.csv has {image_id} under two endings")
            keys.append(Key(image_id, image_id, image_id, split))
            rows[image_id] = row
    content = [(image_id, row.annotation) for image_id, row in rows.items()]
    return _Lists(
        keys=tuple(keys),
        rows=rows,
        digest=hashlib.blake2b(repr(content).encode(), digest_size=6).hexdigest(),
    )


def _read_part(raw_dir: str, part: str) -> dict[str, _Row]:
    """File name -> its row, in the order of the list."""
    path = lists.find(raw_dir, [f"{part}.csv"], _RELEASE)
    folder = lists.find(raw_dir, [part], _RELEASE)
    rows: dict[str, _Row] = {}
    for row in lists.read_table(path, ("image_name", "annotation")):
        name = row["image_name"].replace("\\", "/").rpartition("/")[2]
        if name in rows:
            raise BadInput("repeated_image", f"{path} lists {name} twice: take the owner's list")
        rows[name] = _Row(folder / name, row["annotation"])
    return rows


def _splits(names: Sequence[str], protocol: str) -> list[str]:
    """Of each row of train.csv."""
    if protocol == MGCA_COMPAT:
        _, validation = train_test_positions(len(names), _COMPAT_VALIDATION)
        kept = set(validation.tolist())
        return ["validation" if i in kept else "train" for i in range(len(names))]
    drawn = lists.draw_splits(names, {"validation": round(0.2 * len(names))}, seed=_SEED)
    return [drawn[name] for name in names]
