"""What a run says of its speed: MFU, phases, a trace of some steps, kept compilations."""

import jax
import jax.numpy as jnp
import pytest

from configs.base import get_config
from place_jax.training import flops, progress
from place_jax.training.profiling import Profile, keep_compilations


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch):
    def gone(*words, **how):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", gone)
    progress.say("a word")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_mfu_is_pairs_times_their_operations_over_the_peak(clock, monkeypatch):
    monkeypatch.setattr(progress, "peak_flops_of", lambda kind: 1e12)
    measured = progress.Progress(0, 100, 64, flops_per_pair=1e9)
    clock.now += 2.0
    speed = measured.measure(10, waited=0.5)
    assert speed["pairs_per_second"] == 320
    assert speed["pairs_per_second_per_device"] == 320 / jax.device_count()
    assert speed["mfu"] == pytest.approx(320 * 1e9 / (1e12 * jax.device_count()))


def test_no_mfu_where_the_peak_is_not_known(clock):
    measured = progress.Progress(0, 100, 64, flops_per_pair=1e9)
    clock.now += 1.0
    assert "mfu" not in measured.measure(10, waited=0.0)
    assert flops.flops_per_pair(get_config(), 50) == 0.0  # of a CPU, and nothing is traced for it


def test_goodput_is_the_share_in_which_steps_ran(clock):
    measured = progress.Progress(0, 100, 64)
    with measured.paused("compile"):
        clock.now += 4.0
    clock.now += 5.0
    with measured.timed("checkpoint"):
        clock.now += 1.0
    measured.measure(10, waited=2.0)
    overall = measured.overall()
    assert overall["seconds"] == 6.0  # compiling is no training
    assert overall["seconds_compile"] == 4.0 and overall["seconds_input"] == 2.0
    assert overall["goodput"] == pytest.approx(3.0 / 10.0)


def test_a_window_of_steps_is_traced(tmp_path):
    settings = get_config().train
    settings.update(profile_from=1, profile_steps=2)
    profile = Profile(tmp_path, settings)
    for step in range(5):
        profile.at(step)
        jnp.ones(3).block_until_ready()
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_compilations_are_kept_where_the_config_says(tmp_path):
    before = jax.config.jax_compilation_cache_dir
    keep_compilations("")
    assert jax.config.jax_compilation_cache_dir == before
    try:
        keep_compilations(str(tmp_path))
        assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
