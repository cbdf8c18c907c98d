"""NIH ChestX-ray14: 112,120 frontal radiographs of 30,805 patients, with labels mined from reports
and, for 880 images, boxes drawn by a radiologist. Wang et al., CVPR 2017 (arXiv 1705.02315).
"""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines.records import BadInput, Key, Label, Study
from data_pipelines.sources import lists

# The owner's word for each label, in the order of their paper's extended list. What other sources
# label too has their name for it; mass, nodule and pleural thickening are finer than CheXpert's
# lung lesion and pleural other, and stay what they are.
_NAME_OF: Mapping[str, str] = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Effusion": "Pleural Effusion",
    "Infiltration": "Infiltration",
    "Mass": "Mass",
    "Nodule": "Nodule",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Emphysema": "Emphysema",
    "Fibrosis": "Fibrosis",
    "Pleural_Thickening": "Pleural Thickening",
    "Hernia": "Hernia",
}
_NUMBER_OF = {word: i for i, word in enumerate(_NAME_OF)} | {"Infiltrate": 3}  # as boxes have it
_NORMAL = "No Finding"

_RELEASE = "the NIH Clinical Center's ChestX-ray14 (ChestXray-NIHCC)"
_ENTRIES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_BOX_COLUMNS = ("Bbox [x", "y", "w", "h]")  # the header has commas within its brackets
_SIDE = 1024  # pixels of every image, which boxes count in
_VALIDATION_SHARE = 0.1  # of all images; 70, 10 and 20 % in the paper
_SEED = 0


@dataclasses.dataclass(frozen=True)
class NihCxr14Source:
    """ChestX-ray14 in the owner's files. All are frontal; an image is a study of its own.

    Attributes:
      raw_dir: holds Data_Entry_2017_v2020.csv (or the first Data_Entry_2017.csv),
        train_val_list.txt, test_list.txt and the images, in images/ or in images_001/images/ and so
        on; with BBox_List_2017.csv, boxes too.
    """

    raw_dir: str

    name = "nih_cxr14"
    # "The usage of the data set is unrestricted", says its README, and asks for acknowledgement.
    shareable = True
    has_reports = False
    label_names: ClassVar[Sequence[str]] = tuple(_NAME_OF.values())
    # 86,524 and 25,596 in the owner's lists; validation is 10 % of all, drawn from the first.
    published_counts: ClassVar[Mapping[str, int]] = {
        "train": 75_312,
        "validation": 11_212,
        "test": 25_596,
    }

    @property
    def version(self) -> str:
        """Changes with the content of the lists."""
        return f"2017-{_lists(self).digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        return (
            "test: test_list.txt; validation: a tenth of all images, of train_val_list.txt, of the "
            f"first patients in the order of a hash of (seed {_SEED}, patient); train: the rest"
        )

    @property
    def left_out(self) -> Mapping[str, int]:
        """Images that one of the lists speaks of and another does not."""
        return _lists(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order of the entries.

        Raises:
          BadInput: missing_list, missing_images, bad_label, bad_box, image_in_two_lists, or what
            `lists.read_table` raises.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image.

        Raises:
          BadInput: missing_file, or what `image.read_image` raises.
        """
        table = _lists(self)
        if key.image_id not in table.folder:
            raise BadInput("missing_file", f"no images folder holds {key.image_id}.png")
        pixels = lists.read_listed_image(table.folder[key.image_id] / f"{key.image_id}.png")
        boxes, box_label = table.boxes.get(key.image_id, (np.zeros((0, 4)), np.zeros(0)))
        height, width = pixels.shape  # smaller in the copies that some people pass on
        scale = np.array([width, height, width, height]) / _SIDE
        return Study(
            pixels=pixels,
            findings="",
            impression="",
            view=table.view[key.image_id],
            labels=table.labels[key.image_id],
            boxes=(boxes * scale).astype(np.float32),
            box_label=box_label.astype(np.int32),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Lists:
    keys: list[Key]
    left_out: Mapping[str, int]
    labels: Mapping[str, np.ndarray]  # of an image, [14] int8; likewise the following
    view: Mapping[str, str]
    boxes: Mapping[str, tuple[np.ndarray, np.ndarray]]  # [n, 4] in pixels of 1024, and [n]
    folder: Mapping[str, epath.Path]
    digest: str


@lists.PerProcess
def _lists(source: NihCxr14Source) -> _Lists:
    entries = lists.find(source.raw_dir, _ENTRIES, _RELEASE)
    table = lists.read_table(entries, ("Image Index", "Finding Labels"), ("View Position",))
    part_of = _read_parts(source.raw_dir)
    left_out = Counter()
    labels, view = {}, {}
    for number, row in enumerate(table, 1):
        image = _image_id(row["Image Index"], f"{entries} row {number}")
        if image not in part_of:
            left_out["in_no_split_list"] += 1
            continue
        labels[image] = _read_labels(row["Finding Labels"], f"{entries} row {number}")
        view[image] = row["View Position"]
    left_out["without_labels"] = len(part_of.keys() - labels.keys())
    boxes = _read_boxes(source.raw_dir)
    left_out["box_of_no_image"] = len(boxes.keys() - labels.keys())

    drawn = [_patient(image) for image in labels if part_of[image] == "train"]
    wanted = min(round(_VALIDATION_SHARE * len(labels)), len(drawn) // 2)
    split_of = lists.draw_splits(drawn, {"validation": wanted}, seed=_SEED)
    keys = [
        Key(
            image_id=image,
            study_id=image,
            patient_id=_patient(image),
            split=part_of[image] if part_of[image] == "test" else split_of[_patient(image)],
        )
        for image in labels
    ]
    digest = hashlib.blake2b(digest_size=6)
    for key in keys:
        digest.update(f"{key.image_id} {key.split} {labels[key.image_id].tolist()}\n".encode())
    for image in sorted(boxes):
        digest.update(f"{image} {boxes[image][0].tolist()} {boxes[image][1].tolist()}\n".encode())
    return _Lists(
        keys=keys,
        left_out={reason: count for reason, count in left_out.items() if count},
        labels=labels,
        view=view,
        boxes=boxes,
        folder=_read_folders(source.raw_dir),
        digest=digest.hexdigest(),
    )


def _image_id(name: str, where: str) -> str:
    """`00000001_000` of `00000001_000.png`."""
    stem = name.removesuffix(".png")
    patient, _, number = stem.partition("_")
    if not (stem != name and patient.isdigit() and number.isdigit()):
        raise BadInput(
            "bad_image_name",
            f"{where}: {name!r} is no image of this data set, such as 00000001_000.png",
        )
    return stem


def _patient(image: str) -> str:
    return image.partition("_")[0]


def _read_parts(raw_dir: str) -> dict[str, str]:
    """Image -> train (or validation) or test."""
    part_of: dict[str, str] = {}
    for part, file in (("train", "train_val_list.txt"), ("test", "test_list.txt")):
        path = lists.find(raw_dir, (file,), _RELEASE)
        for line, name in enumerate(lists.read_names(path), 1):
            image = _image_id(name, f"{path} line {line}")
            if part_of.setdefault(image, part) != part:
                raise BadInput(
                    "image_in_two_lists",
                    f"{path} line {line}: {image} is in train_val_list.txt too: get both again",
                )
    return part_of


def _read_labels(text: str, where: str) -> np.ndarray:
    """[14] of `Effusion|Mass`; what is not mentioned is absent."""
    labels = np.zeros(len(_NAME_OF), np.int8)
    for word in (word.strip() for word in text.split("|")):
        if word in _NAME_OF:
            labels[_NUMBER_OF[word]] = Label.POSITIVE
        elif word != _NORMAL:
            raise BadInput(
                "bad_label", f"{where}: label {word!r} is none of {', '.join(_NAME_OF)}, {_NORMAL}"
            )
    return labels


def _read_boxes(raw_dir: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    path = lists.find_optional(raw_dir, ("BBox_List_2017.csv",))
    if path is None:
        return {}
    corners: dict[str, list] = {}
    numbers: dict[str, list] = {}
    columns = ("Image Index", "Finding Label", *_BOX_COLUMNS)
    for line, row in enumerate(lists.read_table(path, columns), 1):
        where = f"{path} row {line}"
        image = _image_id(row["Image Index"], where)
        x, y, width, height = (lists.parse_number(row[name], where) for name in _BOX_COLUMNS)
        if row["Finding Label"] not in _NUMBER_OF:
            raise BadInput("bad_label", f"{where}: label {row['Finding Label']!r} is not known")
        if not (width > 0 and height > 0):
            raise BadInput("bad_box", f"{where}: a box of {width:g} x {height:g} pixels is none")
        corners.setdefault(image, []).append((x, y, x + width, y + height))
        numbers.setdefault(image, []).append(_NUMBER_OF[row["Finding Label"]])
    return {
        image: (np.clip(np.array(corners[image]), 0, _SIDE), np.array(numbers[image]))
        for image in corners
    }


def _read_folders(raw_dir: str) -> dict[str, epath.Path]:
    """Image -> the folder that holds it."""
    root = epath.Path(raw_dir)
    numbered = [
        os.path.join(f"images_{i:03d}", *rest) for i in range(1, 13) for rest in (("images",), ())
    ]
    folders = [root / name for name in ("images", *numbered)]
    found = {}
    for folder in folders:
        if folder.exists():
            names = (path.name for path in folder.iterdir())
            found |= {name[:-4]: folder for name in names if name.endswith(".png")}
    if not found:
        raise BadInput(
            "missing_images",
            f"{raw_dir!r} holds no PNG in images/ or images_001/images/: unpack images_001.tar.gz "
            f"to images_012.tar.gz of {_RELEASE} there",
        )
    return found
