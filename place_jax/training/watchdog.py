"""A step that hangs: the stacks of all threads are dumped, and the process ends to be restarted.

A collective that one host never enters waits for ever on all the others, and the chips with it.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax

STATUS = 75  # EX_TEMPFAIL: a launcher starts the same command again


def _end() -> None:
    sys.stderr.flush()
    os._exit(STATUS)  # a regular exit would wait for the very thread that hangs


class Watchdog:
    """Expects a sign of life at least every so often, from `entering` to `leaving`.

    Args:
      seconds: how long silence may last; 0 watches nothing.
      end: what ends the process.
    """

    def __init__(self, seconds: float, *, end: Callable[[], None] = _end):
        self._seconds, self._end = seconds, end
        self._doing, self._since = "", time.monotonic()
        self._asleep = threading.Event()
        self._closed = threading.Event()

    def __enter__(self) -> "Watchdog":
        if self._seconds > 0:
            thread = threading.Thread(target=self._watch, name="place watchdog", daemon=True)
            thread.start()
        return self

    def __exit__(self, *unused) -> None:
        self._closed.set()

    def alive(self, doing: str) -> None:
        """A sign of life. `doing` is what comes next, to be named where it hangs."""
        self._doing, self._since = doing, time.monotonic()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside may take as long as it likes, as compiling does."""
        self._asleep.set()
        try:
            yield
        finally:
            self.alive(self._doing)
            self._asleep.clear()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._seconds / 4, 5)):
            silent = time.monotonic() - self._since
            if silent > self._seconds and not self._asleep.is_set():
                self._bark(silent)
                return

    def _bark(self, silent: float) -> None:
        # Not print: another thread may hold its lock.
        words = (
            f"place: process {jax.process_index()} has hung for {silent:.0f} s in "
            f"{self._doing or 'training'} (train.hang_seconds={self._seconds:g}); the stacks of "
            "its threads follow, then it ends: the same command goes on from the last checkpoint\n"
        )
        os.write(2, words.encode())
        faulthandler.dump_traceback(file=2, all_threads=True)
        self._end()
