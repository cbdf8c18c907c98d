"""SIIM-ACR Pneumothorax Segmentation (2019): masks as run lengths, several rows to an image."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines import annotations
from data_pipelines.records import SPLITS, BadInput, Key, Study
from data_pipelines.sources import lists
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol, train_test_positions

_RELEASE = "the SIIM-ACR Pneumothorax Segmentation challenge (Kaggle), unpacked"
_SIDE = 1024  # pixels of every image, which the run lengths count in
_SEED = 0


@dataclasses.dataclass(frozen=True)
class SiimPneumothoraxSource:
    """12,047 frontal radiographs of NIH, 2,669 of them with a pneumothorax and its mask.

    Attributes:
      raw_dir: holds stage_2_train.csv, or of the first stage train-rle.csv, which has 10,675 of the
        images. DICOM files may lie in any folders below it; their names are the list's ids.
      protocol: strict splits images. mgca_compat splits the list's rows as MGCA does: an image of
        several rows may come in several splits, with other parts of its mask in each.
    """

    raw_dir: str
    protocol: str = "strict"

    name = "siim_pneumothorax"
    # The download is bound to a competition's rules: its data goes to nobody who has not accepted.
    shareable = False
    has_reports = False
    label_names = ("Pneumothorax",)
    # Of GLoRIA and MGCA (arXiv 2210.06044), in images of stage_2_train.csv.
    published_counts: ClassVar[Mapping[str, int]] = {
        "train": 8433,
        "validation": 1807,
        "test": 1807,
    }

    def __post_init__(self):
        check_protocol(self.protocol)

    @property
    def version(self) -> str:
        """Changes with the content of the list."""
        table = _lists(self)
        return f"{table.stage}-{self.protocol}-{table.digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        if self.protocol == MGCA_COMPAT:
            return (
                "rows of the list through scikit-learn's train_test_split twice, random_state 0: 70"
                " % train, then 15 % test and 15 % validation; as in the reference code, "
                f"{_lists(self).straddling} images are in more than one split"
            )
        return f"images in the order of a hash of (seed {_SEED}, id): 70, 15 and 15 %"

    @property
    def left_out(self) -> Mapping[str, int]:
        """Files that the list does not speak of, such as those of the challenge's test."""
        return _lists(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order of the list; by mgca_compat one an image and split.

        Raises:
          BadInput: missing_list, no_images, or what `lists.read_table` raises.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image and joins the masks of its rows.

        Raises:
          BadInput: missing_file, other_size, contradicting_rows, bad_run_lengths, or what
            `image.read_image` raises.
        """
        table = _lists(self)
        rows = table.rows[key.image_id]
        if key.image_id not in table.files:
            raise BadInput("missing_file", f"no file below the raw folder is {_uid(key)}.dcm")
        pixels = lists.read_listed_image(table.files[key.image_id])
        if pixels.shape != (_SIDE, _SIDE):
            raise BadInput(
                "other_size",
                f"the image is {pixels.shape[1]} x {pixels.shape[0]} pixels and its run lengths "
                f"are for {_SIDE} x {_SIDE}: take the challenge's own DICOM files",
            )
        if len(rows) > 1 and annotations.NO_MASK in rows:
            raise BadInput(
                "contradicting_rows", "one row has a mask and another says there is none"
            )
        mask = np.zeros(pixels.shape, np.uint8)
        for row in rows:
            mask |= annotations.decode_relative_rle(row, *pixels.shape)
        return Study(
            pixels=pixels,
            findings="",
            impression="",
            labels=np.array([mask.any()], np.int8),
            mask=mask,
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Lists:
    keys: tuple[Key, ...]
    rows: Mapping[str, tuple[str, ...]]  # image_id -> its run lengths
    files: Mapping[str, os.PathLike]  # image_id -> its DICOM file, if there is one
    left_out: Mapping[str, int]
    straddling: int  # images in more than one split
    stage: str
    digest: str


@lists.PerProcess
def _lists(source: SiimPneumothoraxSource) -> _Lists:
    path = lists.find(source.raw_dir, ["stage_2_train.csv", "train-rle.csv"], _RELEASE)
    rows = lists.read_table(path, ("ImageId", "EncodedPixels"))
    files, repeated = _find_files(epath.Path(source.raw_dir))
    uids = [row["ImageId"] for row in rows]
    splits = _split_of_rows(uids, source.protocol)
    of_image: dict[tuple[str, str], list[str]] = {}
    for row, split in zip(rows, splits, strict=True):
        of_image.setdefault((row["ImageId"], split), []).append(row["EncodedPixels"])
    keys = {}
    for uid, split in sorted(of_image, key=lambda image: SPLITS.index(image[1])):
        # The first of an image's splits has it by its own name.
        name = uid if uid not in keys else f"{uid}@{split}"
        keys[name] = Key(name, name, name, split)
    listed = set(uids)
    order = {uid: i for i, uid in enumerate(dict.fromkeys(uids))}
    left_out = {"no_annotation": len(files.keys() - listed), "repeated_file": repeated}
    return _Lists(
        keys=tuple(sorted(keys.values(), key=lambda key: order[_uid(key)])),
        rows={name: tuple(of_image[_uid(key), key.split]) for name, key in keys.items()},
        files={name: files[_uid(key)] for name, key in keys.items() if _uid(key) in files},
        left_out={reason: number for reason, number in left_out.items() if number},
        straddling=len({_uid(key) for name, key in keys.items() if name != _uid(key)}),
        stage="stage_2" if path.name == "stage_2_train.csv" else "stage_1",
        digest=hashlib.blake2b(repr(rows).encode(), digest_size=6).hexdigest(),
    )


def _uid(key: Key) -> str:
    return key.image_id.partition("@")[0]


def _find_files(folder: epath.Path) -> tuple[dict[str, os.PathLike], int]:
    """Id -> file, and how many files have the name of another.

    The first stage lies in dicom-images-train/STUDY/SERIES/IMAGE.dcm, the second flat, and people
    keep both side by side.
    """
    files: dict[str, os.PathLike] = {}
    found = sorted(
        (parent / name for parent, _, names in folder.walk() for name in names if _is_dicom(name)),
        key=os.fspath,
    )
    if not found:
        raise BadInput(
            "no_images",
            f"there is no .dcm file below {os.fspath(folder)!r}: the images come with {_RELEASE}; "
            "give --raw-dir the folder that holds list and images",
        )
    for path in found:
        files.setdefault(path.name[: -len(".dcm")], path)
    return files, len(found) - len(files)


def _is_dicom(name: str) -> bool:
    return name.lower().endswith(".dcm") and not name.startswith(".")


def _split_of_rows(uids: Sequence[str], protocol: str) -> list[str]:
    if protocol == MGCA_COMPAT:
        splits = np.full(len(uids), "train", object)
        _, rest = train_test_positions(len(uids), 0.3)
        test, validation = train_test_positions(len(rest), 0.5)
        splits[rest[test]], splits[rest[validation]] = "test", "validation"
        return splits.tolist()
    images = list(dict.fromkeys(uids))
    part = round(0.15 * len(images))
    drawn = lists.draw_splits(images, {"validation": part, "test": part}, seed=_SEED)
    return [drawn[uid] for uid in uids]
