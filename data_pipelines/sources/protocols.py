"""The two ways to split and label a data set: as the papers say, or as the reference code does."""

import math

import numpy as np

from data_pipelines.records import BadInput

STRICT = "strict"  # what the papers say
MGCA_COMPAT = "mgca_compat"  # what the code of MGCA does, that published numbers come from
PROTOCOLS = (STRICT, MGCA_COMPAT)


def check_protocol(protocol: str) -> None:
    """Raises BadInput: unknown_protocol."""
    if protocol not in PROTOCOLS:
        raise BadInput(
            "unknown_protocol", f"protocol={protocol!r} is none of {', '.join(PROTOCOLS)}"
        )


def train_test_positions(
    number: int, test: int | float, *, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Positions that scikit-learn's `train_test_split` of so many rows gives to train and to test.

    NumPy's old generator is frozen, so that a list is split alike under any version.

    Args:
      number: of rows.
      test: rows of the test part, or as a float its share, rounded up.
      random_state: as scikit-learn calls the seed.
    """
    count = math.ceil(test * number) if isinstance(test, float) else test
    order = np.random.RandomState(random_state).permutation(number)
    return order[count:], order[:count]
