"""Reports of every config: the one way in, for whoever writes reports or asks what they may say."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.phantom import authors, plain_author
from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import COUNTED, DEVICES, Finding, Kind, Zone
from data_pipelines.phantom.frames import APART, FRAMES, OTHER_SIDE, TOGETHER, Style
from data_pipelines.phantom.idle_words import (
    CLEAR,
    DENIED_TOGETHER,
    IDLE,
    NORMAL_IMPRESSION,
    TEMPLATES,
)
from data_pipelines.phantom.report import Link, Region, Report, Sentence
from data_pipelines.phantom.wording import (
    KIND_OF,
    SIDELESS,
    Choose,
    deny,
    deny_group,
    deny_other_side,
    doubt,
    every_outcome,
    sentence,
    tell,
    tell_with,
)

__all__ = ["Link", "Region", "Report", "Sentence", "Style", "every_sentence", "write_report"]


def write_report(
    config: str,
    findings: tuple[Finding, ...],
    rng: np.random.Generator,
    style: Style | None = None,
) -> Report:
    """The report of a study. Equal arguments and generator state give equal words.

    Args:
      style: the author; None for any whom training hears. The easy config has one of its own.
    """
    if config == "easy" and style is None:
        return plain_author.write(findings, rng)
    return authors.write(config, findings, rng, style)


def every_sentence(style: Style | None) -> Iterator[str]:
    """Every text that an author can mean to write, some twice; of None, the easy config's.

    So that a test can prove what is never written. Typing errors are not among them.
    """
    if style is None:
        yield from plain_author.every_sentence()
        return
    for make in _makers(style):
        for spoken in every_outcome(make):
            yield spoken.text
    fixed = IDLE[style] + NORMAL_IMPRESSION[style]
    pasted = (text for template in TEMPLATES[style] for text, _ in template)
    for text in (*fixed, *pasted):
        yield sentence(text).text


def _makers(style: Style) -> Iterator[Callable[[Choose], Sentence]]:
    register = FRAMES[style].register
    for finding in (finding for kind in Kind for finding in _imaginable(kind)):
        yield lambda choose, f=finding: tell(choose, style, f, 0)
        yield lambda choose, f=finding: tell(choose, style, f, 0, impression=True)
        if finding.kind not in DEVICES:
            yield lambda choose, f=finding: doubt(choose, style, f, 0)
        if finding.kind in OTHER_SIDE[register] and len(finding.sides) == 1:
            yield lambda choose, f=finding: deny_other_side(choose, style, f)
        for kind, other in (*TOGETHER[register], *APART[register]):
            if kind is finding.kind:
                yield lambda choose, f=finding, o=other: tell_with(choose, style, f, 0, o, 1)
    for labels in ((label,) for label in KIND_OF):
        yield lambda choose, own=labels: deny(choose, style, own)
        yield lambda choose, own=labels: deny(choose, style, own, headed=False)
    for labels in DENIED_TOGETHER:
        yield lambda choose, own=labels: deny(choose, style, own)
    for labels in CLEAR[register]:
        yield lambda choose, own=labels: deny_group(choose, style, own)


def _imaginable(kind: Kind) -> Iterator[Finding]:
    """A finding of every place, degree and number that could make a difference to its words."""
    sides = ((Side.RIGHT,), (Side.LEFT,), (Side.RIGHT, Side.LEFT))
    if kind in SIDELESS:
        sides = ((),)
    zones, sizes = (None, *Zone), (0.0, 0.5, 1.0)
    numbers = (1, 2, 3, 4) if kind in COUNTED else (1,)
    for own, zone, size, number in itertools.product(sides, zones, sizes, numbers):
        if zone is None or len(own) == 1:
            yield Finding(kind, own, zone, size, 0, number)
