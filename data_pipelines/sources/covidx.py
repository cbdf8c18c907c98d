"""COVIDx: radiographs of several public collections, put together to tell COVID-19 from other
pneumonia and from neither. Wang, Lin, Wong, Scientific Reports 2020 (arXiv 2003.09871).
"""

import dataclasses
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from data_pipelines.records import BadInput, Key, Study
from data_pipelines.sources import lists
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol, train_test_positions

_RELEASE = "COVIDx CXR (images and lists: Kaggle's covidx-cxr2; older lists: labels/ of COVID-Net)"
# Of each version of the lists either kind A (three classes) or B (two), as its name says or not.
_CLASSES: Mapping[str, tuple[str, str]] = {
    "normal": ("A", "Normal"),
    "pneumonia": ("A", "Pneumonia"),
    "covid-19": ("A", "COVID-19"),
    "negative": ("B", ""),
    "positive": ("B", "COVID-19"),
}
_LABEL_NAMES = {"A": ("Normal", "Pneumonia", "COVID-19"), "B": ("COVID-19",)}
_LIST_FOLDERS = ("", "labels")
_TRAIN_SHARE = 0.8  # of the train list; validation is the rest
_SEED = 0
# Version -> images of the train list and of the test list, in the owner's own tables.
_OFFICIAL = {
    "9A": (30_130, 400),
    "9B": (30_482, 400),
    "CXR-3A": (29_634, 400),
    "CXR-3B": (29_986, 400),
}


@dataclasses.dataclass(frozen=True)
class CovidxSource:
    """COVIDx in the owner's lists, of any version, and the images that they name.

    Attributes:
      raw_dir: holds the lists, or labels/ does, and folders train and test (and val, where there is
        val.txt) of images.
      list_version: of train_COVIDx9A.txt and test_COVIDx9A.txt it is 9A, of train.txt it is "";
        None takes the version there is.
      protocol: strict draws validation by patient and keeps patients of test out of training;
        mgca_compat draws images as MGCA's code does, and keeps all.
    """

    raw_dir: str
    list_version: str | None = None
    protocol: str = "strict"

    name = "covidx"
    # Its parts have terms of their own, and some of them forbid passing images on.
    shareable = False
    has_reports = False

    def __post_init__(self):
        check_protocol(self.protocol)

    @property
    def label_names(self) -> Sequence[str]:
        """Normal, Pneumonia and COVID-19, one of which is positive; or COVID-19 alone."""
        return _lists(self).label_names

    @property
    def version(self) -> str:
        """Changes with the content of the lists and with how they are split."""
        table = _lists(self)
        return f"{table.version or 'unnamed'}-{self.protocol}-{table.digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        table = _lists(self)
        test = f"test: the test list of version {table.version or '(unnamed)'}"
        if table.official_validation:
            return f"{test}; validation: val.txt"
        if self.protocol == MGCA_COMPAT:
            return (
                f"{test}; validation: a fifth of the train list by scikit-learn, random_state "
                f"{_SEED}, images of one patient in both, as in the reference code"
            )
        return (
            f"{test}; validation: a fifth of the train list, of the first patients in the order of "
            f"a hash of (seed {_SEED}, patient)"
        )

    @property
    def published_counts(self) -> Mapping[str, int]:
        """Of the versions that the owner gives tables of."""
        if _lists(self).version not in _OFFICIAL or _lists(self).official_validation:
            return {}
        train, test = _OFFICIAL[_lists(self).version]
        kept = math.floor(_TRAIN_SHARE * train)
        return {"train": kept, "validation": train - kept, "test": test}

    @property
    def left_out(self) -> Mapping[str, int]:
        """Lines that say what another line says, and images that training must not see."""
        return _lists(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order of the lists.

        Raises:
          BadInput: missing_list, several_versions, unknown_list_version, bad_line, bad_class or
            mixed_classes.
        """
        return _lists.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image.

        Raises:
          BadInput: what `image.read_image` raises.
        """
        table = _lists(self)
        line = table.line_of[key.image_id]
        labels = [name == line.label for name in table.label_names]
        return Study(
            pixels=lists.read_listed_image(epath.Path(self.raw_dir) / line.part / line.file),
            findings="",
            impression="",
            labels=np.array(labels, np.int8),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Line:
    part: str  # folder of the image: train, val or test
    patient: str
    file: str
    kind: str  # A or B
    label: str  # a name, or "" where none is positive


@dataclasses.dataclass(frozen=True)
class _Lists:
    version: str
    label_names: tuple[str, ...]
    official_validation: bool
    keys: list[Key]
    line_of: Mapping[str, _Line]
    left_out: Mapping[str, int]
    digest: str


@lists.PerProcess
def _lists(source: CovidxSource) -> _Lists:
    version, paths = _find_lists(source)
    left_out: Counter = Counter()
    lines = {part: _read_lines(path, part, left_out) for part, path in paths.items()}
    kinds = {line.kind for part in lines.values() for line in part}
    if len(kinds) > 1:
        raise BadInput(
            "mixed_classes",
            f"{paths['train']} and {paths['test']} do not have the same classes: take both lists "
            "of one version",
        )
    # What is in a later list is not in an earlier one, by file or (strict) by patient.
    for part, others in (("val", ("test",)), ("train", ("val", "test"))):
        if part in lines:
            later = [line for other in others for line in lines.get(other, ())]
            lines[part] = _apart(lines[part], later, source.protocol, left_out)
    split_of = {"val": "validation", "test": "test"}
    held = set() if "val" in lines else _drawn(lines["train"], source.protocol)
    keys, line_of = [], {}
    for part, of_part in lines.items():
        for i, line in enumerate(of_part):
            split = split_of.get(part, "validation" if i in held else "train")
            # By mgca_compat a patient may be in several: then it is as many patients.
            patient = f"{line.patient}@{split}" if source.protocol == MGCA_COMPAT else line.patient
            keys.append(Key(line.file, line.file, patient, split))
            line_of[line.file] = line
    digest = hashlib.blake2b(digest_size=6)
    for key in keys:
        digest.update(f"{key} {line_of[key.image_id].label}\n".encode())
    return _Lists(
        version=version,
        label_names=_LABEL_NAMES[kinds.pop()],
        official_validation="val" in lines,
        keys=keys,
        line_of=line_of,
        left_out=dict(left_out),
        digest=digest.hexdigest(),
    )


def _find_lists(source: CovidxSource) -> tuple[str, dict[str, epath.Path]]:
    """The version, and its lists of train, val (where there is one) and test."""
    there: dict[str, dict[str, epath.Path]] = {}
    for folder in (epath.Path(source.raw_dir) / name for name in _LIST_FOLDERS):
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            found = re.fullmatch(r"(train|val|test)(?:_COVIDx_?(.+))?\.txt", path.name)
            if found:
                there.setdefault(found[2] or "", {}).setdefault(found[1], path)
    versions = {version: parts for version, parts in there.items() if "train" in parts}
    named = ", ".join(version or '"" (train.txt)' for version in versions)
    version = source.list_version
    if not versions:
        raise BadInput(
            "missing_list",
            f"{os.fspath(source.raw_dir)!r} holds no train_COVIDx9A.txt, train.txt or another "
            f"version's: it comes with {_RELEASE}; give --raw-dir the folder that holds it",
        )
    if version is None and len(versions) > 1:
        raise BadInput(
            "several_versions",
            f"{os.fspath(source.raw_dir)!r} holds lists of versions {named}: give --list-version",
        )
    version = next(iter(versions)) if version is None else version
    if version not in versions:
        raise BadInput(
            "unknown_list_version", f"list_version={version!r} is none of those there: {named}"
        )
    parts = versions[version]
    if "test" not in parts:
        test = parts["train"].name.replace("train", "test", 1)
        raise BadInput(
            "missing_list",
            f"{os.fspath(source.raw_dir)!r} holds no {test}: it comes with {_RELEASE}; a train "
            "list goes with the test list of its version",
        )
    return version, {part: parts[part] for part in ("train", "val", "test") if part in parts}


def _read_lines(path: epath.Path, part: str, left_out: Counter) -> list[_Line]:
    """The lines of a list: patient, file, class and, since version 3, the collection."""
    lines: dict[str, _Line] = {}
    contradicted = set()
    for number, text in enumerate(lists.read_text(path).splitlines(), 1):
        words = text.split()
        if not words:
            continue
        # The class is last or before last; what lies between patient and class is the file.
        classes = [i for i in (-1, -2) if len(words) > 2 and words[i].lower() in _CLASSES]
        if len(words) < 3 or (len(words) > 4 and not classes):
            raise BadInput(
                "bad_line",
                f"{path} line {number} is no `patient file class` or `patient file class source`: "
                "download the list again",
            )
        if not classes:
            raise BadInput(
                "bad_class",
                f"{path} line {number}: class {words[2]!r} is none of {', '.join(_CLASSES)}: lists "
                "of other tasks, such as severity, cannot be used",
            )
        at = classes[0]
        file = " ".join(words[1:at])
        if not file or "/" in file or "\\" in file:
            raise BadInput("bad_line", f"{path} line {number}: {file!r} is no name of a file")
        line = _Line(part, words[0], file, *_CLASSES[words[at].lower()])
        before = lines.setdefault(file, line)
        if before is not line:
            left_out["repeated_line"] += 1
            if before.label != line.label:
                contradicted.add(file)
    if not lines:
        raise BadInput("no_rows", f"{path} has no lines: download it again")
    if contradicted:
        left_out["contradicting_lines"] += len(contradicted)
    return [line for file, line in lines.items() if file not in contradicted]


def _apart(
    lines: Sequence[_Line], later: Sequence[_Line], protocol: str, left_out: Counter
) -> list[_Line]:
    """The lines without those whose file, or by strict whose patient, is among the later ones."""
    files, patients = {line.file for line in later}, {line.patient for line in later}
    kept = []
    for line in lines:
        if line.file in files:
            left_out["file_of_a_later_split"] += 1
        elif protocol != MGCA_COMPAT and line.patient in patients:
            left_out["patient_of_a_later_split"] += 1
        else:
            kept.append(line)
    return kept


def _drawn(lines: Sequence[_Line], protocol: str) -> set[int]:
    """Positions of the train list that are validation."""
    wanted = len(lines) - math.floor(_TRAIN_SHARE * len(lines))
    if protocol == MGCA_COMPAT:
        return set(train_test_positions(len(lines), wanted, random_state=_SEED)[1].tolist())
    patients = [line.patient for line in lines]
    splits = lists.draw_splits(patients, {"validation": wanted}, seed=_SEED)
    return {i for i, patient in enumerate(patients) if splits[patient] == "validation"}
