"""1 % and 10 % of the training data: nested, whole patients; and as the reference code draws."""

import numpy as np
import pytest

from data_pipelines.records import BadInput, Key
from data_pipelines.sources.subsets import mgca_compat_positions, subset, subset_positions

KEYS = [Key(f"image{i}", f"study{i}", f"patient{i // 3}", "train") for i in range(3000)]


def test_a_smaller_subset_is_part_of_a_larger_one():
    one, ten, all_of_them = (subset(KEYS, fraction) for fraction in (0.01, 0.1, 1))
    assert {k.image_id for k in one} < {k.image_id for k in ten} < {k.image_id for k in KEYS}
    assert (len(one), len(ten)) == (30, 300) and all_of_them == KEYS


def test_patients_are_whole_and_the_order_of_the_list_is_kept():
    ten = subset(KEYS, 0.1)
    patients = {key.patient_id for key in ten}
    assert ten == [key for key in KEYS if key.patient_id in patients]


def test_it_depends_on_the_seed_and_not_on_the_order():
    backwards = subset(KEYS[::-1], 0.1)
    assert backwards[::-1] == subset(KEYS, 0.1) != subset(KEYS, 0.1, seed=1)


def test_a_tiny_fraction_is_a_patient():
    assert len(subset(KEYS, 1e-6)) == 3


def test_positions_from_the_patients_of_a_prepared_folder():
    positions = subset_positions(np.array([key.patient_id for key in KEYS]), 0.1)
    assert [KEYS[i] for i in positions] == subset(KEYS, 0.1)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5, float("nan")])
def test_a_fraction_is_a_part(fraction):
    with pytest.raises(BadInput, match=f"fraction={fraction}.*at most 1"):
        subset(KEYS, fraction)


def test_the_reference_codes_subset_is_that_of_pandas():
    """`DataFrame(range(50)).sample(frac=0.1, random_state=42)` of pandas 3.1."""
    assert mgca_compat_positions(50, 0.1).tolist() == [13, 39, 30, 45, 17]
    assert len(mgca_compat_positions(250, 0.01)) == 2, "2.5 rounds to even, as Python has it"
