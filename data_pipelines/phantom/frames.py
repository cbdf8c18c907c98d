"""The authors of PhantomCXR's reports, and the sentences that each builds around a finding.

Slots: {a} the noun phrase with its article, {n} without, {x} names of what is denied; {is} and
{have} agree with it; {tail} what goes with it.
"""

import dataclasses
import enum

from data_pipelines.phantom.findings import Kind
from data_pipelines.phantom.words import Register


class Style(enum.Enum):
    """An author. OTHER is for the domain-shifted test alone: training never hears it."""

    PROSE = "prose"
    TELEGRAPHIC = "telegraphic"
    LIST = "list"
    HEADED = "headed"
    OTHER = "other"


TRAINING_STYLES = (Style.PROSE, Style.TELEGRAPHIC, Style.LIST, Style.HEADED)


@dataclasses.dataclass(frozen=True)
class Frames:
    """How an author says that something is there, in the findings and in the impression, that it
    may be, and that it is not; the usual ways first.

    Attributes:
      mixed: around a finding and its tail.
      headings: whether each sentence of the findings says first what part it is about.
      numbered: share of the impressions that are a numbered list.
    """

    register: Register
    present: tuple[str, ...]
    impression: tuple[str, ...]
    doubted: tuple[str, ...]
    absent: tuple[str, ...]
    mixed: tuple[str, ...]
    headings: bool = False
    numbered: float = 0.0


FRAMES = {
    Style.PROSE: Frames(
        Register.FULL,
        present=(
            "there {is} {a}",
            "{a} {is} present",
            "{a} {is} noted",
            "{a} {is} identified",
            "there {is} again {a}",
            "{a} {is} unchanged from the prior study",
            "compared with the prior study, {a} {is} new",
            "{a} {have} increased since the prior study",
        ),
        impression=(
            "{n}",
            "stable {n}",
            "{n} as described above",
            "new {n}",
            "{n}, unchanged from the prior study",
        ),
        doubted=(
            "possible {n}",
            "{a} may be present",
            "{a} cannot be excluded",
            "there is a suggestion of {n}",
            "questionable {n}",
            "findings may represent {n}",
            "probable {n}",
        ),
        absent=(
            "no {x}",
            "there is no {x}",
            "no evidence of {x}",
            "there is no evidence of {x}",
            "no {x} is identified",
            "no definite {x}",
            "no {x} is visualized",
        ),
        mixed=("there {is} {a} {tail}", "{n} {tail}", "{a} {tail} {is} noted"),
    ),
    Style.TELEGRAPHIC: Frames(
        Register.SHORT,
        present=("{n}", "{n} noted", "stable {n}", "{n} unchanged", "new {n}", "{n} again noted"),
        impression=("{n}", "{n} stable", "persistent {n}", "{n} as above"),
        doubted=(
            "poss {n}",
            "{n} not excluded",
            "cannot r/o {n}",
            "prob {n}",
            "{n} vs artifact",
        ),
        absent=("no {x}", "no {x} seen", "neg for {x}", "no evid of {x}"),
        mixed=("{n} {tail}",),
    ),
    Style.LIST: Frames(
        Register.FULL,
        present=(
            "{n}",
            "{n} {is} demonstrated",
            "{n}, similar to the prior study",
            "interval increase in {n}",
        ),
        impression=("{n}", "findings of {n}", "{n}, similar to the prior study"),
        doubted=("suspected {n}", "{n} {is} possible", "question of {n}", "equivocal for {n}"),
        absent=("no {x}", "negative for {x}", "absence of {x}", "no {x} demonstrated"),
        mixed=("{n} {tail}",),
        numbered=0.85,
    ),
    Style.HEADED: Frames(
        Register.FULL,
        present=("{n}", "{n} seen on this study", "again {n}", "persistent {n}", "interval {n}"),
        impression=("{n} again", "persistent {n}", "radiographic {n}"),
        doubted=("concern for {n}", "{n} not excluded", "likely {n}"),
        absent=("no {x}", "without {x}", "no visible {x}"),
        mixed=("{n} {tail}",),
        headings=True,
        numbered=0.15,
    ),
    Style.OTHER: Frames(
        Register.OTHER,
        present=(
            "I see {a}",
            "the film demonstrates {a}",
            "note is made of {a}",
            "{a} {is} to be appreciated",
            "the eye is drawn to {a}",
        ),
        impression=("in summary, {a}", "the salient feature is {a}", "in my opinion, {a}"),
        doubted=(
            "I suspect {a}",
            "appearances raise the question of {a}",
            "one wonders about {a}",
        ),
        absent=("I see no {x}", "the film shows no {x}", "nothing to indicate {x}"),
        mixed=("I see {a} {tail}",),
    ),
}

# (finding, other finding) -> what is said of both at once; on one side where both have a side.
TOGETHER = {
    Register.FULL: {
        (Kind.EFFUSION, Kind.ATELECTASIS): ("with adjacent atelectasis", "and atelectasis"),
        (Kind.CARDIOMEGALY, Kind.EDEMA): ("with pulmonary edema", "and pulmonary edema"),
        (Kind.PNEUMONIA, Kind.EFFUSION): ("with a parapneumonic effusion",),
        (Kind.CARDIOMEGALY, Kind.PACEMAKER): ("with a pacemaker in place",),
    },
    Register.SHORT: {
        (Kind.EFFUSION, Kind.ATELECTASIS): ("w/ adj atelectasis", "+ atelectasis"),
        (Kind.CARDIOMEGALY, Kind.EDEMA): ("w/ pulm edema", "c/w CHF"),
        (Kind.PNEUMONIA, Kind.EFFUSION): ("w/ effusion",),
        (Kind.CARDIOMEGALY, Kind.PACEMAKER): ("w/ pacer",),
    },
    Register.OTHER: {
        (Kind.EFFUSION, Kind.ATELECTASIS): ("accompanied by neighbouring atelectasis",),
        (Kind.CARDIOMEGALY, Kind.EDEMA): ("accompanied by oedema",),
    },
}
# (finding, absent label) -> what is said of both at once.
APART = {
    Register.FULL: {
        (Kind.CARDIOMEGALY, "Edema"): ("without pulmonary edema", "but no edema"),
        (Kind.PNEUMONIA, "Pleural Effusion"): ("without pleural effusion",),
        (Kind.CONSOLIDATION, "Pleural Effusion"): ("without pleural effusion",),
        (Kind.FRACTURE, "Pneumothorax"): ("without pneumothorax", "but no pneumothorax"),
        (Kind.EFFUSION, "Pneumothorax"): ("but no pneumothorax",),
    },
    Register.SHORT: {
        (Kind.CARDIOMEGALY, "Edema"): ("w/o CHF", "w/o pulm edema"),
        (Kind.PNEUMONIA, "Pleural Effusion"): ("w/o effusion",),
        (Kind.FRACTURE, "Pneumothorax"): ("w/o PTX",),
        (Kind.EFFUSION, "Pneumothorax"): ("w/o PTX", "no PTX"),
    },
    Register.OTHER: {
        (Kind.CARDIOMEGALY, "Edema"): ("unaccompanied by oedema",),
        (Kind.FRACTURE, "Pneumothorax"): ("unaccompanied by pneumothorax",),
    },
}
# Of a finding on one side: it is not on the other.
OTHER_SIDE = {
    Register.FULL: {
        Kind.EFFUSION: ("no {hand} pleural effusion", "there is no effusion on the {hand}"),
        Kind.PNEUMOTHORAX: ("no {hand} pneumothorax", "there is no pneumothorax on the {hand}"),
        Kind.THICKENING: ("no {hand} pleural thickening",),
    },
    Register.SHORT: {
        Kind.EFFUSION: ("no {hand} effusion", "{hand} CPA sharp"),
        Kind.PNEUMOTHORAX: ("no {hand} PTX",),
    },
    Register.OTHER: {Kind.EFFUSION: ("I see no collection on the {hand}",)},
}
