"""Run as a program: prepares a folder again and again, killed at each moment it is told.

    python killed_prepare.py OUT MOMENT...

A moment is the number of a step of writing files: before a file is begun, before a whole one takes
its name, after that. One process imports, and each attempt is a fork of it that kills itself.
"""

import contextlib
import os
import signal
import sys

from toy_source import ToySource

from data_pipelines import beam_encode  # noqa: F401 (imported before the forks)
from data_pipelines import manifest as folder_layout
from data_pipelines.prepare import prepare

SETTINGS = {"image_size": 48, "vocab_size": 200, "shards": 4, "workers": 1}


def kill_at(moment: int) -> None:
    """Makes this process die of SIGKILL at that step."""
    steps = iter(range(1, 1 << 30))
    whole = folder_layout.write_aside

    def step():
        if next(steps) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def write_aside(path):
        step()
        with whole(path) as partial:
            yield partial
            step()
        step()

    folder_layout.write_aside = write_aside


def main(out: str, moments: list[int]) -> None:
    for moment in moments:
        child = os.fork()
        if child == 0:
            kill_at(moment)
            prepare(ToySource(), out, **SETTINGS)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"the attempt that was to die at step {moment} ended with {status}")
    prepare(ToySource(), out, **SETTINGS)


if __name__ == "__main__":
    main(sys.argv[1], [int(word) for word in sys.argv[2:]])
