"""Writes the reports of the easy config: one author, few phrasings.

Its words and its random draws stay as they are, byte for byte: the demo's numbers rest on them.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, Finding, Kind, Severity
from data_pipelines.phantom.phrases import (
    ABOUT_NOTHING,
    JOINT_ABSENT,
    NORMAL_IMPRESSION,
    PHRASES,
)
from data_pipelines.phantom.report import Link, Region, Report, Sentence
from data_pipelines.phantom.wording import denial, sentence
from data_pipelines.records import Label

_OMITTED = 0.06  # of the findings present, as readers do
_HEDGED = 0.05
_DENIED = 0.45  # of the findings absent
_MAX_FINDINGS, _MIN_FINDINGS, _MAX_IMPRESSION = 7, 3, 3
_SAID_OF_BOTH = ("both", "bilateral")


def write(findings: tuple[Finding, ...], rng: np.random.Generator) -> Report:
    """The report of a study. Equal arguments and generator state give equal words."""
    spoken = [i for i in range(len(findings)) if rng.random() >= _OMITTED][:_MAX_FINDINGS]
    said = [_say(findings[i], i, rng, impression=False) for i in spoken]
    denied = _deny({finding.kind for finding in findings}, rng)
    idle = [sentence(text) for text in ABOUT_NOTHING]
    idle = [idle[i] for i in rng.permutation(len(idle))]
    room = _MAX_FINDINGS - len(said)
    few = min(room, int(rng.choice(3, p=(0.4, 0.4, 0.2))))
    body = said + idle[:few] + denied[: room - few]
    body += idle[few : few + max(0, _MIN_FINDINGS - len(body))]
    body = [body[i] for i in rng.permutation(len(body))]

    keep = [i for i in spoken if rng.random() < 0.75][:_MAX_IMPRESSION]
    closing = [_say(findings[i], i, rng, impression=True) for i in keep]
    if not closing:
        acute = [i for i in spoken if LABEL_OF[findings[i].kind] != "Support Devices"]
        if acute:
            closing = [_say(findings[acute[0]], acute[0], rng, impression=True)]
        else:
            text = _pick(NORMAL_IMPRESSION[: 3 if not spoken else 2], rng)
            closing = [sentence(text, Link("No Finding", Label.POSITIVE))]
    return Report(tuple(body), tuple(closing))


def every_sentence() -> Iterator[str]:
    """Every text that `write` can write."""
    for own in PHRASES.values():
        texts = own.present + own.impression + own.hedged + own.absent
        texts += own.bilateral + own.bilateral_impression
        slots = itertools.product(("left", "right"), ("upper", "mid", "lower"), own.grades)
        for side, zone, grade in slots:
            for text in texts:
                yield sentence(text.format(side=side, zone=zone, grade=grade)).text
    for texts in (*JOINT_ABSENT.values(), NORMAL_IMPRESSION, ABOUT_NOTHING):
        for text in texts:
            yield sentence(text).text


def _pick(texts: tuple[str, ...], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]


def _say(finding: Finding, index: int, rng: np.random.Generator, *, impression: bool) -> Sentence:
    own = PHRASES[finding.kind]
    two = len(finding.sides) == 2 and bool(own.bilateral)
    texts = own.bilateral if two else own.present
    if impression:
        texts = own.bilateral_impression if two else own.impression
    polarity = Label.POSITIVE
    if own.hedged and not two and rng.random() < _HEDGED:
        texts, polarity = own.hedged, Label.UNCERTAIN
    template = _pick(texts, rng)
    text = template.format(
        side=finding.sides[0].value if finding.sides else "",
        zone=finding.zone.value if finding.zone else "",
        grade=own.grades[Severity(finding.severity)],
    )
    return sentence(text, Link(finding.label, polarity, index, _region(template, finding)))


def _region(template: str, finding: Finding) -> Region | None:
    sides = finding.sides if "{side}" in template else ()
    if any(word in template for word in _SAID_OF_BOTH):
        sides = (Side.RIGHT, Side.LEFT)
    zone = finding.zone if "{zone}" in template else None
    return Region(sides, zone) if sides or zone else None


def _deny(present: set[Kind], rng: np.random.Generator) -> list[Sentence]:
    """Sentences on what is not there, in a random order."""
    absent = [kind for kind in DIFFICULTY["easy"].prevalence if kind not in present]
    sentences: list[Sentence] = []
    for pair, texts in JOINT_ABSENT.items():
        if set(pair) <= set(absent) and rng.random() < 0.5:
            text = _pick(texts, rng)
            sentences.append(sentence(text, *(denial(LABEL_OF[kind], text) for kind in pair)))
            absent = [kind for kind in absent if kind not in pair]
    for kind in absent:
        if rng.random() < _DENIED:
            text = _pick(PHRASES[kind].absent, rng)
            sentences.append(sentence(text, denial(LABEL_OF[kind], text)))
    return [sentences[i] for i in rng.permutation(len(sentences))]
