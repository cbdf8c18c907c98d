"""Linear classification as the MGCA line does it, and what each protocol makes of labels.

`strict` follows what the papers say, with our choice where that is silent or selects on the wrong
thing; `mgca_compat` follows MGCA's code (preprocess/chexpert.py, models/ssl_finetuner.py), so that
numbers stay comparable. Features are extracted once, so neither augments images in training, as
MGCA's code does (crop, jitter, flip, blur).
"""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import Label
from data_pipelines.sources.five_by_200 import COMPETITION_CLASSES
from data_pipelines.sources.protocols import MGCA_COMPAT, STRICT, check_protocol
from data_pipelines.sources.uncertainty import UNCERTAIN_AS

# Labelled by a program that leaves blank what a report does not mention: all read that as absent.
_BLANK_IS_NEGATIVE = ("chexpert", "mimic_cxr")
_CLASSES = {"chexpert": COMPETITION_CLASSES}
# Of which an image shows exactly one: softmax cross-entropy and accuracy, as MGCA has them.
_ONE_OF = ("covidx",)


class Selection(enum.Enum):
    """What the validation split selects a step by."""

    AUROC = "macro AUROC"
    LOSS = "loss"


class Loss(enum.Enum):
    """What a probe minimises."""

    BINARY = "binary cross-entropy of each class"
    SOFTMAX = "cross-entropy of one class of several"


@dataclasses.dataclass(frozen=True)
class ProbeRecipe:
    """How a probe is trained and its step chosen.

    Attributes:
      learning_rate: of AdamW, constant.
      weight_decay: of AdamW.
      batch_size: 0 for the whole subset at every step.
      rounds: evaluations on the validation split, an epoch apart or, for a small subset, several.
      min_steps: a round has more than an epoch where rounds x epoch would be fewer steps than this.
      patience: rounds without a better one after which no later one is chosen; 0 for none.
      selection: what the validation split chooses a round by.
      standardise: centre and scale each feature by its mean and deviation over the subset; the
        probe stays linear in the features.
      zero_init: start from zero; else as PyTorch's Linear does.
      loss: of the classes each, or of one of them.
    """

    learning_rate: float
    weight_decay: float
    batch_size: int
    rounds: int
    min_steps: int
    patience: int
    selection: Selection
    standardise: bool
    zero_init: bool
    loss: Loss = Loss.BINARY

    def describe(self) -> str:
        """One sentence for whoever reads the number."""
        said = (
            f"AdamW {self.learning_rate:g}, weight decay {self.weight_decay:g}, batch "
            f"{self.batch_size}, {self.rounds} rounds of an epoch or more"
        )
        if self.min_steps:
            said += f" (at least {self.min_steps} steps)"
        if self.standardise:
            said += ", features standardised over the training subset"
        said += f", {self.loss.value}, best round by validation {self.selection.value}"
        return said + (f", patience {self.patience}" if self.patience else "")


RECIPES = {
    # The learning rate, decay, batch and epochs of MGCA. Ours: selection by the metric that is
    # reported; standardised features, and steps enough for a subset of a few batches, without which
    # an encoder with small features, such as an untrained one, is judged by its scale.
    STRICT: ProbeRecipe(5e-4, 1e-6, 48, 50, 2000, 0, Selection.AUROC, True, True),
    MGCA_COMPAT: ProbeRecipe(5e-4, 1e-6, 48, 50, 0, 10, Selection.LOSS, False, False),
}


def recipe(protocol: str, data_name: str = "", classes: int = 0) -> ProbeRecipe:
    """Of `strict` or `mgca_compat`, for so many classes of a data set.

    Raises:
      BadInput: unknown_protocol.
    """
    check_protocol(protocol)
    # One class, such as COVIDx's COVID-19 alone, is no choice: a softmax over it is always 1.
    loss = Loss.SOFTMAX if data_name in _ONE_OF and classes > 1 else Loss.BINARY
    return dataclasses.replace(RECIPES[protocol], loss=loss)


def classes_of(data_name: str, label_names: Sequence[str]) -> tuple[str, ...]:
    """The classes that the field reports on a data set; all of them where it has no custom."""
    return _CLASSES.get(data_name, tuple(label_names))


def training_labels(
    labels: np.ndarray, label_names: Sequence[str], data_name: str, protocol: str
) -> np.ndarray:
    """[n, K] labels as the probe is trained on them: 1, 0, or left out (-1, -2).

    strict leaves out what is missing, but for data whose labeller leaves blank what is absent, and
    what is uncertain of a class that has no policy; mgca_compat takes both for 0.
    """
    out = labels.copy()
    default = Label.NEGATIVE if protocol == MGCA_COMPAT else Label.UNCERTAIN
    for column, name in enumerate(label_names):
        uncertain = labels[:, column] == Label.UNCERTAIN
        out[uncertain, column] = UNCERTAIN_AS.get(name, default)
    if protocol == MGCA_COMPAT or data_name in _BLANK_IS_NEGATIVE:
        out[labels == Label.MISSING] = Label.NEGATIVE
    return out


def scored_labels(
    labels: np.ndarray, label_names: Sequence[str], data_name: str, protocol: str
) -> np.ndarray:
    """[n, K] labels as the probe is scored on them: strict leaves out what is uncertain."""
    if protocol == MGCA_COMPAT:
        return training_labels(labels, label_names, data_name, protocol)
    out = labels.copy()
    if data_name in _BLANK_IS_NEGATIVE:
        out[labels == Label.MISSING] = Label.NEGATIVE
    return out
