"""Temperature and calibration error against what was planted and worked by hand."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from place_jax.metrics import calibration


def test_the_temperature_that_made_the_labels_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 2)) * 3
    labels = (rng.random(logits.shape) < expit(logits / 2.5)).astype(np.int8)
    labels[rng.random(labels.shape) < 0.1] = -2
    assert calibration.fit_temperature(labels, logits) == pytest.approx(2.5, rel=0.05)
    assert np.isnan(calibration.fit_temperature(np.ones(5, np.int8), np.arange(5.0)))


def test_error_of_a_hand_worked_table():
    labels = np.array([1, 0, 1, 1, -1])
    probability = np.array([0.81, 0.89, 0.31, 1.0, 0.5])
    # Bins 0.8..0.9: |1 - 1.7| / 4; 0.3..0.4: |1 - 0.31| / 4; 0.9..1: 0; the unknown counts nowhere.
    expected = (0.7 + 0.69 + 0) / 4
    assert calibration.expected_calibration_error(labels, probability) == pytest.approx(expected)
    assert calibration.brier_score(labels, probability) == pytest.approx(
        brier_score_loss(labels[:4], probability[:4]), abs=1e-9
    )
    assert np.isnan(calibration.brier_score(np.array([-1]), np.array([0.5])))
