"""Steps whose loss or gradient is not finite: which they were, and when a run gives up."""

import collections

import jax
import numpy as np
from jax import Array

from place_jax.parallel.processes import gather

_SHOWN = 64  # training images named in one message


class NotFinite(FloatingPointError, ValueError):  # noqa: N818
    """A run stopped after train.max_bad_steps steps that were not finite."""


class BadSteps:
    """Remembers the batches since the last log, so that no step has to wait for its verdict.

    Args:
      seen: bad steps before the first one that is remembered here.
      limit: train.max_bad_steps.
    """

    def __init__(self, seen: int, limit: int):
        self._seen, self._limit = seen, limit
        self._recent: collections.deque[tuple[int, np.ndarray, Array]] = collections.deque()

    def remember(self, step: int, index: np.ndarray, bad_steps: Array) -> None:
        """Notes a step without looking at it.

        Args:
          step: its number, counted from 1.
          index: [rows] the positions of its examples in the training split, of this host.
          bad_steps: the count after it, still on the device.
        """
        self._recent.append((step, index, bad_steps))

    def check(self) -> str | None:
        """Looks at what was remembered. Waits for the device: call it where one waits anyway.

        Returns:
          A sentence on the steps that were bad, or None.

        Raises:
          NotFinite: they are now as many as the limit, or more.
        """
        counts = jax.device_get([count for _, _, count in self._recent])
        bad = []
        for (step, index, _), count in zip(self._recent, counts, strict=True):
            if count > self._seen:
                bad.append((step, index))
            self._seen = int(count)
        self._recent.clear()
        if not bad:
            return None
        step, index = bad[-1]
        # Every host counts the same steps, and comes here with its own rows of the batch.
        parts = gather({"some": index[:_SHOWN].tolist(), "count": len(index)})
        some = [i for part in parts for i in part["some"]][:_SHOWN]
        images = ", ".join(map(str, some))
        more = sum(part["count"] for part in parts) - len(some)
        images += f" and {more} more" if more else ""
        said = f"{len(bad)} step(s) not finite and not applied, the last of them step {step}"
        said += f" on the training images {images}"
        if self._seen >= self._limit:
            raise NotFinite(
                f"{said}; {self._seen} in all, and train.max_bad_steps={self._limit}: look at "
                "these records, or begin another workdir with a lower optimizer.learning_rate"
            )
        return said
