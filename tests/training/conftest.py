"""Fixtures of tiny_step.py."""

import pytest
from tiny_step import TinyRun, make_config


@pytest.fixture(scope="session")
def step_config():
    """Makes a config by overrides."""
    return make_config


@pytest.fixture(scope="session")
def tiny_run(step_config):
    """The TinyRun that most tests share: one device, float32, with a moving average."""
    return TinyRun(step_config({"train.ema_decay": 0.5}), devices=1)


@pytest.fixture(scope="session")
def make_run(step_config):
    """Makes a TinyRun by overrides, devices and mesh."""

    def make(overrides=(), **kwargs):
        return TinyRun(step_config(overrides), **kwargs)

    return make
