"""How a study's findings are drawn by chance, and where they are placed."""

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.difficulty import DIFFICULTY, Difficulty, Shift, difficulty
from data_pipelines.phantom.kinds import (
    COUNTED,
    DEVICES,
    LABEL_OF,
    Finding,
    Kind,
    Severity,
    Zone,
    open_labels,
)

__all__ = [
    "COUNTED",
    "DEVICES",
    "DIFFICULTY",
    "LABEL_OF",
    "Difficulty",
    "Finding",
    "Kind",
    "Severity",
    "Shift",
    "Zone",
    "difficulty",
    "draw_findings",
    "open_labels",
]


def draw_findings(
    config: str,
    view: str,
    rng: np.random.Generator,
    split: str = "train",
    shift: Shift = Shift.NONE,
) -> tuple[Finding, ...]:
    """The findings of one study, each kind at most once, in a fixed order of kinds.

    The split matters where a config has a shortcut, which the test split lacks.
    """
    own = difficulty(config, split, shift)
    present: list[Kind] = []
    for kind in own.prevalence:
        if rng.random() < min(_chance(kind, present, own, view, split), 0.9):
            present.append(kind)
    placed: dict[Kind, Finding] = {}
    for kind in sorted(present, key=_PLACED_FIRST.index):
        size = own.least + (own.most - own.least) * rng.random() ** own.skew
        sides = _sides(kind, placed, rng)
        zone = _zone(kind, sides, placed, rng)
        seed = int(rng.integers(2**31))
        number = 1 + int(rng.choice(4, p=_MORE)) if kind in COUNTED else 1
        placed[kind] = Finding(kind, sides, zone, float(size), seed, number)
    return tuple(placed[kind] for kind in present)


def _chance(kind: Kind, present: list[Kind], own: Difficulty, view: str, split: str) -> float:
    """How likely a kind is beside those that are present."""
    way = own.shortcut
    if way is not None and kind is way.device:
        if split == "test":
            return way.anyway
        return way.beside if way.finding in present else way.otherwise
    chance = own.prevalence[kind]
    for other in present:
        chance *= own.company.get((other, kind), 1.0)
    return chance * (own.portable_devices if kind in DEVICES and view == "AP" else 1.0)


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
