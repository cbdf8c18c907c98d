"""Stopping in time: SIGTERM and Ctrl-C are noted, and polled at every step and evaluation batch."""

import contextlib
import os
import signal
import threading
from types import FrameType

import jax


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and has saved. The message says at which step."""


class StopRequested(Exception):  # noqa: N818
    """Raised where a stop that was asked for is noticed; the loop saves and raises Stopped."""


class Preemption:
    """Notes the first signal. A second one acts as it would have without us.

    With several processes JAX's own service takes SIGTERM: it tells the others and has all stop
    after the same step or evaluation batch. Ctrl-C stops at once there.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._before: dict[int, object] = {}
        self._asked = 0

    def __enter__(self) -> "Preemption":
        main_thread = threading.current_thread() is threading.main_thread()
        if main_thread and jax.process_count() == 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *unused) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal = signal.Signals(number)
        self._restore()
        # Not print: the signal may have come in the middle of one.
        words = f"place: {self.signal.name}: saves, then stops; the same again stops at once\n"
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(2, words.encode())

    def requested(self) -> bool:
        """Whether to stop here: the same answer on every host, where all ask equally often."""
        if jax.process_count() == 1:
            return self.signal is not None
        from jax.experimental import multihost_utils

        # Not the step: evaluation asks too, between two of them.
        self._asked += 1
        return multihost_utils.reached_preemption_sync_point(self._asked)

    def poll(self) -> None:
        """Raises StopRequested where a stop was asked for: between evaluation batches."""
        if self.requested():
            raise StopRequested
