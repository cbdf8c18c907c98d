"""A line on stderr every few seconds, for work that takes longer than that."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

_EVERY_SECONDS = 5.0


@contextlib.contextmanager
def progress(what: str, unit: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Says how far the block is, for as long as it runs.

    Args:
      what: the work, such as `prepare`.
      unit: of what is counted, such as `shards`.
      total: how many there are.
      done: counts those that are done; called from another thread.
    """
    stop = threading.Event()
    started, before = time.monotonic(), done()

    def show():
        while not stop.wait(_EVERY_SECONDS):
            count, seconds = done(), time.monotonic() - started
            fresh = count - before
            rest = f", about {seconds * (total - count) / fresh:.0f} s to go" if fresh else ""
            print(
                f"{what}: {count} of {total} {unit} after {seconds:.0f} s{rest}",
                file=sys.stderr,
                flush=True,
            )

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
