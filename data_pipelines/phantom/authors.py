"""Writes reports as several authors would: what each speaks of, in which order, in whose words.

An author first settles which labels to go through, whatever the picture shows, and then tells or
denies each of them. So what a report leaves out cannot be told from what it says: given that a
label is not mentioned, the words depend on the other findings alone.
"""

import dataclasses

import numpy as np

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import DEVICES, LABEL_OF, Finding, Kind, Zone, open_labels
from data_pipelines.phantom.frames import (
    APART,
    FRAMES,
    OTHER_SIDE,
    TOGETHER,
    TRAINING_STYLES,
    Style,
)
from data_pipelines.phantom.idle_words import (
    CLEAR,
    DENIED_TOGETHER,
    GROUPS,
    IDLE,
    NORMAL_IMPRESSION,
    TEMPLATES,
)
from data_pipelines.phantom.report import Link, Report, Sentence
from data_pipelines.phantom.typing_errors import with_typing_errors
from data_pipelines.phantom.wording import (
    KIND_OF,
    SIDELESS,
    Choose,
    deny,
    deny_group,
    deny_other_side,
    doubt,
    sentence,
    tell,
    tell_with,
    usual,
)
from data_pipelines.records import Label

ORDER = tuple(label for labels in GROUPS.values() for label in labels)
_SIDES = (Side.RIGHT, Side.LEFT)
# Who goes through a label goes through these too, because a finding of theirs leaves it open.
_OPENED_BY = {
    label: {
        LABEL_OF[kind] for kind in Kind if label in open_labels((Finding(kind, (), None, 0.0, 0),))
    }
    for label in ORDER
}


@dataclasses.dataclass(frozen=True)
class Manner:
    """How careful the authors of a config are; all are chances.

    Attributes:
      pasted: that the report starts from a normal template. group, single: that an author goes
        through a whole group of labels, or through one. volunteered: that a finding is told which
        the author did not set out to go through; the rest is left out.
      doubted: that a finding is told with doubt. imagined: that what is not there is doubted.
      slip: that a word has a typing error. contradicted: that a report's impression contradicts
        its findings, by side or by denial.
    """

    pasted: float = 0.4
    group: float = 0.15
    single: float = 0.1
    volunteered: float = 0.87
    doubted: float = 0.06
    imagined: float = 0.02
    slip: float = 0.008
    contradicted: float = 0.0


_HARD = Manner(
    volunteered=0.75, pasted=0.3, doubted=0.14, imagined=0.05, slip=0.025, contradicted=0.05
)
MANNERS = {"hard": _HARD}  # of the others, Manner()


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a report speaks of: findings by index, and absent labels in ORDER's order."""

    spoken: tuple[int, ...]
    denied: tuple[str, ...]
    template: tuple = ()


def write(
    config: str, findings: tuple[Finding, ...], rng: np.random.Generator, style: Style | None
) -> Report:
    """The report of a study by an author of `style`, or by any whom training hears."""
    manner = MANNERS.get(config, Manner())
    author = TRAINING_STYLES[int(rng.integers(len(TRAINING_STYLES)))]
    style = style or author
    plan = settle(manner, style, findings, rng)
    choose = usual(rng)
    body = _body(manner, style, findings, plan, choose, rng)
    closing = _closing(style, findings, plan, choose, rng)
    if rng.random() < manner.contradicted:
        closing = _contradict(style, findings, plan, closing, choose, rng)
    if not _is_pasted(plan):
        body = [_typed(spoken, manner.slip, rng) for spoken in body]
        closing = [_typed(spoken, manner.slip, rng) for spoken in closing]
    numbered = len(closing) > 1 and rng.random() < FRAMES[style].numbered
    return Report(tuple(body), tuple(closing), numbered)


def settle(manner: Manner, style: Style, findings, rng: np.random.Generator) -> Plan:
    """Draws the labels to go through without a look at the findings, then looks."""
    through: set[str] = set()
    for labels in GROUPS.values():
        whole = rng.random() < manner.group
        through |= {label for label in labels if rng.random() < manner.single or whole}
    pasted, template = rng.random() < manner.pasted, usual(rng)(TEMPLATES[style])
    if pasted:
        through = {label for _, labels in template for label in labels}
    for label in sorted(through):
        through |= _OPENED_BY[label]
    tells = rng.random(len(findings)) < manner.volunteered
    spoken = [i for i, f in enumerate(findings) if f.label in through or tells[i]]
    undeniable = {finding.label for finding in findings} | open_labels(findings)
    denied = tuple(label for label in ORDER if label in through and label not in undeniable)
    return Plan(tuple(spoken), denied, template if pasted else ())


def _is_pasted(plan: Plan) -> bool:
    """Whether the report is a normal template as it stands."""
    labels = {label for _, own in plan.template for label in own}
    return bool(plan.template) and not plan.spoken and labels >= set(plan.denied)


def _body(manner, style, findings, plan: Plan, choose: Choose, rng) -> list[Sentence]:
    told, left = _telling(manner, style, findings, plan, choose, rng)
    kept = []
    for text, labels in plan.template:
        if labels and set(labels) <= set(left):
            kept.append(sentence(text, *(Link(label, Label.NEGATIVE) for label in labels)))
            left = [label for label in left if label not in labels]
    if kept and not told and not left:
        return kept
    body = told + kept + _denying(manner, style, left, choose, rng)
    if rng.random() < 0.6:  # the order of the organs, as most were taught
        body.sort(key=lambda spoken: ORDER.index(spoken.links[0].label))
    else:
        body = [body[i] for i in rng.permutation(len(body))]
    idle = [sentence(text) for text in IDLE[style]]
    few = max(int(rng.choice(4, p=(0.35, 0.4, 0.2, 0.05))), 2 - len(body))
    for i in rng.permutation(len(idle))[:few]:
        body.insert(int(rng.integers(len(body) + 1)), idle[i])
    return body


def _telling(manner, style, findings, plan: Plan, choose, rng) -> tuple[list[Sentence], list[str]]:
    """Sentences on the findings spoken of, and the labels that are still to be denied."""
    register = FRAMES[style].register
    waiting, denied, told = list(plan.spoken), list(plan.denied), []
    while waiting:
        index = waiting.pop(0)
        finding = findings[index]
        if finding.kind not in DEVICES and rng.random() < manner.doubted:
            told.append(doubt(choose, style, finding, index))
            continue
        joins = rng.random() < 0.3
        mates = [i for i in waiting if _goes_with(register, finding, findings[i])]
        apart = [label for label in denied if (finding.kind, label) in APART[register]]
        if joins and mates:
            mate = findings[mates[0]].kind
            told.append(tell_with(choose, style, finding, index, mate, mates[0]))
            waiting.remove(mates[0])
        elif joins and apart:
            told.append(tell_with(choose, style, finding, index, apart[0], -1))
            denied.remove(apart[0])
        else:
            told.append(tell(choose, style, finding, index))
        one_side = len(finding.sides) == 1 and finding.kind in OTHER_SIDE[register]
        if rng.random() < 0.06 and one_side:
            told.append(deny_other_side(choose, style, finding))
    return told, denied


def _goes_with(register, finding: Finding, other: Finding) -> bool:
    near = not finding.sides or not other.sides or set(finding.sides) & set(other.sides)
    return (finding.kind, other.kind) in TOGETHER[register] and bool(near)


def _denying(manner, style, labels: list[str], choose: Choose, rng) -> list[Sentence]:
    """Sentences that deny every one of the labels, many at once where there are words for it."""
    sentences, labels = [], list(labels)
    for label in list(labels):
        if label != "Support Devices" and rng.random() < manner.imagined:
            sentences.append(doubt(choose, style, imagined(KIND_OF[label], rng), None))
            labels.remove(label)
    ways = [(own, deny_group) for own in CLEAR[FRAMES[style].register]]
    ways = ways[::-1] + [(own, deny) for own in DENIED_TOGETHER]
    for own, way in ways:
        if set(own) <= set(labels) and rng.random() < 0.7:
            sentences.append(way(choose, style, own))
            labels = [label for label in labels if label not in own]
    return sentences + [deny(choose, style, (label,)) for label in labels]


def imagined(kind: Kind, rng: np.random.Generator) -> Finding:
    """A small finding that is not there, for a doubt."""
    sides = (_SIDES[int(rng.integers(2))],)
    if kind is Kind.EDEMA:
        sides = _SIDES
    elif kind in SIDELESS:
        sides = ()
    return Finding(kind, sides, list(Zone)[int(rng.integers(3))], 0.0, 0)


def _closing(style, findings, plan: Plan, choose: Choose, rng) -> list[Sentence]:
    keep = [i for i in plan.spoken if rng.random() < 0.75][:4]
    acute = [i for i in plan.spoken if findings[i].kind not in DEVICES]
    if acute and not set(keep) & set(acute):
        keep.append(acute[0])
    closing = [tell(choose, style, findings[i], i, impression=True) for i in keep]
    if not acute:
        normal = choose(NORMAL_IMPRESSION[style])
        closing.append(sentence(normal, Link("No Finding", Label.POSITIVE)))
    elif plan.denied and rng.random() < 0.12:
        label = plan.denied[int(rng.integers(len(plan.denied)))]
        closing.append(deny(choose, style, (label,), headed=False))
    return closing


def _contradict(style, findings, plan: Plan, closing, choose: Choose, rng) -> list[Sentence]:
    """The impression with one finding on the wrong side, or denied."""
    acute = [i for i in plan.spoken if findings[i].kind not in DEVICES]
    if not acute:
        return closing
    index = acute[int(rng.integers(len(acute)))]
    finding = findings[index]
    if len(finding.sides) == 1 and rng.random() < 0.5:
        other = _SIDES[1 - _SIDES.index(finding.sides[0])]
        moved = dataclasses.replace(finding, sides=(other,))
        wrong = tell(choose, style, moved, None, impression=True)
        if wrong.links[0].region is None:  # no side was named, so nothing is wrong with it
            return closing
    else:
        wrong = deny(choose, style, (finding.label,), headed=False)
    links = tuple(dataclasses.replace(link, contradicts=True) for link in wrong.links)
    others = [s for s in closing if all(link.finding != index for link in s.links)]
    return [dataclasses.replace(wrong, links=links), *others]


def _typed(spoken: Sentence, slip: float, rng: np.random.Generator) -> Sentence:
    text = with_typing_errors(spoken.text, slip, rng)
    return spoken if text == spoken.text else Sentence(text, spoken.links, spoken.text)
