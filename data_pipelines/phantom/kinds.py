"""What can be found on a phantom: kinds, places, grades, and one finding of one image."""

import dataclasses
import enum

from data_pipelines.phantom.anatomy import Side


class Kind(enum.Enum):
    """A finding, as the renderer draws it."""

    CARDIOMEGALY = "cardiomegaly"
    EDEMA = "edema"
    CONSOLIDATION = "consolidation"
    ATELECTASIS = "atelectasis"
    PNEUMOTHORAX = "pneumothorax"
    EFFUSION = "effusion"
    LESION = "lesion"
    OPACITY = "opacity"
    PNEUMONIA = "pneumonia"
    WIDE_MEDIASTINUM = "wide mediastinum"
    THICKENING = "pleural thickening"
    FRACTURE = "fracture"
    PACEMAKER = "pacemaker"
    CENTRAL_LINE = "central line"
    TUBE = "tube"


# The CheXpert label (data_pipelines.records.CHEXPERT_LABELS) each kind counts as.
LABEL_OF = {
    Kind.CARDIOMEGALY: "Cardiomegaly",
    Kind.EDEMA: "Edema",
    Kind.CONSOLIDATION: "Consolidation",
    Kind.ATELECTASIS: "Atelectasis",
    Kind.PNEUMOTHORAX: "Pneumothorax",
    Kind.EFFUSION: "Pleural Effusion",
    Kind.LESION: "Lung Lesion",
    Kind.OPACITY: "Lung Opacity",
    Kind.PNEUMONIA: "Pneumonia",
    Kind.WIDE_MEDIASTINUM: "Enlarged Cardiomediastinum",
    Kind.THICKENING: "Pleural Other",
    Kind.FRACTURE: "Fracture",
    Kind.PACEMAKER: "Support Devices",
    Kind.CENTRAL_LINE: "Support Devices",
    Kind.TUBE: "Support Devices",
}
# What a kind implies without being drawn as it: labels that its presence neither confirms nor
# denies, since every airspace finding is an opacity and a large heart widens the silhouette.
_LEAVES_OPEN = {
    Kind.CARDIOMEGALY: ("Enlarged Cardiomediastinum",),
    Kind.EDEMA: ("Lung Opacity",),
    Kind.CONSOLIDATION: ("Lung Opacity",),
    Kind.PNEUMONIA: ("Lung Opacity", "Consolidation"),
    Kind.ATELECTASIS: ("Lung Opacity",),
    Kind.LESION: ("Lung Opacity",),
}
DEVICES = (Kind.PACEMAKER, Kind.CENTRAL_LINE, Kind.TUBE)
COUNTED = (Kind.LESION, Kind.FRACTURE)  # whose `Finding.number` may be more than one


class Zone(enum.Enum):
    """A third of the lung, by height."""

    UPPER = "upper"
    MID = "mid"
    LOWER = "lower"


class Severity(enum.IntEnum):
    """Small or mild, moderate, large or severe."""

    MILD = 0
    MODERATE = 1
    SEVERE = 2


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding of one image.

    Attributes:
      sides: one side, or both for a bilateral finding; empty where a side says nothing (heart).
      zone: third of the lung, or None where it does not apply: pneumonia of both sides is
        strewn over the lungs and has none.
      size: 0..1, from the least to the most that is drawn; `severity` is its third.
      seed: of the finding's own shape.
      number: how many of it there are: nodules, broken ribs.
    """

    kind: Kind
    sides: tuple[Side, ...]
    zone: Zone | None
    size: float
    seed: int
    number: int = 1

    @property
    def label(self) -> str:
        return LABEL_OF[self.kind]

    @property
    def severity(self) -> Severity:
        return Severity(min(2, int(self.size * 3)))


def open_labels(findings: tuple[Finding, ...]) -> set[str]:
    """Labels that cannot be called absent, though no finding is of them."""
    implied = {label for f in findings for label in _LEAVES_OPEN.get(f.kind, ())}
    return implied - {finding.label for finding in findings}
