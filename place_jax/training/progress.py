"""What a person sees of training: speed net of pauses, input wait, and how long it still takes."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Mapping

import jax

from place_jax.parallel.hardware import peak_flops_of


def say(words: str) -> None:
    """One line on the terminal, from the first process alone; nothing where nobody reads it."""
    if jax.process_index() == 0:
        # A `| tee` that is gone, as after Ctrl-C, must not keep a run from saving.
        with contextlib.suppress(OSError):
            print(f"place: {words}", flush=True)


class Progress:
    """Measures between two logs; compiling and evaluation do not count.

    Args:
      step: where the run starts.
      steps: where it ends.
      batch_size: pairs in the global batch.
      flops_per_pair: what MFU is counted from; 0 where the devices' peak is not known.
    """

    def __init__(self, step: int, steps: int, batch_size: int, *, flops_per_pair: float = 0.0):
        self._flops_per_pair = flops_per_pair
        self._begun = time.perf_counter()
        self._phases = dict.fromkeys(("compile", "evaluation", "checkpoint", "input"), 0.0)
        self._start, self._steps, self._batch_size = step, steps, batch_size
        self._last_step, self._last_time, self._pause = step, time.perf_counter(), 0.0
        self._seconds = 0.0

    @contextlib.contextmanager
    def paused(self, phase: str = "evaluation") -> Iterator[None]:
        """What happens inside is not training."""
        start = time.perf_counter()
        yield
        self._pause += time.perf_counter() - start
        self._phases[phase] += time.perf_counter() - start

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """What happens inside holds training up."""
        start = time.perf_counter()
        yield
        self._phases[phase] += time.perf_counter() - start

    def measure(self, step: int, waited: float) -> dict[str, float]:
        """Speed and memory since the last call, to be called when the device is done.

        Args:
          step: taken by now.
          waited: seconds of it in which the host waited for input; the device may have been busy.
        """
        now = time.perf_counter()
        seconds = max(now - self._last_time - self._pause, 1e-9)
        pairs = (step - self._last_step) * self._batch_size / seconds
        self._last_step, self._last_time, self._pause = step, now, 0.0
        self._seconds += seconds
        self._phases["input"] += waited
        speed = {
            "pairs_per_second": pairs,
            "pairs_per_second_per_device": pairs / jax.device_count(),
            "input_wait_share": waited / seconds,
        }
        peak = peak_flops_of(jax.devices()[0].device_kind)
        if self._flops_per_pair and peak:
            speed["mfu"] = pairs * self._flops_per_pair / (peak * jax.device_count())
        return speed | memory()

    def overall(self) -> dict[str, float]:
        """Speed since the start, how long that was, and where the time went.

        goodput is the share of the time in which steps ran: neither compiling, evaluating, saving
        nor waiting for input.
        """
        pairs = (self._last_step - self._start) * self._batch_size
        speed = {"pairs_per_second": pairs / self._seconds} if self._seconds else {}
        phases = {f"seconds_{phase}": seconds for phase, seconds in self._phases.items()}
        wall = max(time.perf_counter() - self._begun, 1e-9)
        steps = self._seconds - self._phases["checkpoint"] - self._phases["input"]
        return speed | {"seconds": self._seconds} | phases | {"goodput": max(steps, 0.0) / wall}

    def line(self, step: int, values: Mapping[str, float], speed: Mapping[str, float]) -> str:
        """One log in words."""
        parts = [f"{k.split('/')[0]} {values[k]:.3f}" for k in values if k.endswith("/loss")]
        left = (self._steps - step) * self._batch_size / speed["pairs_per_second"]
        words = f"step {step}/{self._steps}: loss {values['loss']:.3f}"
        words += f" ({', '.join(parts)})" if parts else ""
        words += f", {speed['pairs_per_second']:.0f} pairs/s"
        if speed["input_wait_share"] > 0.1:
            words += f", waits for input {speed['input_wait_share']:.0%} of the time"
        return words + (f", {left / 60:.0f} min to go" if left >= 60 else f", {left:.0f} s to go")


def memory() -> dict[str, float]:
    """Peaks in GiB: of this process, and of its first device where the device tells."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"host_memory_gib": peak * (1 if sys.platform == "darwin" else 1024) / 2**30}
    device = jax.local_devices()[0].memory_stats()
    if device and "peak_bytes_in_use" in device:
        found["device_memory_gib"] = device["peak_bytes_in_use"] / 2**30
    return found
