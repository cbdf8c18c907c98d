"""Uncertain labels: each policy by hand."""

import numpy as np
import pytest

from data_pipelines.records import BadInput
from data_pipelines.sources.uncertainty import apply_uncertain_policy

NAMES = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion", "Fracture")
LABELS = np.array([[-1] * 6, [1, 0, -2, 1, 0, -2]], np.int8)


@pytest.mark.parametrize(
    "policy, expected",
    [
        ("by_class", [1, 0, 0, 1, 1, -2]),
        ("zeros", [0] * 6),
        ("ones", [1] * 6),
        ("ignore", [-2] * 6),
    ],
)
def test_only_what_is_uncertain_changes(policy, expected):
    before = LABELS.copy()
    out = apply_uncertain_policy(LABELS, NAMES, policy)
    np.testing.assert_array_equal(out, [expected, LABELS[1]])
    np.testing.assert_array_equal(LABELS, before)
    assert out.dtype == np.int8


def test_a_class_is_known_by_its_name_and_not_by_its_place():
    out = apply_uncertain_policy(LABELS[:, ::-1], NAMES[::-1])
    np.testing.assert_array_equal(out[0], [-2, 1, 1, 0, 0, 1])


def test_policies_are_named():
    with pytest.raises(BadInput, match="'maybe' is none of by_class, zeros, ones, ignore"):
        apply_uncertain_policy(LABELS, NAMES, "maybe")
