"""The evaluation hook: validation scores in the loop, test scores, result and page at the end."""

import dataclasses
import json
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from place_jax.models.functional import Model
from place_jax.training.progress import say
from place_jax.training.state import TrainState
from place_jax.training.workdir import as_path, write_whole

Weights = tuple[dict, dict]  # params and model_state
_SHOWN = ("zero_shot/validation/macro_auroc", "retrieval/validation/recall_at_1")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What is the same at every evaluation of a run.

    Attributes:
      model: without its parameters.
      data: PreparedData.
      config: the whole config.
      mesh: the mesh that states live on.
      poll: called before each batch; may raise to stop.
    """

    model: Model
    data: Any
    config: ConfigDict
    mesh: Mesh
    poll: Callable[[], None]

    def validate(self, weights: Weights, step: int) -> dict[str, float]:
        """Scores of the validation split, without intervals; none where there is no such split."""
        from place_jax.transfer.evaluation import evaluate

        if not self.data.splits.get("validation"):
            return {}
        scores = evaluate(
            self.model,
            *weights,
            self.data,
            "validation",
            self.config,
            mesh=self.mesh,
            bootstrap=0,
            on_batch=self.poll,
        )
        said = ", ".join(f"{name} {scores[name]:.3f}" for name in _SHOWN if name in scores)
        say(f"step {step}: {said}" if said else f"step {step}: evaluated")
        return _numbers(scores)

    def test(self, weights: Weights, initial: Weights) -> dict[str, float]:
        """Scores of the test split, or else of the next best one, beside those of no training.

        Args:
          weights: at the end.
          initial: what training started from.
        """
        from place_jax.report_words import conditioning
        from place_jax.transfer.evaluation import evaluate, evaluate_untrained

        split = next(s for s in ("test", "validation", "train") if self.data.splits.get(s))
        say(f"evaluates on the {split} split, then the same with the encoders before training")
        reading = {"mesh": self.mesh, "on_batch": self.poll}
        scores = evaluate(self.model, *weights, self.data, split, self.config, **reading)
        if said := conditioning(scores, split):
            say(said)
        scores |= evaluate_untrained(
            self.model, self.data, split, self.config, initial=initial, **reading
        )
        return _numbers(scores)


def evaluated_params(state: TrainState):
    """The moving average of the parameters where one is kept."""
    return state.params if state.ema_params is None else state.ema_params


def read_result(workdir: str | os.PathLike) -> dict[str, float | None]:
    """result.json of a run that came to its page, or nothing."""
    path = as_path(workdir) / "result.json"
    if not path.exists() or not (path.parent / "report.html").exists():
        return {}
    return json.loads(path.read_text())


def write_result(workdir: str | os.PathLike, step: int, scores: dict[str, float]) -> dict:
    """Writes result.json, then the page that shows it. Returns what result.json holds."""
    result = {"step": step}
    result |= {name: v if math.isfinite(v) else None for name, v in scores.items()}
    if jax.process_index() == 0:
        from place_jax import report_page

        write_whole(as_path(workdir) / "result.json", json.dumps(result, indent=2) + "\n")
        say(f"writes {report_page.write_report(workdir)}")
    return result


def _numbers(scores: dict) -> dict[str, float]:
    return {n: float(v) for n, v in scores.items() if isinstance(v, int | float | np.number)}
