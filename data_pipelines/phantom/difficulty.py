"""How hard a config is: what is drawn, how often, how small, in what company, by which scanner."""

import dataclasses
import enum

from data_pipelines.phantom.anatomy import Detail
from data_pipelines.phantom.clutter import Clutter
from data_pipelines.phantom.exposure import Scanner
from data_pipelines.phantom.kinds import DEVICES, Kind


class Shift(enum.Enum):
    """In what the test split differs from training.

    SCANNER: other pictures of the same findings. AUTHOR: other words for them. LABELS: other
    shares of the findings, each looking as it does in training.
    """

    NONE = "none"
    SCANNER = "scanner"
    AUTHOR = "author"
    LABELS = "labels"


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """A device that betrays a finding in training and says nothing in the test split.

    Attributes:
      finding, device: which goes with which.
      beside: chance of the device beside the finding, outside of the test split.
      otherwise: its chance without the finding there.
      anyway: its chance in the test split, whatever else is present.
    """

    finding: Kind
    device: Kind
    beside: float
    otherwise: float
    anyway: float


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """One config.

    Attributes:
      prevalence: kind -> chance in a PA view.
      least, most: of `Finding.size`; what is below is too small for a small encoder.
      skew: power of the uniform number that sizes are drawn from; above 1, small ones prevail.
      portable_devices: factor on the chance of a device in an AP view.
      company: (kind, other) -> factor on the chance of `other` where `kind` is present.
      detail: which layers of the body are drawn.
      scanner: whose pictures these are.
      clutter: thing without a label -> its chance.
      shortcut: or None.
      laterals: share of the PA views that have a lateral one beside them.
    """

    prevalence: dict[Kind, float]
    least: float
    skew: float
    portable_devices: float
    company: dict[tuple[Kind, Kind], float]
    most: float = 1.0
    detail: Detail = Detail.LIFELIKE
    scanner: Scanner = Scanner.CLINIC
    clutter: dict[Clutter, float] = dataclasses.field(default_factory=dict)
    shortcut: Shortcut | None = None
    laterals: float = 0.0


# As readers see them together; the factors are ours.
_COMPANY = {
    (Kind.CARDIOMEGALY, Kind.EDEMA): 2.0,
    (Kind.CARDIOMEGALY, Kind.EFFUSION): 1.6,
    (Kind.CARDIOMEGALY, Kind.PACEMAKER): 1.8,
    (Kind.EDEMA, Kind.EFFUSION): 1.8,
    (Kind.CONSOLIDATION, Kind.EFFUSION): 1.4,
    (Kind.EFFUSION, Kind.ATELECTASIS): 2.0,
    (Kind.PNEUMONIA, Kind.EFFUSION): 1.4,
    (Kind.PNEUMOTHORAX, Kind.FRACTURE): 2.5,
    (Kind.TUBE, Kind.CENTRAL_LINE): 2.0,
}

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
        detail=Detail.PLAIN,
        scanner=Scanner.PLAIN,
    ),
    "default": Difficulty(
        prevalence={
            Kind.CARDIOMEGALY: 0.18,
            Kind.EDEMA: 0.11,
            Kind.CONSOLIDATION: 0.13,
            Kind.PNEUMONIA: 0.09,
            Kind.PNEUMOTHORAX: 0.10,
            Kind.EFFUSION: 0.15,
            Kind.ATELECTASIS: 0.12,
            Kind.LESION: 0.12,
            Kind.OPACITY: 0.09,
            Kind.WIDE_MEDIASTINUM: 0.08,
            Kind.THICKENING: 0.08,
            Kind.FRACTURE: 0.08,
            Kind.PACEMAKER: 0.09,
            Kind.TUBE: 0.06,
            Kind.CENTRAL_LINE: 0.08,
        },
        least=0.05,
        skew=1.5,
        portable_devices=2.0,
        company=_COMPANY,
        clutter={Clutter.LEADS: 0.12, Clutter.NIPPLES: 0.04, Clutter.COMPANION: 0.25},
        laterals=0.45,
    ),
}
DIFFICULTY["hard"] = dataclasses.replace(
    DIFFICULTY["default"],
    least=0.0,
    most=0.75,
    skew=1.7,
    company={pair: 1 + 1.5 * (factor - 1) for pair, factor in _COMPANY.items()},
    clutter={
        Clutter.LEADS: 0.28,
        Clutter.NIPPLES: 0.25,
        Clutter.SKIN_FOLD: 0.18,
        Clutter.COMPANION: 0.5,
        Clutter.BRAID: 0.12,
        Clutter.BUTTONS: 0.15,
    },
    shortcut=Shortcut(
        Kind.PNEUMOTHORAX, Kind.CENTRAL_LINE, beside=0.85, otherwise=0.05, anyway=0.14
    ),
)

# Of Shift.LABELS: an outpatient clinic, where fewer are acutely ill and more have what stays.
_ELSEWHERE = {
    Kind.EDEMA: 0.35,
    Kind.PNEUMOTHORAX: 0.4,
    Kind.CONSOLIDATION: 0.5,
    Kind.EFFUSION: 0.5,
    Kind.CARDIOMEGALY: 1.5,
    Kind.LESION: 2.2,
    Kind.THICKENING: 2.2,
    Kind.FRACTURE: 1.8,
    **dict.fromkeys(DEVICES, 0.4),
}


def difficulty(config: str, split: str = "train", shift: Shift = Shift.NONE) -> Difficulty:
    """What a config is in a split. Only the test split is ever shifted."""
    own = DIFFICULTY[config]
    if split != "test":
        return own
    if shift is Shift.LABELS:
        shares = {kind: p * _ELSEWHERE.get(kind, 1.0) for kind, p in own.prevalence.items()}
        own = dataclasses.replace(own, prevalence=shares)
    if shift is Shift.SCANNER:
        own = dataclasses.replace(own, scanner=Scanner.ELSEWHERE)
    return own
