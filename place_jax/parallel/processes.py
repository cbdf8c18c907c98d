"""One process a host: joining the others of a run, agreeing with them, leaving after a failure."""

import importlib.util
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_meetings = itertools.count()
_PATIENCE_MS = 3600 * 1000  # a process that is lost ends a meeting sooner; one that hangs, not
_EXPLICIT = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def connect(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins the other processes of this run, where there are any. Before any use of a device.

    They are looked for, in this order, in the arguments; in JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; and where jax.distributed finds them by itself: in a
    Slurm step of several tasks, on GKE's TPU nodes and on a TPU VM. Else this is a run of one.

    Args:
      coordinator: HOST:PORT of process 0, which listens there.
      num_processes: how many there are.
      process_id: which of them this is, from 0.

    Raises:
      ValueError: where only some of the three are given.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    explicit = _explicit(coordinator, num_processes, process_id)
    if explicit is not None:
        jax.distributed.initialize(*explicit)
    elif is_cluster(os.environ) or is_tpu_machine():
        jax.distributed.initialize()


def _explicit(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> tuple[str, int, int] | None:
    given = (coordinator, num_processes, process_id)
    names = ("--coordinator", "--num-processes", "--process-id")
    if given == (None, None, None):
        given = tuple(os.environ.get(name) for name in _EXPLICIT)
        names = _EXPLICIT
        if given[1] is None and given[2] is None:
            return None  # an address alone only overrides what a cluster says
    if missing := [n for n, value in zip(names, given, strict=True) if value is None]:
        raise ValueError(
            f"{', '.join(missing)} not given, and the rest of {', '.join(names)} is: give all "
            "three, or none where Slurm, GKE or a TPU VM says them"
        )
    return str(given[0]), int(given[1]), int(given[2])


def is_cluster(environment: Mapping[str, str]) -> bool:
    """Whether the environment is that of one process among several, under Slurm or on GKE."""
    if all(name in environment for name in _SLURM):
        return int(environment["SLURM_NTASKS"]) > 1
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    return "," in hosts or int(environment.get("MEGASCALE_NUM_SLICES") or 1) > 1


def is_tpu_machine() -> bool:
    """Whether this machine has TPU chips that JAX may use; the metadata server knows the others."""
    if os.environ.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return False
    chips = [*pathlib.Path("/dev").glob("accel[0-9]*"), *pathlib.Path("/dev").glob("vfio/[0-9]*")]
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def from_first(value: Any) -> Any:
    """Process 0's value, on every process: a decision that all must take alike.

    Args:
      value: what JSON holds; at most 64 KiB of it.
    """
    return gather(value)[0]


def gather(value: Any) -> list[Any]:
    """Every process's value, in their order, on every process.

    Args:
      value: what JSON holds; at most 64 KiB of it.
    """
    import jax

    if jax.process_count() == 1:
        return [value]
    from jax.experimental import multihost_utils

    text = json.dumps(value).encode()
    longest = int(multihost_utils.process_allgather(np.int32(len(text))).max())
    if longest > 65536:
        raise ValueError(f"a value of {longest} bytes is too long to share: 65536 at most")
    padded = np.frombuffer(text.ljust(longest), np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(np.asarray(row).tobytes()) for row in rows]


def meet(why: str) -> None:
    """Returns when every process has come here, up to an hour apart.

    For after what each does by itself and may take minutes, such as compiling: collectives do not
    wait so long. On CPUs, what joins devices for their first one gives up after 30 s.

    Args:
      why: a name for logs; all call it equally often and in the same order.
    """
    import jax

    if jax.process_count() == 1:
        return
    from orbax.checkpoint import multihost

    wait = multihost.get_barrier_sync_fn()
    wait(key=f"place {why} {next(_meetings)}", timeout_ms=_PATIENCE_MS)


def leave(status: int) -> NoReturn:
    """Ends this process at once after a failure, where others would else wait for it.

    A regular exit meets the others first, who may hang in a step that this one will never take.
    They notice that it is gone, and end too, for a launcher to start all again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
