"""PhantomCXR as a source: every study is drawn when it is loaded, and nothing is on disk."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from data_pipelines.phantom import VERSION
from data_pipelines.phantom.anatomy import sample_anatomy
from data_pipelines.phantom.card import write_card
from data_pipelines.phantom.clutter import sample_clutter
from data_pipelines.phantom.exposure import sample_exposure
from data_pipelines.phantom.findings import (
    DIFFICULTY,
    LABEL_OF,
    Finding,
    Shift,
    difficulty,
    draw_findings,
    open_labels,
)
from data_pipelines.phantom.grammar import Report, Style, write_report
from data_pipelines.phantom.lateral import render_lateral
from data_pipelines.phantom.prompts import PROMPTS
from data_pipelines.phantom.renderer import MAX_SIZE, MIN_SIZE, Rendering, render
from data_pipelines.records import CHEXPERT_LABELS, BadInput, Key, Label, Study

VIEWS = ("frontal", "lateral", "all")
_SECOND_STUDY = 0.25  # of the patients come twice
_PORTABLE = 0.35  # of the studies are AP
# Of every 25 patients in a row, so that shares are exact and a patient's split depends neither on
# how many patients there are nor on anything but the seed.
_SPLIT_BLOCK = ("train",) * 20 + ("validation",) * 2 + ("test",) * 3


@dataclasses.dataclass(frozen=True)
class PhantomSource:
    """Synthetic patients with exact truth. Implements records.Source; nothing in it is a person.

    Attributes:
      config: "easy" (six large findings, nothing else), "default" (all 13 labels, smaller, in
        company, as a clinic takes them) or "hard" (smaller still, with mimics, clutter and a
        shortcut that the test split lacks).
      patients: how many; each has one or two studies.
      size: side of the square images, 64..1024.
      seed: other seeds are other patients.
      shift: in what the test split differs from training: "none", "scanner", "author", "labels".
      views: "frontal" (one image a study), "lateral", or "all": some PA images of the wider
        configs have a lateral one beside them, with the same report.
    """

    config: str = "easy"
    patients: int = 1000
    size: int = 256
    seed: int = 0
    shift: str = "none"
    views: str = "frontal"

    name = "phantom_cxr"
    shareable = True
    has_reports = True
    published_counts: ClassVar[Mapping[str, int]] = {}
    left_out: ClassVar[Mapping[str, int]] = {}

    def __post_init__(self):
        if self.config not in DIFFICULTY:
            choices = ", ".join(DIFFICULTY)
            raise BadInput("phantom_config", f"config={self.config!r}: choose one of {choices}")
        if self.shift not in (choices := [shift.value for shift in Shift]):
            raise BadInput(
                "phantom_shift", f"shift={self.shift!r}: choose one of {', '.join(choices)}"
            )
        if self.views not in VIEWS:
            raise BadInput(
                "phantom_views", f"views={self.views!r}: choose one of {', '.join(VIEWS)}"
            )
        if self.views == "lateral" and not DIFFICULTY[self.config].laterals:
            raise BadInput(
                "phantom_views", f"{self.config} has no lateral images: choose default or hard"
            )
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise BadInput(
                "phantom_size", f"size={self.size}: choose one within {MIN_SIZE}..{MAX_SIZE}"
            )
        if self.seed < 0:
            raise BadInput("phantom_seed", f"seed={self.seed}: choose 0 or more")
        if self.patients < 1:
            raise BadInput("phantom_patients", f"patients={self.patients}: draw at least 1")

    @property
    def version(self) -> str:
        shifted = "" if self.shift == "none" else f"-{self.shift}-shift"
        views = "" if self.views == "frontal" else f"-{self.views}"
        return f"{VERSION}-synthetic-{self.config}{views}-{self.size}px-seed{self.seed}{shifted}"

    @property
    def split_rule(self) -> str:
        return (
            f"of every {len(_SPLIT_BLOCK)} patients in a row, ordered by a hash of (seed"
            f" {self.seed}, patient): 20 train, 2 validation, 3 test"
        )

    def keys(self) -> Sequence[Key]:
        keys = []
        for patient in range(self.patients):
            name, split = f"phantom{self.seed}-{patient:07d}", split_of(self.seed, patient)
            for study in range(1 + (_share(self.seed, patient, "studies") < _SECOND_STUDY)):
                study_id = f"{name}-s{study}"
                for image in self._images(patient, study):
                    keys.append(Key(f"{study_id}-i{image}", study_id, name, split))
        return keys

    def _images(self, patient: int, study: int) -> Sequence[int]:
        """Which images of a study are taken: 0 is the frontal, 1 the lateral one."""
        if self.views == "frontal":
            return (0,)
        beside = _share(self.seed, patient, f"lateral {study}") < DIFFICULTY[self.config].laterals
        if self._frontal(patient, study) == "AP" or not beside:
            return (0,) if self.views == "all" else ()
        return (0, 1) if self.views == "all" else (1,)

    def _frontal(self, patient: int, study: int) -> str:
        rng = np.random.default_rng([self.seed, patient, study, 107])
        return "AP" if rng.random() < _PORTABLE else "PA"

    def load(self, key: Key) -> Study:
        patient, study, image = _numbers(key)
        view, findings, report = self.truth(patient, study)
        view = "LATERAL" if image else view
        rendering = self.draw(patient, study, view, findings)
        return _study(self.config, view, findings, report, rendering)

    def truth(self, patient: int, study: int) -> tuple[str, tuple[Finding, ...], Report]:
        """View of the frontal image, findings and report of a study, without drawing it."""
        rng = np.random.default_rng([self.seed, patient, study, 107])
        view = "AP" if rng.random() < _PORTABLE else "PA"
        split = split_of(self.seed, patient)
        findings = draw_findings(self.config, view, rng, split, Shift(self.shift))
        words = np.random.default_rng([self.seed, patient, study, 109])
        elsewhere = split == "test" and Shift(self.shift) is Shift.AUTHOR
        style = Style.OTHER if elsewhere else None
        return view, findings, write_report(self.config, findings, words, style)

    def draw(self, patient: int, study: int, view: str, findings: tuple[Finding, ...]) -> Rendering:
        """A picture of a study; `view` and `findings` may be other than its own, to compare."""
        own = difficulty(self.config, split_of(self.seed, patient), Shift(self.shift))
        anatomy = sample_anatomy(self.seed, patient, view, study, own.detail)
        exposure = sample_exposure(self.seed, patient, study, view, own.scanner)
        pieces = sample_clutter(own.clutter, self.seed, patient, study, view)
        exposure = dataclasses.replace(exposure, clutter=pieces)
        paint = render_lateral if view == "LATERAL" else render
        return paint(anatomy, findings, exposure, self.size)

    def card(self) -> str:
        """The data card, in Markdown; it says that all of this is synthetic."""
        return write_card(
            self.config,
            size=self.size,
            seed=self.seed,
            shift=Shift(self.shift),
            views=self.views,
        )

    def prompts(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        return PROMPTS[self.config]


def _share(seed: int, patient: int, purpose: str) -> float:
    """A number in 0..1 that depends on its arguments alone."""
    digest = hashlib.blake2b(f"{seed}/{patient}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_of(seed: int, patient: int) -> str:
    """The split of a patient of every config and shift."""
    first = patient - patient % len(_SPLIT_BLOCK)
    own = _share(seed, patient, "split")
    block = range(first, first + len(_SPLIT_BLOCK))
    return _SPLIT_BLOCK[sum(_share(seed, other, "split") < own for other in block)]


def _numbers(key: Key) -> tuple[int, int, int]:
    _, patient, study, image = key.image_id.split("-")
    return int(patient), int(study[1:]), int(image[1:])


def _study(
    config: str, view: str, findings: tuple[Finding, ...], report: Report, rendering: Rendering
) -> Study:
    number = {label: index for index, label in enumerate(CHEXPERT_LABELS)}
    labels = np.full(len(CHEXPERT_LABELS), Label.MISSING, np.int8)
    for kind in DIFFICULTY[config].prevalence:
        labels[number[LABEL_OF[kind]]] = Label.NEGATIVE
    for label in open_labels(findings):
        labels[number[label]] = Label.MISSING
    for finding in findings:
        labels[number[finding.label]] = Label.POSITIVE
    labels[number["No Finding"]] = Label.NEGATIVE if findings else Label.POSITIVE

    box_label = [number[findings[i].label] for i in rendering.finding_of_mask]
    classes = np.zeros(rendering.pixels.shape, np.uint8)
    # The smallest is drawn last, so that what lies within another is not lost.
    for index in np.argsort([-mask.sum() for mask in rendering.masks], kind="stable"):
        classes[rendering.masks[index]] = 1 + box_label[index]
    sentence_box = [
        (sentence, box)
        for sentence, spoken in enumerate(report.sentences)
        for link in spoken.links
        for box, finding in enumerate(rendering.finding_of_mask)
        if link.finding == finding
    ]
    return Study(
        pixels=rendering.pixels,
        findings=report.findings_text,
        impression=report.impression_text,
        view=view,
        labels=labels,
        boxes=rendering.boxes(),
        box_label=np.array(box_label, np.int32),
        mask=classes,
        sentence_box=np.array(sentence_box, np.int32).reshape(-1, 2),
    )
