"""A silence that is too long shows where every thread is, and ends the process."""

import threading

import pytest

from place_jax import configuration
from place_jax.training.watchdog import Watchdog


def hang_somewhere(released: threading.Event) -> None:
    assert released.wait(60), "the watchdog never barked"


def test_a_hung_step_is_named_and_its_stack_is_dumped(capfd):
    ended = threading.Event()
    with Watchdog(0.05, end=ended.set) as watchdog:
        watchdog.alive("step 7")
        hang_somewhere(ended)
    said = capfd.readouterr().err
    assert "process 0 has hung" in said and "in step 7 (train.hang_seconds=0.05)" in said
    assert "in hang_somewhere" in said and "place watchdog" not in said.splitlines()[0]


def test_compiling_may_take_as_long_as_it_likes():
    ended, watched = threading.Event(), threading.Event()
    watchdog = Watchdog(0.05, end=ended.set)
    closed_wait = watchdog._closed.wait
    looks = []

    def wait(seconds):
        looks.append(1)
        if len(looks) > 5:
            watched.set()
        return closed_wait(seconds)

    watchdog._closed.wait = wait
    with watchdog, watchdog.paused():
        assert watched.wait(60)
        assert not ended.is_set()


def test_zero_watches_nothing():
    before = threading.active_count()
    with Watchdog(0.0):
        assert threading.active_count() == before


def test_a_negative_time_is_refused():
    with pytest.raises(configuration.ConfigError, match=r"train\.hang_seconds=-1.0: 0 \(never\)"):
        configuration.load_config("phantom_demo", ["train.hang_seconds=-1.0"])
