"""CheXpert: radiographs of Stanford with labels drawn from their reports, which are not included.

Irvin et al., arXiv 1901.07031.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from etils import epath

from data_pipelines.records import CHEXPERT_LABELS, Key, Study
from data_pipelines.sources import chexpert_files, five_by_200, lists
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol

VIEWS = ("frontal", "lateral", "all")
TEST_SETS = ("valid", "test", "5x200")

_VALIDATION_IMAGES = 5000
_SEED = 0
# Images of train.csv and valid.csv by view, and of the test set, as the release has them.
_OFFICIAL = {"frontal": (191_027, 202), "lateral": (32_387, 32), "all": (223_414, 234)}
_OFFICIAL_TEST = 668


@dataclasses.dataclass(frozen=True)
class ChexpertSource:
    """CheXpert as its owner distributes it, in full or small.

    Uncertain labels stay uncertain: what they count as is the evaluation's choice
    (`uncertainty.apply_uncertain_policy`). The 5x200 list is never in training.

    Attributes:
      raw_dir: holds train.csv and valid.csv, or a folder of the release that does.
      protocol: strict draws validation by patient. mgca_compat draws images, and leaves most of
        them in training too, as MGCA's code does (PROTOCOLS in docs/datasets.md).
      views: frontal, lateral or all.
      test_set: what the test split is. valid: the official validation images, as in the tables of
        the MGCA line; test: the official test images; 5x200: the images of the 5x200 list, whose
        patients then are in no other split.
    """

    raw_dir: str
    protocol: str = "strict"
    views: str = "frontal"
    test_set: str = "valid"

    name = "chexpert"
    shareable = False  # its research use agreement forbids passing images on
    has_reports = False
    label_names: ClassVar[Sequence[str]] = CHEXPERT_LABELS

    def __post_init__(self):
        check_protocol(self.protocol)
        lists.check_choice("views", self.views, VIEWS)
        lists.check_choice("test_set", self.test_set, TEST_SETS)

    @property
    def version(self) -> str:
        """Changes with the content of the lists and with how they are split."""
        return f"1.0-{self.protocol}-{self.views}-{self.test_set}-{_lists(self).digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        if self.protocol == MGCA_COMPAT:
            drawn = (
                f"{_VALIDATION_IMAGES} rows of train.csv drawn by numpy seed {_SEED}, most of which"
                " are in training too, as in the reference code"
            )
        else:
            drawn = (
                f"{_VALIDATION_IMAGES} images of train.csv, or a tenth if that is less, of the "
                f"first patients in the order of a hash of (seed {_SEED}, patient)"
            )
        return (
            f"validation: {drawn}; train: the rest of train.csv but for the 5x200 list of numpy "
            f"seed {five_by_200.SEED}; test: {self.test_set}"
        )

    @property
    def published_counts(self) -> Mapping[str, int]:
        """From the owner's counts. Papers say 186,027 for training: they do not subtract 5x200."""
        train, valid = _OFFICIAL[self.views]
        if self.test_set == "5x200":
            return {"test": five_by_200.PER_CLASS * len(five_by_200.COMPETITION_CLASSES)}
        counts = {"test": valid}
        if self.test_set == "test":
            counts = {"test": _OFFICIAL_TEST} if self.views == "all" else {}
        if self.protocol == MGCA_COMPAT:
            return counts
        listed = five_by_200.PER_CLASS * len(five_by_200.COMPETITION_CLASSES)
        listed = 0 if self.views == "lateral" else listed
        return counts | {
            "train": train - listed - _VALIDATION_IMAGES,
            "validation": _VALIDATION_IMAGES,
        }

    @property
    def left_out(self) -> Mapping[str, int]:
        """Images of another view, and those that the 5x200 list keeps out of training."""
        return _lists(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order of the lists.

        Raises:
          BadInput: missing_list, bad_path, bad_label, or what `lists.read_table` raises.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image.

        Raises:
          BadInput: what `image.read_image` raises.
        """
        table = _lists(self)
        row = table.row[key.image_id]
        part, path = table.rows.paths[row]
        return Study(
            pixels=lists.read_listed_image(chexpert_files.locate(table.folders[part], path)),
            findings="",
            impression="",
            view=table.rows.views[row],
            labels=table.rows.labels[row],
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Lists:
    rows: chexpert_files.Rows
    keys: list[Key]
    row: Mapping[str, int]  # of an image
    left_out: Mapping[str, int]
    folders: Mapping[str, Sequence[epath.Path]]  # of train, valid, test
    digest: str


@lists.PerProcess
def _lists(source: ChexpertSource) -> _Lists:
    rows = chexpert_files.read_rows(source.raw_dir, "train")
    training = np.arange(len(rows.images))
    test = listed = five_by_200.positions_of_5x200(rows.labels, rows.frontal)
    folders = {"train": chexpert_files.image_folders(source.raw_dir, "train")}
    if source.test_set != "5x200":
        rows += chexpert_files.read_rows(source.raw_dir, source.test_set)
        test = np.arange(len(training), len(rows.images))
        folders[source.test_set] = chexpert_files.image_folders(source.raw_dir, source.test_set)
    seen = np.ones(len(rows.images), bool)
    if source.views != "all":
        seen = rows.frontal == (source.views == "frontal")

    train, validation = _draw(source, rows, training, listed, seen)
    unused = np.setdiff1d(training[seen[training]], np.concatenate([train, validation, listed]))
    left_out = Counter(
        other_view=int((~seen[np.union1d(training, test)]).sum()), in_no_split=len(unused)
    )
    if source.test_set == "5x200":
        patients = {rows.patients[i] for i in listed}
        before = len(train) + len(validation)
        train, validation = _without(train, rows, patients), _without(validation, rows, patients)
        left_out["patient_of_5x200"] = before - len(train) - len(validation)
    else:
        left_out["listed_5x200"] = int(seen[listed].sum())

    keys, row = [], {}
    parts = ((train, "train"), (validation, "validation"), (test[seen[test]], "test"))
    for positions, split in parts:
        # By mgca_compat an image may be in both: then it is two images, of two patients.
        copy = "@validation" if split == "validation" and source.protocol == MGCA_COMPAT else ""
        for i in positions.tolist():
            key = Key(
                image_id=rows.images[i] + copy,
                study_id=rows.studies[i] + copy,
                patient_id=rows.patients[i] + copy,
                split=split,
            )
            keys.append(key)
            row[key.image_id] = i
    digest = hashlib.blake2b("\n".join(rows.images).encode(), digest_size=6)
    digest.update(rows.labels.tobytes())
    return _Lists(
        rows=rows,
        keys=keys,
        row=row,
        left_out={reason: count for reason, count in left_out.items() if count},
        folders=folders,
        digest=digest.hexdigest(),
    )


def _draw(
    source: ChexpertSource,
    rows: chexpert_files.Rows,
    training: np.ndarray,
    listed: np.ndarray,
    seen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions in train.csv of the training split and of the validation split."""
    unlisted = np.setdiff1d(training, listed)
    if source.protocol == MGCA_COMPAT:
        # It takes positions of the shortened list for validation, and drops rows of those numbers
        # in the whole list from training; only then are views chosen.
        wanted = min(_VALIDATION_IMAGES, len(unlisted) // 10)
        drawn = np.random.RandomState(_SEED).choice(len(unlisted), size=wanted, replace=False)
        train, validation = np.setdiff1d(unlisted, drawn), np.sort(unlisted[drawn])
        return train[seen[train]], validation[seen[validation]]
    unlisted = unlisted[seen[unlisted]]
    patients = [rows.patients[i] for i in unlisted]
    wanted = min(_VALIDATION_IMAGES, len(unlisted) // 10)
    splits = lists.draw_splits(patients, {"validation": wanted}, seed=_SEED)
    held = np.array([splits[patient] == "validation" for patient in patients], bool)
    return unlisted[~held], unlisted[held]


def _without(positions: np.ndarray, rows: chexpert_files.Rows, patients: set[str]) -> np.ndarray:
    return np.array([i for i in positions.tolist() if rows.patients[i] not in patients], int)
