"""Scores by name, each with its interval and replicates, and what there is to draw of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from place_jax.metrics.bootstrap import percentile_interval


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What a curve is drawn of: labels [n] (1, 0, or left out) and scores [n]."""

    labels: np.ndarray
    scores: np.ndarray


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How often each class was called what: counts [true class, called class]."""

    classes: tuple[str, ...]
    counts: np.ndarray


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows that no single number stands for, all with the same columns."""

    rows: Sequence[Mapping[str, Any]]


class Scores(dict[str, float]):
    """{name: value}, with `name_ci_low` and `name_ci_high` beside a value that has replicates.

    Attributes:
      replicates: name -> [R] values of the score over bootstrap replicates. Two checkpoints that
        were scored with the same seed on the same patients are compared replicate by replicate.
      details: name -> Ranking, Confusion or Table, for pictures and files.
    """

    def __init__(self, values: Mapping[str, float] = (), /):
        super().__init__(values)
        self.replicates: dict[str, np.ndarray] = dict(getattr(values, "replicates", {}))
        self.details: dict[str, Ranking | Confusion | Table] = dict(getattr(values, "details", {}))

    def add(self, name: str, value: float, replicates: np.ndarray | None = None) -> None:
        """Sets a score, and its 95 % interval where replicates [R] are given."""
        self[name] = float(value)
        if replicates is not None:
            self.replicates[name] = replicates
            self[f"{name}_ci_low"], self[f"{name}_ci_high"] = percentile_interval(replicates)

    def __ior__(self, other: Mapping[str, float]) -> "Scores":
        self.update(other)
        self.replicates |= getattr(other, "replicates", {})
        self.details |= getattr(other, "details", {})
        return self

    def prefixed(self, prefix: str) -> "Scores":
        """The same under `prefix/name`."""
        out = Scores({f"{prefix}/{name}": value for name, value in self.items()})
        out.replicates = {f"{prefix}/{name}": v for name, v in self.replicates.items()}
        out.details = {f"{prefix}/{name}": v for name, v in self.details.items()}
        return out
