"""Puts one thing into words: a finding, a doubt, a denial.

Whatever may be worded in several ways asks `choose` for one, so that one code both writes reports
(`usual`) and lists every sentence that it could write (`every_outcome`).
"""

import functools
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import DEVICES, LABEL_OF, Finding, Kind, Severity, Zone
from data_pipelines.phantom.frames import APART, FRAMES, OTHER_SIDE, TOGETHER, Frames, Style
from data_pipelines.phantom.idle_words import CLEAR, GROUPS
from data_pipelines.phantom.report import Link, Region, Sentence
from data_pipelines.phantom.words import VOICES, Register, Words
from data_pipelines.phantom.words_chest import CHEST
from data_pipelines.phantom.words_devices import DEVICE_WORDS
from data_pipelines.phantom.words_lungs import LUNGS
from data_pipelines.records import Label

Choose = Callable[[Sequence[Any]], Any]
T = TypeVar("T")
LEXICON: dict[Register, dict[Kind, Words]] = {
    register: LUNGS[register] | CHEST[register] | DEVICE_WORDS[register] for register in Register
}
# The kind whose words deny a label.
KIND_OF = {label: kind for kind, label in reversed(LABEL_OF.items())} | {
    "Support Devices": Kind.PACEMAKER
}
SIDELESS = (Kind.CARDIOMEGALY, Kind.WIDE_MEDIASTINUM, Kind.TUBE)
HEADING = {label: group.capitalize() for group, labels in GROUPS.items() for label in labels}
_SIDES, _ZONES = (Side.RIGHT, Side.LEFT), tuple(Zone)
_TELLS_SIDES = {"side", "hand", "on", "lung", "base", "both", "lobe", "lobar"}
_TELLS_ZONE = {"zone", "lobe", "lobar"}
_AFFIX_OF_ONE, _AFFIX_OF_MANY = {"is": "is", "have": "has"}, {"is": "are", "have": "have"}


def usual(rng: np.random.Generator) -> Choose:
    """Chooses the first ways to say a thing most often, as people do."""
    return lambda options: options[int(len(options) * rng.random() ** 1.7)]


def every_outcome(make: Callable[[Choose], T]) -> Iterator[T]:
    """What `make` returns under every sequence of choices."""
    path: list[list[int]] = []  # of each choice so far: which, of how many

    while True:
        depth = 0

        def choose(options: Sequence[Any]) -> Any:
            nonlocal depth
            if depth == len(path):
                path.append([0, len(options)])
            depth += 1
            return options[path[depth - 1][0]]

        yield make(choose)
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        if not path:
            return
        path[-1][0] += 1


def sentence(text: str, *links: Link) -> Sentence:
    return Sentence(text[0].upper() + text[1:] + ".", links)


def tell(
    choose: Choose, style: Style, finding: Finding, index: int | None, *, impression: bool = False
) -> Sentence:
    """A finding that is there; the words do not depend on `index`."""
    frames, words = FRAMES[style], LEXICON[FRAMES[style].register][finding.kind]
    whole = () if impression else _told(words, finding)
    framed = frames.impression if impression else frames.present
    text, region = _worded(choose, frames, framed, whole, finding)
    link = Link(finding.label, Label.POSITIVE, index, region)
    return sentence(text if impression else _headed(frames, text, (finding.label,)), link)


def doubt(choose: Choose, style: Style, finding: Finding, index: int | None) -> Sentence:
    """A finding that may be there."""
    frames, words = FRAMES[style], LEXICON[FRAMES[style].register][finding.kind]
    whole = _fillable(words.doubted, finding)
    text, region = _worded(choose, frames, frames.doubted, whole, finding)
    link = Link(finding.label, Label.UNCERTAIN, index, region)
    return sentence(_headed(frames, text, (finding.label,)), link)


def deny(choose: Choose, style: Style, labels: tuple[str, ...], *, headed: bool = True) -> Sentence:
    """What is not there: one label, or several of GROUPS's order after one "no"."""
    frames = FRAMES[style]
    words = [LEXICON[frames.register][KIND_OF[label]] for label in labels]
    whole = words[0].absent if len(words) == 1 else ()
    frame = choose(frames.absent + whole)
    if len(words) == 1:
        text = frame.replace("{x}", choose(words[0].names)) if "{x}" in frame else frame
    else:
        names = [w.names[0] for w in words]
        text = frame.replace("{x}", ", ".join(names[:-1]) + " or " + names[-1])
    links = (denial(label, text) for label in labels)
    return sentence(_headed(frames, text, labels) if headed else text, *links)


def deny_group(choose: Choose, style: Style, labels: tuple[str, ...]) -> Sentence:
    """One of CLEAR's sentences."""
    frames = FRAMES[style]
    text = choose(CLEAR[frames.register][labels])
    return sentence(_headed(frames, text, labels), *(denial(label, text) for label in labels))


def deny_other_side(choose: Choose, style: Style, finding: Finding) -> Sentence:
    """Of a finding on one side: the other side has none."""
    frames = FRAMES[style]
    other = Finding(finding.kind, (_other(finding.sides[0]),), None, 0.0, 0)
    text, region = _fill(choose, choose(OTHER_SIDE[frames.register][finding.kind]), frames, other)
    link = Link(finding.label, Label.NEGATIVE, None, region)
    return sentence(_headed(frames, text, (finding.label,)), link)


def tell_with(
    choose: Choose, style: Style, finding: Finding, index: int | None, other: Kind | str, to: int
) -> Sentence:
    """A finding with another (a kind, whose index is `to`), or without a label (a name)."""
    frames = FRAMES[style]
    if isinstance(other, Kind):
        tails, second = TOGETHER, Link(LABEL_OF[other], Label.POSITIVE, to)
    else:
        tails, second = APART, Link(other, Label.NEGATIVE)
    tail = choose(tails[frames.register][finding.kind, other])
    text, region = _worded(choose, frames, frames.mixed, (), finding)
    text = text.replace("{tail}", tail)
    first = Link(finding.label, Label.POSITIVE, index, region)
    labels = (finding.label, second.label)
    return sentence(_headed(frames, text, labels), first, second)


def denial(label: str, text: str) -> Link:
    """The link of a sentence that denies a label altogether."""
    either = _SIDES if "either side" in text or "either lung" in text else ()
    return Link(label, Label.NEGATIVE, None, Region(either) if either else None)


def _headed(frames: Frames, text: str, labels: tuple[str, ...]) -> str:
    if not frames.headings:
        return text
    headings = list(dict.fromkeys(HEADING[label] for label in labels))
    return (headings[0] if len(headings) == 1 else "Chest") + ": " + text


def _other(side: Side) -> Side:
    return _SIDES[1 - _SIDES.index(side)]


def _is_many(words: Words, finding: Finding) -> bool:
    return bool(words.many) and (finding.number > 1 or len(finding.sides) == 2)


def _told(words: Words, finding: Finding) -> tuple[str, ...]:
    told = words.told_many if _is_many(words, finding) else words.told
    return _fillable(told, finding)


def _worded(choose: Choose, frames: Frames, framed, whole, finding: Finding):
    """A sentence of `whole`, or one of the finding's noun phrases within one of `framed`."""
    words = LEXICON[frames.register][finding.kind]
    many = _is_many(words, finding)
    if finding.kind in DEVICES:  # one does not grow
        framed = tuple(frame for frame in framed if "increase" not in frame)
    frame = choose(tuple(framed) + tuple(whole))
    if frame not in framed:
        return _fill(choose, frame, frames, finding)
    counted = _fillable(words.many if many else words.one, finding)
    noun = choose(counted + _fillable(words.mass, finding))
    text, region = _fill(choose, noun, frames, finding)
    with_article = text
    if noun in counted and not many:
        with_article = ("an " if text[0] in "aeiou" else "a ") + text
    affixes = _AFFIX_OF_MANY if many and noun in counted else _AFFIX_OF_ONE
    return frame.format(a=with_article, n=text, tail="{tail}", **affixes), region


@functools.cache
def _slots(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)


def _fillable(templates: tuple[str, ...], finding: Finding) -> tuple[str, ...]:
    can = _can_fill(len(finding.sides), finding.zone is not None, finding.number > 1)
    return tuple(template for template in templates if _slots(template) <= can)


@functools.cache
def _can_fill(sides: int, zoned: bool, several: bool) -> set[str]:
    slots = {"grade", "lump", "lumps"}
    slots |= {"side", "on", "lung", "base"} if sides else set()
    slots |= {"hand"} if sides == 1 else {"both"} if sides == 2 else set()
    slots |= {"zone", "lobe", "lobar"} if zoned and sides == 1 else set()
    return slots | ({"number"} if several else set())


def _fill(choose: Choose, template: str, frames: Frames, finding: Finding):
    """The template with the finding's words in it, and the place that they name."""
    slots, voice = _slots(template), VOICES[frames.register]
    words: dict[str, str] = {}
    if "grade" in slots:
        scale = LEXICON[frames.register][finding.kind].scale
        words["grade"] = choose(voice.scales[scale][finding.severity])
    if "number" in slots:
        words["number"] = choose(voice.numbers[min(finding.number, 4)])
    lump = "mass" if finding.severity is Severity.SEVERE else "nodule"
    words |= {"lump": lump, "lumps": "masses" if lump == "mass" else "nodules", "both": "both"}
    if finding.zone:
        words["zone"] = finding.zone.value
    if len(finding.sides) == 1:
        number = _SIDES.index(finding.sides[0])
        hand = voice.hands[number]
        words |= {"side": hand, "hand": hand, "on": f"on the {hand}", "lung": f"the {hand} lung"}
        words["base"] = f"the {hand} base"
        if finding.zone:
            zone = _ZONES.index(finding.zone)
            words |= {"lobe": voice.lobes[number][zone], "lobar": voice.lobar[number][zone]}
    elif finding.sides:
        words |= {"side": voice.bilateral, "on": "on both sides", "lung": "both lungs"}
        words["base"] = "both bases"
    sides = tuple(sorted(finding.sides, key=_SIDES.index)) if slots & _TELLS_SIDES else ()
    zone = finding.zone if slots & _TELLS_ZONE else None
    return template.format(**words), Region(sides, zone) if sides or zone else None
