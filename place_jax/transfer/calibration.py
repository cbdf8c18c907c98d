"""Temperatures that a validation split's labels fit, and what they do to a test split."""

import json
import math
import os
import pathlib

import numpy as np

from data_pipelines.records import BadInput
from place_jax.metrics.scores import Scores

TEMPERATURE = "temperature"


def score_calibration(
    validation: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    temperature: float,
) -> Scores:
    """Calibration on the test split before and after one temperature is fitted on validation.

    Args:
      validation: labels and logits, both [n, C].
      test: likewise.
      temperature: that the logits have without any fit.

    Returns:
      `temperature`, and `calibration_error` and `brier` with it, and the same ending in
      `_uncalibrated`. Empty where validation knows one class only.
    """
    from place_jax.metrics import calibration  # late: `read_temperature` is of light commands

    fitted = calibration.fit_temperature(*validation)
    if math.isnan(fitted):
        return Scores()
    out = Scores({TEMPERATURE: fitted})
    labels, logits = test
    for ending, value in (("", fitted), ("_uncalibrated", temperature)):
        probability = calibration.probabilities(logits, value)
        error = calibration.expected_calibration_error(labels, probability)
        out.add(f"calibration_error{ending}", error)
        out.add(f"brier{ending}", calibration.brier_score(labels, probability))
    return out


def read_temperature(path: str | os.PathLike) -> float:
    """Of the JSON file that `place evaluate zero-shot --out` wrote.

    Raises:
      BadInput: bad_calibration.
    """
    try:
        scores = json.loads(pathlib.Path(path).read_text())
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadInput("bad_calibration", f"{path} cannot be read as JSON: {error}") from None
    scores = scores if isinstance(scores, dict) else {}
    names = [n for n in scores if n.startswith("zero_shot/") and n.endswith(f"/{TEMPERATURE}")]
    value = scores[names[0]] if names else None
    if not isinstance(value, int | float) or not value > 0:
        raise BadInput(
            "bad_calibration",
            f"{path} holds no zero_shot/SPLIT/{TEMPERATURE} above 0: write it with `place evaluate "
            "zero-shot --out`, on data with labels in its validation split",
        )
    return float(value)
