"""Writes a study's report from its findings: what is said, denied, doubted and left out."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from data_pipelines.phantom.findings import DIFFICULTY, LABEL_OF, Finding, Kind, Severity
from data_pipelines.phantom.phrases import (
    ABOUT_NOTHING,
    COMMON,
    JOINT_ABSENT,
    NORMAL_IMPRESSION,
    WIDER,
    WIDER_ABOUT_NOTHING,
    Phrases,
)
from data_pipelines.phantom.phrases_wider import ADDED, SEVERAL_LESIONS
from data_pipelines.records import Label

_OMITTED = 0.06  # of the findings present, as readers do
_HEDGED = 0.05
_DENIED = 0.45  # of the findings absent
_NOT_CLEAR = {"Atelectasis", "Lung Lesion", "Lung Opacity", "Pneumonia"}
_NUMBERS = ("two", "three", "multiple")
_MAX_FINDINGS, _MIN_FINDINGS, _MAX_IMPRESSION = 7, 3, 3


@dataclasses.dataclass(frozen=True)
class Link:
    """A sentence speaks of a label.

    Attributes:
      label: a CheXpert label.
      polarity: POSITIVE, NEGATIVE, or UNCERTAIN where it is doubted.
      finding: index of the finding meant, or None.
    """

    label: str
    polarity: Label
    finding: int | None = None


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One sentence, with its period, and what it speaks of."""

    text: str
    links: tuple[Link, ...] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """A report by its two sections."""

    findings: tuple[Sentence, ...]
    impression: tuple[Sentence, ...]

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """Findings before impression."""
        return self.findings + self.impression


def phrases(config: str, kind: Kind) -> Phrases:
    """Every phrasing a config has for a kind."""
    if kind in ADDED:
        return ADDED[kind]
    common, wider = COMMON.get(kind), WIDER.get(kind)
    if config == "easy" or wider is None:
        return common
    if kind is Kind.LESION:
        common, wider = wider, SEVERAL_LESIONS
    if common is None:
        return wider
    fields = {f.name for f in dataclasses.fields(Phrases)} - {"grades"}
    merged = {name: getattr(common, name) + getattr(wider, name) for name in fields}
    return Phrases(grades=common.grades, **merged)


def about_nothing(config: str) -> tuple[str, ...]:
    texts = ABOUT_NOTHING + (() if config == "easy" else WIDER_ABOUT_NOTHING)
    if Kind.FRACTURE in DIFFICULTY[config].prevalence:
        texts = tuple(text for text in texts if "bones" not in text and "osseous" not in text)
    return texts


def write_report(config: str, findings: tuple[Finding, ...], rng: np.random.Generator) -> Report:
    """The report of a study. Equal arguments and generator state give equal words."""
    spoken = [i for i in range(len(findings)) if rng.random() >= _OMITTED][:_MAX_FINDINGS]
    said = [_say(config, findings[i], i, rng, impression=False) for i in spoken]
    denied = _deny(config, {finding.kind for finding in findings}, rng)
    idle = [_sentence(text) for text in about_nothing(config)]
    idle = [idle[i] for i in rng.permutation(len(idle))]
    room = _MAX_FINDINGS - len(said)
    few = min(room, int(rng.choice(3, p=(0.4, 0.4, 0.2))))
    body = said + idle[:few] + denied[: room - few]
    body += idle[few : few + max(0, _MIN_FINDINGS - len(body))]
    body = [body[i] for i in rng.permutation(len(body))]

    keep = [i for i in spoken if rng.random() < 0.75][:_MAX_IMPRESSION]
    closing = [_say(config, findings[i], i, rng, impression=True) for i in keep]
    if not closing:
        acute = [i for i in spoken if LABEL_OF[findings[i].kind] != "Support Devices"]
        if acute:
            closing = [_say(config, findings[acute[0]], acute[0], rng, impression=True)]
        else:
            text = _pick(NORMAL_IMPRESSION[: 3 if not spoken else 2], rng)
            closing = [_sentence(text, Link("No Finding", Label.POSITIVE))]
    return Report(tuple(body), tuple(closing))


def every_sentence(config: str) -> Iterator[str]:
    """Every text a config can write, so that a test can prove what it never writes."""
    for kind in DIFFICULTY[config].prevalence:
        own = phrases(config, kind)
        texts = own.present + own.impression + own.hedged + own.absent
        texts += own.bilateral + own.bilateral_impression + own.several + own.several_impression
        sides, zones, numbers = ("left", "right"), ("upper", "mid", "lower"), _NUMBERS
        for side, zone, grade, number in itertools.product(sides, zones, own.grades, numbers):
            for text in texts:
                filled = text.format(side=side, zone=zone, grade=grade, number=number)
                yield _sentence(filled).text
    for texts in (*JOINT_ABSENT.values(), NORMAL_IMPRESSION, about_nothing(config)):
        for text in texts:
            yield _sentence(text).text


def _pick(texts: tuple[str, ...], rng: np.random.Generator) -> str:
    return texts[int(rng.integers(len(texts)))]


def _sentence(text: str, *links: Link) -> Sentence:
    return Sentence(text[0].upper() + text[1:] + ".", links)


def _say(config, finding: Finding, index: int, rng, *, impression: bool) -> Sentence:
    own = phrases(config, finding.kind)
    two = len(finding.sides) == 2 and bool(own.bilateral)
    several = finding.number > 1 and not two and bool(own.several)
    texts = own.bilateral if two else own.several if several else own.present
    if impression:
        texts = own.bilateral_impression if two else own.impression
        texts = own.several_impression if several else texts
    polarity = Label.POSITIVE
    if own.hedged and not two and not several and rng.random() < _HEDGED:
        texts, polarity = own.hedged, Label.UNCERTAIN
    text = _pick(texts, rng).format(
        side=finding.sides[0].value if finding.sides else "",
        zone=finding.zone.value if finding.zone else "",
        grade=own.grades[Severity(finding.severity)],
        number=_NUMBERS[min(finding.number, 4) - 2],
    )
    return _sentence(text, Link(finding.label, polarity, index))


def _deny(config: str, present: set[Kind], rng: np.random.Generator) -> list[Sentence]:
    """Sentences on what is not there, in a random order."""
    labels_present = {LABEL_OF[kind] for kind in present}
    absent = [k for k in DIFFICULTY[config].prevalence if LABEL_OF[k] not in labels_present]
    sentences: list[Sentence] = []
    for pair, texts in JOINT_ABSENT.items():
        clear = set(pair) <= set(absent)
        # "The lungs are clear" would deny what else a lung can show.
        if "lungs" in texts[0] and labels_present & _NOT_CLEAR:
            clear = False
        if clear and rng.random() < 0.5:
            links = [Link(LABEL_OF[kind], Label.NEGATIVE) for kind in pair]
            sentences.append(_sentence(_pick(texts, rng), *links))
            absent = [kind for kind in absent if kind not in pair]
    for kind in absent:
        if rng.random() < _DENIED:
            text = _pick(phrases(config, kind).absent, rng)
            sentences.append(_sentence(text, Link(LABEL_OF[kind], Label.NEGATIVE)))
    return [sentences[i] for i in rng.permutation(len(sentences))]
