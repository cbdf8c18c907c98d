"""Steps that are not finite are named with their batch, and end the run when they are too many."""

import jax.numpy as jnp
import numpy as np
import pytest

from place_jax.training.bad_steps import BadSteps, NotFinite


def batch(step: int) -> np.ndarray:
    return np.arange(3) + 10 * step


def remember(bad_steps: BadSteps, counts: dict[int, int]) -> None:
    for step, count in counts.items():
        bad_steps.remember(step, batch(step), jnp.int32(count))


def test_good_steps_say_nothing():
    bad_steps = BadSteps(2, limit=3)
    remember(bad_steps, {5: 2, 6: 2})
    assert bad_steps.check() is None


def test_a_bad_step_between_two_logs_is_named():
    bad_steps = BadSteps(0, limit=3)
    remember(bad_steps, {1: 0, 2: 1, 3: 1})
    assert "1 step(s) not finite" in (said := bad_steps.check())
    assert "step 2 on the training images 20, 21, 22" in said
    remember(bad_steps, {4: 1})
    assert bad_steps.check() is None


def test_too_many_end_the_run():
    bad_steps = BadSteps(1, limit=3)
    remember(bad_steps, {7: 2, 8: 3})
    with pytest.raises(NotFinite) as caught:
        bad_steps.check()
    message = str(caught.value)
    assert "80, 81, 82" in message and "train.max_bad_steps=3" in message and "\n" not in message


def test_a_large_batch_is_not_listed_whole():
    bad_steps = BadSteps(0, limit=9)
    bad_steps.remember(1, np.arange(2048), jnp.int32(1))
    assert "63 and 1984 more" in bad_steps.check()
