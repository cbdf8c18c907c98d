"""What a word list of one kind of finding holds, and the voices that fill its slots.

Slots, each filled from the finding that is spoken of; a phrase whose slot cannot be filled is not
used. Of places: {side} left|right|bilateral, {hand} left|right, {on} "on the left", {lung} "the
left lung", {base} "the left base", {both} "both", {zone} upper|mid|lower, {lobe} "left upper
lobe", {lobar} the same before a noun. Of degree: {grade}; {lump} and {lumps}, a nodule or a mass by
size. Of number: {number}.
"""

import dataclasses
import enum


class Register(enum.Enum):
    """Which words an author knows."""

    FULL = "full"
    SHORT = "short"
    OTHER = "other"  # of the author whom training never hears


class Scale(enum.Enum):
    """Which words {grade} takes."""

    SIZES = "sizes"
    GRADES = "grades"


@dataclasses.dataclass(frozen=True)
class Words:
    """How one register speaks of one kind of finding; sentences are without their period.

    Attributes:
      one, many, mass: noun phrases without an article: of one that can be counted, of several or of
        both sides, and of what cannot be counted.
      told, told_many: whole sentences, of one or of what cannot be counted, and of several.
      doubted: whole sentences that leave it open.
      names: what is put after "no".
      absent: whole sentences that deny it.
      scale: of {grade}.
    """

    one: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    mass: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    told_many: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    scale: Scale = Scale.GRADES


@dataclasses.dataclass(frozen=True)
class Voice:
    """How a register fills the slots.

    Attributes:
      hands: of the right and of the left. bilateral: of both.
      scales: three tuples of synonyms, from least to most, the usual one first.
      numbers: 2, 3, 4 -> synonyms.
      lobes, lobar: (right, left) -> of the upper, mid and lower third; alone, and before a noun.
    """

    hands: tuple[str, str]
    bilateral: str
    scales: dict[Scale, tuple[tuple[str, ...], ...]]
    numbers: dict[int, tuple[str, ...]]
    lobes: tuple[tuple[str, str, str], tuple[str, str, str]]
    lobar: tuple[tuple[str, str, str], tuple[str, str, str]]


_RIGHT = ("right upper lobe", "right middle lobe", "right lower lobe")
_LEFT = ("left upper lobe", "lingula", "left lower lobe")
_SHORT = (("RUL", "RML", "RLL"), ("LUL", "lingula", "LLL"))
_ZONES = tuple(
    tuple(f"{side} {zone} zone" for zone in ("upper", "mid", "lower")) for side in ("right", "left")
)
VOICES = {
    Register.FULL: Voice(
        hands=("right", "left"),
        bilateral="bilateral",
        scales={
            Scale.SIZES: (("small", "tiny"), ("moderate",), ("large",)),
            Scale.GRADES: (("mild", "minimal"), ("moderate",), ("severe", "marked")),
        },
        numbers={2: ("two",), 3: ("three", "multiple"), 4: ("multiple", "several", "four")},
        lobes=(_RIGHT, _LEFT),
        lobar=(_RIGHT, ("left upper lobe", "lingular", "left lower lobe")),
    ),
    Register.SHORT: Voice(
        hands=("R", "L"),
        bilateral="bilat",
        scales={
            Scale.SIZES: (("small", "tiny"), ("mod",), ("large", "lg")),
            Scale.GRADES: (("mild", "min"), ("mod",), ("severe",)),
        },
        numbers={2: ("2", "two"), 3: ("3", "mult"), 4: ("mult", "4")},
        lobes=_SHORT,
        lobar=_SHORT,
    ),
    Register.OTHER: Voice(
        hands=("right", "left"),
        bilateral="bilateral",
        scales={
            Scale.SIZES: (("minor",), ("medium sized",), ("sizeable",)),
            Scale.GRADES: (("slight",), ("middling",), ("gross",)),
        },
        numbers={2: ("a couple of",), 3: ("three separate",), 4: ("numerous",)},
        lobes=_ZONES,
        lobar=_ZONES,
    ),
}
