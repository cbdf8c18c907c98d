"""A report and what each of its sentences speaks of."""

import dataclasses

from data_pipelines.phantom.anatomy import Side
from data_pipelines.phantom.findings import Zone
from data_pipelines.records import Label


@dataclasses.dataclass(frozen=True)
class Region:
    """Where a sentence says that something is.

    Attributes:
      sides: the sides it names, right before left; empty if none. "Either side" names both.
      zone: the third of the lung, a lobe counting as its third; a base or an apex is none.
    """

    sides: tuple[Side, ...] = ()
    zone: Zone | None = None


@dataclasses.dataclass(frozen=True)
class Link:
    """A sentence speaks of a label: all that its words imply, and nothing else.

    Attributes:
      label: a CheXpert label.
      polarity: POSITIVE, NEGATIVE, or UNCERTAIN where it is doubted.
      finding: index of the finding meant; None if it is denied, or doubted and not there.
      region: the place that the words name, or None. A denial with one side is of that side only.
      contradicts: the impression says other than the findings section here, and is wrong.
    """

    label: str
    polarity: Label
    finding: int | None = None
    region: Region | None = None
    contradicts: bool = False


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One sentence, with its period, and what it speaks of.

    Attributes:
      typed_for: what the author meant to type, where `text` has a typing error.
    """

    text: str
    links: tuple[Link, ...] = ()
    typed_for: str | None = None

    @property
    def intended(self) -> str:
        """The text without typing errors."""
        return self.typed_for or self.text


@dataclasses.dataclass(frozen=True)
class Report:
    """A report by its two sections.

    Attributes:
      numbered: the impression is a list, "1. ... 2. ...".
    """

    findings: tuple[Sentence, ...]
    impression: tuple[Sentence, ...]
    numbered: bool = False

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """Findings before impression."""
        return self.findings + self.impression

    @property
    def findings_text(self) -> str:
        return " ".join(sentence.text for sentence in self.findings)

    @property
    def impression_text(self) -> str:
        texts = [sentence.text for sentence in self.impression]
        if self.numbered:
            texts = [f"{number}. {text}" for number, text in enumerate(texts, 1)]
        return " ".join(texts)
