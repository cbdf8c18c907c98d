"""What can be found on a phantom, and how a study's findings are drawn by chance."""

import dataclasses
import enum

import numpy as np

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


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """Which findings are drawn, how often, and how small they may be.

    Attributes:
      prevalence: kind -> chance in a PA view.
      least: smallest `Finding.size`; what is below it is too small for a small encoder.
      skew: power of the uniform number that sizes are drawn from; above 1, small ones prevail.
      portable_devices: factor on the chance of a device in an AP view.
      company: (kind, other) -> factor on the chance of `other` where `kind` is present.
    """

    prevalence: dict[Kind, float]
    least: float
    skew: float
    portable_devices: float
    company: dict[tuple[Kind, Kind], float]


DIFFICULTY = {
    "easy": Difficulty(
        prevalence={
            Kind.CARDIOMEGALY: 0.30,
            Kind.EDEMA: 0.28,
            Kind.CONSOLIDATION: 0.30,
            Kind.PNEUMOTHORAX: 0.28,
            Kind.EFFUSION: 0.30,
            Kind.PACEMAKER: 0.30,
        },
        least=0.45,
        skew=1.0,
        portable_devices=1.0,
        company={},
    ),
    "default": Difficulty(
        prevalence={
            Kind.CARDIOMEGALY: 0.18,
            Kind.EDEMA: 0.11,
            Kind.CONSOLIDATION: 0.15,
            Kind.PNEUMOTHORAX: 0.10,
            Kind.EFFUSION: 0.17,
            Kind.ATELECTASIS: 0.16,
            Kind.LESION: 0.12,
            Kind.PACEMAKER: 0.09,
            Kind.CENTRAL_LINE: 0.09,
            Kind.TUBE: 0.06,
        },
        least=0.0,
        skew=1.7,
        portable_devices=2.0,
        company={
            (Kind.CARDIOMEGALY, Kind.EDEMA): 2.0,
            (Kind.CARDIOMEGALY, Kind.EFFUSION): 1.6,
            (Kind.CARDIOMEGALY, Kind.PACEMAKER): 1.8,
            (Kind.EDEMA, Kind.EFFUSION): 1.8,
            (Kind.CONSOLIDATION, Kind.EFFUSION): 1.4,
        },
    ),
}


def draw_findings(config: str, view: str, rng: np.random.Generator) -> tuple[Finding, ...]:
    """The findings of one study, each kind at most once, in a fixed order of kinds."""
    difficulty = DIFFICULTY[config]
    present: list[Kind] = []
    for kind, chance in difficulty.prevalence.items():
        for other in present:
            chance *= difficulty.company.get((other, kind), 1.0)
        if kind in DEVICES and view == "AP":
            chance *= difficulty.portable_devices
        if rng.random() < min(chance, 0.9):
            present.append(kind)
    placed: dict[Kind, Finding] = {}
    for kind in sorted(present, key=_PLACED_FIRST.index):
        size = difficulty.least + (1 - difficulty.least) * rng.random() ** difficulty.skew
        sides = _sides(kind, placed, rng)
        zone = _zone(kind, sides, placed, rng)
        seed = int(rng.integers(2**31))
        number = 1 + int(rng.choice(4, p=_MORE)) if kind in COUNTED else 1
        placed[kind] = Finding(kind, sides, zone, float(size), seed, number)
    return tuple(placed[kind] for kind in present)


# What covers most is placed first, so that what follows can keep clear of it and be seen.
_PLACED_FIRST = (
    Kind.CARDIOMEGALY,
    Kind.WIDE_MEDIASTINUM,
    Kind.EFFUSION,
    Kind.PNEUMOTHORAX,
    Kind.EDEMA,
    Kind.CONSOLIDATION,
    Kind.PNEUMONIA,
    Kind.ATELECTASIS,
    Kind.OPACITY,
    Kind.THICKENING,
    Kind.LESION,
    Kind.FRACTURE,
    Kind.PACEMAKER,
    Kind.CENTRAL_LINE,
    Kind.TUBE,
)
_ZONED = (
    Kind.CONSOLIDATION,
    Kind.PNEUMONIA,
    Kind.ATELECTASIS,
    Kind.OPACITY,
    Kind.THICKENING,
    Kind.LESION,
)
_COVERING = (Kind.PNEUMOTHORAX, Kind.EFFUSION, *_ZONED[:4])
_MORE = (0.62, 0.17, 0.14, 0.07)  # one, two, three, four of what comes in numbers
_BOTH = (Side.RIGHT, Side.LEFT)


def _sides(kind: Kind, placed: dict[Kind, Finding], rng: np.random.Generator) -> tuple[Side, ...]:
    either = _BOTH[int(rng.integers(2))]
    bilateral, usual = rng.random() < 0.3, rng.random() < 0.85
    if kind in (Kind.CARDIOMEGALY, Kind.WIDE_MEDIASTINUM, Kind.TUBE):
        return ()
    if kind is Kind.EDEMA or (kind in (Kind.EFFUSION, Kind.PNEUMONIA) and bilateral):
        return _BOTH
    if kind is Kind.PACEMAKER:
        return (Side.LEFT if usual else Side.RIGHT,)
    if kind is Kind.CENTRAL_LINE:
        return (Side.RIGHT if usual else Side.LEFT,)
    if kind is Kind.EFFUSION:
        return (either,)
    crowd = {side: 0.0 for side in Side}
    for other in placed.values():
        for side in other.sides if other.kind in _COVERING else ():
            crowd[side] += 2.0 if other.kind is Kind.PNEUMOTHORAX else 1.0
        if other.kind is Kind.CARDIOMEGALY and kind is not Kind.PNEUMOTHORAX:
            crowd[Side.LEFT] += other.size
    return (min(Side, key=lambda side: (crowd[side], side is not either)),)


def _zone(
    kind: Kind, sides: tuple[Side, ...], placed: dict[Kind, Finding], rng: np.random.Generator
) -> Zone | None:
    pick = rng.random()
    if kind not in _ZONED or (kind is Kind.PNEUMONIA and len(sides) == 2):
        return None
    zones = [Zone.UPPER, Zone.MID, Zone.LOWER]
    if kind in (Kind.ATELECTASIS, Kind.PNEUMONIA):
        zones = [Zone.MID, Zone.LOWER, Zone.LOWER]
    fluid = placed.get(Kind.EFFUSION)
    if fluid and sides[0] in fluid.sides:
        zones = [Zone.UPPER] if fluid.size > 0.55 else [Zone.UPPER, Zone.MID]
    for other in (*_ZONED[:4], Kind.THICKENING):
        if other in placed and placed[other].sides == sides:
            zones = [zone for zone in zones if zone is not placed[other].zone] or zones
    return zones[int(pick * len(zones))]
