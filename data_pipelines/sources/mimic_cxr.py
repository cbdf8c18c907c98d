"""MIMIC-CXR: radiographs of Beth Israel Deaconess Medical Center with their free-text reports.

Johnson et al., doi 10.1038/s41597-019-0322-0 (DICOM and reports), arXiv 1901.07042 (JPG, labels).
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from data_pipelines import mimic_reports
from data_pipelines.progress import progress
from data_pipelines.records import CHEXPERT_LABELS, BadInput, Key, Label, Study
from data_pipelines.sources import five_by_200, lists
from data_pipelines.sources.mimic_files import IMAGES, ImageFiles, ReportFiles
from data_pipelines.sources.mimic_lists import (
    Descriptions,
    OfficialSplit,
    Row,
    read_descriptions,
    read_split,
)
from data_pipelines.sources.protocols import MGCA_COMPAT, check_protocol

LABELS = ("chexpert", "negbio")
VIEWS = ("frontal", "lateral", "all")
TEST_SETS = ("official", "5x200")
_POSITIONS = {"frontal": ("PA", "AP"), "lateral": ("LATERAL", "LL")}
_SPLITS = {"train": "train", "validate": "validation", "test": "test"}
# Images of the official split, all views (stated with the R2Gen numbers of many papers).
_OFFICIAL = {"train": 368_960, "validation": 2_991, "test": 5_159}
_MIN_WORDS = 3
_CHECKED = 50  # images, of which one has to be there before all are looked for


@dataclasses.dataclass(frozen=True)
class MimicCxrSource:
    """MIMIC-CXR as PhysioNet distributes it: images and lists in one project, reports in another.

    Reports of fewer than three words are left out. strict keeps the official three splits apart,
    and takes the text of a report without headings from where it stands. mgca_compat does as the
    code of MGCA: validation is the official validation and test together, a report needs findings
    or an impression with a heading, and its tokens are counted in MGCA's way.

    Attributes:
      raw_dir: holds MIMIC-CXR-JPG, or MIMIC-CXR's DICOM files with the lists of MIMIC-CXR-JPG; and
        mimic-cxr-reports.zip as it is, or unpacked.
      images: jpg or dicom.
      views: frontal (PA, AP), lateral (LATERAL, LL) or all, by ViewPosition.
      labels: whose labels: chexpert or negbio.
      protocol: strict or mgca_compat.
      test_set: official, or 5x200: MIMIC-5x200, the images that CheXpert's rule draws from the
        official training part, one a study [ours: else two candidates would have one report]; its
        patients are in no other split.
      held_out: a CSV with a column dicom_id, such as MS-CXR's: its patients are left out of
        training, so that it can be a test.
    """

    raw_dir: str
    images: str = "jpg"
    views: str = "frontal"
    labels: str = "chexpert"
    protocol: str = "strict"
    test_set: str = "official"
    held_out: str | None = None

    name = "mimic_cxr"
    shareable = False  # PhysioNet's data use agreement forbids passing images and texts on
    has_reports = True
    label_names: ClassVar[Sequence[str]] = CHEXPERT_LABELS

    def __post_init__(self):
        check_protocol(self.protocol)
        lists.check_choice("images", self.images, IMAGES)
        lists.check_choice("views", self.views, VIEWS)
        lists.check_choice("labels", self.labels, LABELS)
        lists.check_choice("test_set", self.test_set, TEST_SETS)
        if self.test_set == "5x200" and self.views == "lateral":
            raise BadInput(
                "no_5x200", "test_set='5x200' holds frontal images: take views=frontal or all"
            )

    @property
    def version(self) -> str:
        """Changes with the content of the lists and with how they are read."""
        options = (self.protocol, self.images, self.views, self.labels, self.test_set)
        digest = _split(self).digest + _files(self).digest
        return f"2-{'-'.join(options)}-{digest}"

    @property
    def split_rule(self) -> str:
        """For the manifest."""
        rule = "mimic-cxr-2.0.0-split.csv"
        if self.protocol == MGCA_COMPAT:
            rule += ", its validate and test together as validation"
        if self.test_set == "5x200":
            rule += (
                f"; test: the 5x200 list of numpy seed {five_by_200.SEED} from its train, one image"
                " a study, whose patients are in no other split"
            )
        if self.held_out:
            rule += "; patients of a held-out list are not in training"
        return rule

    @property
    def published_counts(self) -> Mapping[str, int]:
        """Of all views; nobody states them for frontal ones by split."""
        if self.test_set == "5x200":
            return {"test": five_by_200.PER_CLASS * len(five_by_200.COMPETITION_CLASSES)}
        if self.views != "all":
            return {}
        if self.protocol != MGCA_COMPAT:
            return _OFFICIAL
        merged = _OFFICIAL["validation"] + _OFFICIAL["test"]
        return {"train": _OFFICIAL["train"], "validation": merged}

    @property
    def left_out(self) -> Mapping[str, int]:
        """Images by reason: other_view, no_view, no_metadata, not_downloaded, held_out_patient,
        no_findings_or_impression, short_report, and with 5x200 official_test, patient_of_5x200."""
        return _choice(self).left_out

    def keys(self) -> Sequence[Key]:
        """One key an image, in the order of the split's list. Reads every report once.

        Raises:
          BadInput: missing_list, missing_images, other_images, bad_id, bad_split, bad_label, or
            what `lists.read_table` raises.
        """
        _split.fresh(self)
        _files.fresh(self)
        return _choice.fresh(self).keys

    def load(self, key: Key) -> Study:
        """Reads one image and its report.

        Raises:
          BadInput: what `ReportFiles.read`, `mimic_reports.parse_report` or `image.read_image`
            raise.
        """
        files = _files(self)
        text = files.reports.read(key.patient_id, key.study_id)
        report = mimic_reports.parse_report(text, headed=self.protocol == MGCA_COMPAT)
        path = files.images.path(key.patient_id, key.study_id, key.image_id)
        return Study(
            pixels=lists.read_listed_image(path),
            findings=report.findings,
            impression=report.impression,
            view=files.described.views.get(key.image_id, ""),
            labels=_labels(files.described, key.study_id),
        )

    def prompts(self) -> None:
        """None of its own."""
        return None


@dataclasses.dataclass(frozen=True)
class _Files:
    described: Descriptions
    images: ImageFiles
    reports: ReportFiles

    @property
    def digest(self) -> str:
        return f"{self.described.digest}{self.reports.digest}"


@dataclasses.dataclass(frozen=True)
class _Choice:
    keys: list[Key]
    left_out: Mapping[str, int]


@lists.PerProcess
def _split(source: MimicCxrSource) -> OfficialSplit:
    """Apart from what a worker needs, of which each keeps its own."""
    return read_split(source.raw_dir)


@lists.PerProcess
def _files(source: MimicCxrSource) -> _Files:
    """What a worker needs."""
    return _Files(
        described=read_descriptions(source.raw_dir, source.labels),
        images=ImageFiles(source.raw_dir, source.images),
        reports=ReportFiles(source.raw_dir),
    )


@lists.PerProcess
def _choice(source: MimicCxrSource) -> _Choice:
    """Which images are taken. Reads every report once."""
    every, files = _split(source).rows, _files(source)
    left_out: Counter = Counter()
    held_out = _held_out_patients(source, every)
    rows = []
    for row in every:
        reason = _other_view(source.views, files.described.views.get(row.image))
        if reason is None and row.patient[:3] not in files.images.groups:
            reason = "not_downloaded"
        if reason is None and row.split == "train" and row.patient in held_out:
            reason = "held_out_patient"
        if reason is None:
            rows.append(row)
        else:
            left_out[reason] += 1
    if rows:
        files.images.check([(row.patient, row.study, row.image) for row in rows[:_CHECKED]])
        files.reports.check([(row.patient, row.study) for row in rows[:_CHECKED]])
    faults = _report_faults(source, files, {row.study: row.patient for row in rows})
    left_out.update(faults[row.study] for row in rows if row.study in faults)
    rows = [row for row in rows if row.study not in faults]

    splits = dict(_SPLITS)
    if source.protocol == MGCA_COMPAT:
        splits["test"] = "validation"
    chosen = [(row, splits[row.split]) for row in rows]
    if source.test_set == "5x200":
        chosen = _with_5x200(chosen, files.described, left_out)
    return _Choice(
        keys=[Key(row.image, row.study, row.patient, split) for row, split in chosen],
        left_out=dict(sorted(left_out.items())),
    )


def _other_view(wanted: str, view: str | None) -> str | None:
    """Why an image of this view is left out, or None."""
    if view is None:
        return "no_metadata"
    if wanted == "all" or view in _POSITIONS[wanted]:
        return None
    return "other_view" if view else "no_view"


def _labels(found: Descriptions, study: str) -> np.ndarray:
    """[14]; all missing for the eight studies whose reports were not labelled."""
    missing = np.full(len(CHEXPERT_LABELS), Label.MISSING, np.int8)
    return found.labels.get(study, missing)


def _held_out_patients(source: MimicCxrSource, rows: Sequence[Row]) -> frozenset[str]:
    if not source.held_out:
        return frozenset()
    images = {row["dicom_id"] for row in lists.read_table(source.held_out, ("dicom_id",))}
    patients = frozenset(row.patient for row in rows if row.image in images)
    if not patients:
        raise BadInput(
            "no_held_out",
            f"{source.held_out} names no image of MIMIC-CXR in its column dicom_id: is it the "
            "list whose patients should be left out?",
        )
    return patients


def _report_faults(
    source: MimicCxrSource, files: _Files, studies: Mapping[str, str]
) -> dict[str, str]:
    """Study -> why its report is left out. One that cannot be read is kept: `load` names it."""
    faults, done = {}, 0
    with progress("mimic_cxr", "reports", len(studies), lambda: done):
        for done, (study, patient) in enumerate(studies.items()):  # noqa: B007 (told above)
            try:
                text = files.reports.read(patient, study)
                report = mimic_reports.parse_report(text, headed=source.protocol == MGCA_COMPAT)
            except BadInput:
                continue
            if source.protocol == MGCA_COMPAT:
                words = mimic_reports.count_mgca_tokens(report.findings, report.impression)
                headed = report.has_headings
            else:
                words = mimic_reports.count_words(f"{report.findings} {report.impression}")
                headed = bool(words)
            if not headed:
                faults[study] = "no_findings_or_impression"
            elif words < _MIN_WORDS:
                faults[study] = "short_report"
    return faults


def _with_5x200(
    chosen: Sequence[tuple[Row, str]], found: Descriptions, left_out: Counter
) -> list[tuple[Row, str]]:
    """The 5x200 list as the test split, in the order drawn, after all others."""
    first: dict[str, Row] = {}
    for row, split in chosen:
        if split == "train" and found.views[row.image] in _POSITIONS["frontal"]:
            first.setdefault(row.study, row)
    candidates = list(first.values())
    labels = np.array([_labels(found, row.study) for row in candidates], np.int8)
    frontal = np.ones(len(candidates), bool)
    drawn = five_by_200.positions_of_5x200(labels.reshape(-1, len(CHEXPERT_LABELS)), frontal)
    listed = [candidates[i] for i in drawn.tolist()]
    patients, test = {row.patient for row in listed}, set(listed)
    kept = []
    for row, split in chosen:
        if split == "test":
            left_out["official_test"] += 1
        elif row.patient not in patients:
            kept.append((row, split))
        elif row not in test:
            left_out["patient_of_5x200"] += 1
    return [*kept, *((row, "test") for row in listed)]
