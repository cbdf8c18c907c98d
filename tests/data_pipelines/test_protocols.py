"""The reference code's splits are scikit-learn's."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from data_pipelines.records import BadInput
from data_pipelines.sources.protocols import check_protocol, train_test_positions


@pytest.mark.parametrize("number, test", [(26684, 10674), (12954, 0.3), (1801, 0.5), (7, 0.1)])
@pytest.mark.parametrize("random_state", [0, 42])
def test_positions_are_those_of_scikit_learn(number, test, random_state):
    ours = train_test_positions(number, test, random_state=random_state)
    theirs = train_test_split(np.arange(number), test_size=test, random_state=random_state)
    for positions, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(positions, expected)


def test_a_protocol_of_another_name():
    check_protocol("strict")
    with pytest.raises(BadInput, match="'lenient' is none of strict, mgca_compat"):
        check_protocol("lenient")
