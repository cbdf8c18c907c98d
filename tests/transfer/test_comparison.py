"""Paired tests: small differences on the same patients are seen, and unlike examples refused."""

import numpy as np
import pytest

from place_jax.metrics.bootstrap import resample, resampled_mean
from place_jax.metrics.scores import Scores
from place_jax.transfer.comparison import compare, two_sided_p


def scored(values: np.ndarray, examples: int) -> Scores:
    out = Scores({"task/test/examples": float(examples)})
    weights = resample([f"p{i}" for i in range(len(values))], 500, seed=0)
    out.add("task/test/hits", values.mean(), resampled_mean(values, weights))
    return out


def test_pairing_finds_what_the_intervals_hide():
    rng = np.random.default_rng(0)
    ours = rng.normal(size=200)
    theirs = ours - 0.1 + 0.2 * rng.normal(size=200)  # a tenth less, whatever the patient
    out = compare(scored(ours, 200), scored(theirs, 200), rename=lambda n: f"against/{n}")
    name = "against/task/test/hits"
    assert out[name] == pytest.approx((ours - theirs).mean())
    assert 0 < out[f"{name}_ci_low"] < out[f"{name}_ci_high"] < 0.2
    assert out[f"{name}_p"] < 0.01


def test_no_difference_has_no_small_p():
    values = np.random.default_rng(1).normal(size=50)
    out = compare(scored(values, 50), scored(values, 50), rename=lambda n: n + "_over")
    assert out["task/test/hits_over"] == 0 and out["task/test/hits_over_p"] == 1


def test_two_sided_p_of_a_hand_worked_table():
    # 1 of 9 replicates at or below zero: 2 (1 + 1) / (9 + 1).
    assert two_sided_p(np.array([-1.0, 1, 1, 1, 1, 1, 1, 1, 1])) == pytest.approx(0.4)
    assert two_sided_p(np.array([np.nan, np.nan])) == 1


def test_other_examples_cannot_be_paired():
    values = np.ones(5)
    with pytest.raises(ValueError, match="needs the same examples"):
        compare(scored(values, 5), scored(values, 6), rename=str)
