"""From a host's rows to global arrays on the mesh, one batch ahead of the step."""

import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh

from place_jax.parallel.mesh import batch_sharding

# What the step reads; labels stay on the host, so that pre-training cannot see them.
FIELDS = (
    "image",
    "tokens",
    "sentence_of_token",
    "statement",
    "sentence_mask",
    "report_statement",
    "example_mask",
)


def to_devices(rows: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """This host's rows as global arrays, each device with its slice."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, rows[name]) for name in FIELDS}


class Feed:
    """Hands out (device batch, indices), the next batch already on its way.

    Args:
      batches: of this host, from the step that comes next.
      mesh: where they go.

    Attributes:
      ahead: what `next` will hand out, where it is on its way already.
      waited: seconds spent waiting for input since `reset`.
    """

    def __init__(self, batches: Iterator[Mapping[str, np.ndarray]], mesh: Mesh):
        self._batches = batches
        self._mesh = mesh
        self._rows: Mapping[str, np.ndarray] | None = None
        self.ahead: tuple[dict[str, Array], np.ndarray] | None = None
        self.waited = 0.0

    def peek(self) -> Mapping[str, np.ndarray]:
        """This host's rows of the batch that comes next, which is not taken."""
        if self._rows is None:
            start = time.perf_counter()
            self._rows = next(self._batches)
            self.waited += time.perf_counter() - start
        return self._rows

    def next(self) -> tuple[dict[str, Array], np.ndarray]:
        """The next batch, and the index of each of this host's rows in the training split."""
        self.load_ahead()
        current, self.ahead = self.ahead, None
        return current

    def load_ahead(self) -> None:
        """Starts the next batch on its way, to be called when a step is under way."""
        if self.ahead is None:
            rows, self._rows = self.peek(), None
            self.ahead = to_devices(rows, self._mesh), rows["index"]

    def reset(self) -> None:
        """Starts to count the waiting anew."""
        self.waited = 0.0
