"""Metrics of a run: a line of metrics.jsonl a step, and TensorBoard events."""

import json
import math
import os
import pathlib
from collections.abc import Mapping

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
        if not enabled:
            return
        from data_pipelines.image_stream import import_tensorflow

        import_tensorflow()
        from clu import metric_writers

        path = pathlib.Path(workdir) / "metrics.jsonl"
        _drop_after(path, start_step)
        self._file = path.open("a", encoding="utf-8")
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

    def close(self) -> None:
        """Flushes both."""
        if self._enabled:
            self._file.close()
            self._events.close()


def _drop_after(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # a line that a kill cut short
        trained = any(name.startswith(TRAIN) for name in row)
        if row["step"] < step or (row["step"] == step and trained):
            kept.append(line + "\n")
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text("".join(kept), encoding="utf-8")
    aside.replace(path)
