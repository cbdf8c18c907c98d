"""Intervals resample patients: seeded, whole patients, and of the width that theory gives."""

import numpy as np
import pytest

from place_jax.metrics import bootstrap, classification, resampled


def test_images_of_a_patient_stay_together():
    weights = bootstrap.resample(["a", "b", "a", "c", "a"], replicates=50)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    assert len(np.unique(weights, axis=0)) > 5


def test_the_seed_alone_decides():
    patients = ["a", "b", "a", "c"]
    one = bootstrap.resample(patients, replicates=20, seed=3)
    np.testing.assert_array_equal(one, bootstrap.resample(patients, replicates=20, seed=3))
    assert (one != bootstrap.resample(patients, replicates=20, seed=4)).any()


def test_resampled_mean_by_hand():
    weights = np.array([[1, 1, 1], [0, 3, 0], [0, 0, 3]])
    found = bootstrap.resampled_mean(np.array([1.0, 3.0, np.nan]), weights)
    np.testing.assert_array_equal(found, [2.0, 3.0, np.nan])


def test_intervals_of_a_mean_are_as_wide_as_the_standard_error_says():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap.bootstrap_interval(
        lambda weights: bootstrap.resampled_mean(values, weights), np.arange(400), replicates=2000
    )
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_ten_images_of_each_patient_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=40)

    def width(repeats):
        repeated, patients = np.repeat(values, repeats), np.repeat(np.arange(40), repeats)
        low, high = bootstrap.bootstrap_interval(
            lambda weights: bootstrap.resampled_mean(repeated, weights), patients
        )
        return high - low

    assert width(10) == pytest.approx(width(1))


def test_blocks_of_replicates_are_the_same_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    labels, scores, patients = rng.integers(0, 2, 30), rng.normal(size=30), np.arange(30)

    def interval():
        return bootstrap.bootstrap_interval(
            lambda weights: resampled.resampled_auroc(labels, scores, weights), patients
        )

    whole = interval()
    monkeypatch.setattr(bootstrap, "_BLOCK_SIZE", 100)
    assert interval() == whole
    assert 0 < whole[0] < classification.auroc(labels, scores) < whole[1] < 1


def test_replicates_without_a_value_are_left_out():
    assert bootstrap.percentile_interval(np.array([np.nan, 1.0, np.nan])) == (1.0, 1.0)
    assert np.isnan(bootstrap.percentile_interval(np.full(3, np.nan))).all()


def test_no_examples_is_one_clear_line():
    with pytest.raises(ValueError, match="patient_id holds 0 examples"):
        bootstrap.resample([], replicates=10)
