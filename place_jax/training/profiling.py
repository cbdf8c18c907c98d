"""A profiler trace of a few steps, and compiled steps that are kept between runs."""

import os
import pathlib

import jax
from ml_collections import ConfigDict

from place_jax.training.progress import say

_KEPT_FROM_SECONDS = 1.0  # what compiles faster is not worth a file


class Profile:
    """Traces steps profile_from to profile_from + profile_steps into WORKDIR/profile.

    `tensorboard --logdir WORKDIR` shows it, with its profile plug-in, or xprof.

    Args:
      workdir: of the run.
      settings: config.train.
    """

    def __init__(self, workdir: pathlib.Path, settings: ConfigDict):
        self._folder = workdir / "profile"
        self._first = settings.profile_from
        self._last = settings.profile_from + settings.profile_steps
        self._on = False

    def at(self, step: int) -> None:
        """To be called before step number `step`, counted from 0, and after the last."""
        if self._on and step >= self._last:
            jax.profiler.stop_trace()
            self._on = False
            say(f"traced steps {self._first} to {step}: {self._folder}")
        elif not self._on and self._first <= step < self._last:
            self._first = step  # a run may go on from within
            jax.profiler.start_trace(os.fspath(self._folder))
            self._on = True


def keep_compilations(folder: str) -> None:
    """Keeps compiled steps in a folder, local or of a bucket; "" leaves JAX as it is set."""
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _KEPT_FROM_SECONDS)
