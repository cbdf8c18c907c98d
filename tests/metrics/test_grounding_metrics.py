"""Pointing, overlap and contrast against hand-worked maps."""

import numpy as np
import pytest

from place_jax.metrics.grounding import contrast_to_noise, mean_iou, pointing_hit

MASK = np.array([[True, False], [False, False]])


def test_pointing_shares_out_ties_and_a_flat_map_points_nowhere():
    assert pointing_hit(np.array([[2.0, 1], [0, 0]]), MASK) == 1
    assert pointing_hit(np.array([[1.0, 2], [0, 0]]), MASK) == 0
    assert pointing_hit(np.array([[2.0, 2], [0, 0]]), MASK) == 0.5
    assert pointing_hit(np.ones((2, 2)), MASK) == 0


def test_contrast_is_signed_and_in_units_of_both_spreads():
    found = np.array([[5.0, 1], [2, 3]])
    expected = (5 - 2) / np.sqrt(0 + np.var([1, 2, 3]))
    assert contrast_to_noise(found, MASK) == pytest.approx(expected, abs=1e-9)
    assert contrast_to_noise(-found, MASK) == pytest.approx(-expected, abs=1e-9)
    assert contrast_to_noise(np.ones((2, 2)), MASK) == 0
    assert np.isnan(contrast_to_noise(found, np.ones((2, 2), bool)))


def test_overlap_is_the_mean_over_thresholds():
    # Scaled: 1, 0.45, 0.25, 0. Above 0.1, 0.2: three pixels; above 0.3, 0.4: two; above 0.5: one.
    found = np.array([[11.0, 5.5], [3.5, 1]])
    assert mean_iou(found, MASK) == pytest.approx((1 / 3 + 1 / 3 + 1 / 2 + 1 / 2 + 1) / 5)
    assert mean_iou(np.ones((2, 2)), MASK) == 0
