"""Metrics of a run: a line of metrics.jsonl a step, and TensorBoard events."""

import io
import json
import math
import os
import pathlib
from collections.abc import Mapping

from place_jax.training.workdir import as_path, is_remote, write_whole

TRAIN = "train/"  # what names of training metrics begin with; others are held-out scores


class MetricWriter:
    """Writes scalars by step. A run that goes on from a step drops what came after it.

    Held-out scores of that very step are dropped too: they are taken anew.

    Args:
      workdir: where metrics.jsonl and the events go.
      start_step: the step that was restored; 0 for a new run.
      enabled: False on all hosts but the first.
    """

    def __init__(self, workdir: str | os.PathLike, *, start_step: int, enabled: bool = True):
        self._enabled = enabled
        self.workdir = as_path(workdir)
        if not enabled:
            return
        from data_pipelines.image_stream import import_tensorflow

        import_tensorflow()
        from clu import metric_writers

        self._path = self.workdir / "metrics.jsonl"
        kept = _kept(self._path, start_step)
        if kept is not None:
            write_whole(self._path, kept)
        self._remote = is_remote(self._path)
        # A bucket's objects cannot be appended to: there, `flush` writes the whole of it anew.
        self._file = io.StringIO() if self._remote else self._path.open("a", encoding="utf-8")
        if self._remote:
            self._file.write(kept or "")
        self._events = metric_writers.AsyncWriter(metric_writers.SummaryWriter(os.fspath(workdir)))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one line, where a number that is not finite is null, and the same as events."""
        if not self._enabled:
            return
        values = {name: float(value) for name, value in metrics.items()}
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()
        self._events.write_scalars(step, values)

    def flush(self) -> None:
        """Makes sure that what was written is kept, to be called before a state is saved: what
        comes after the state that a run goes on from is dropped anyway.
        """
        if self._enabled and self._remote:
            write_whole(self._path, self._file.getvalue())

    def close(self) -> None:
        """Flushes both."""
        if self._enabled:
            self.flush()
            self._file.close()
            self._events.close()


def _kept(path: pathlib.Path, step: int) -> str | None:
    """The lines of a file up to a step, None where there is no file."""
    if not path.exists():
        return None
    kept = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that a kill cut short
        trained = any(name.startswith(TRAIN) for name in row)
        if row["step"] < step or (row["step"] == step and trained):
            kept.append(line + "\n")
    return "".join(kept)
