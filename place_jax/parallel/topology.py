"""TPU slices that are not here: devices to compile for, by a name such as v5e:16x16."""

import contextlib
import dataclasses
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from place_jax.configuration import ConfigError
from place_jax.parallel.hardware import CHIPS, Chip

TPUS = tuple(name for name, chip in CHIPS.items() if chip.torus)


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice's chip and shape, and how many slices there are.

    Attributes:
      chip: from the table of hardware.
      shape: chips along each axis of the torus.
      slices: joined over the data-centre network.
    """

    chip: Chip
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def chips(self) -> int:
        """In all slices."""
        return math.prod(self.shape) * self.slices

    @property
    def name(self) -> str:
        """As users write it."""
        return f"{self.chip.name}:{'x'.join(map(str, self.shape))}"

    @property
    def ici_bandwidth(self) -> float:
        """Bytes a second that a chip sends within its slice in a ring over all of its axes."""
        ways = sum(2 if size % self.chip.wraps_at == 0 else 1 for size in self.shape if size > 1)
        return self.chip.link_bandwidth * max(ways, 1)


def parse_topology(name: str, slices: int = 1) -> Topology:
    """Reads KIND:AxB or KIND:AxBxC.

    Raises:
      ConfigError: a kind, a shape or a number of slices that there is none of.
    """
    example = "v5e:16x16, v4:2x2x4, v5p:4x4x4, v6e:16x16 or tpu7x:4x4x4"
    match = re.fullmatch(r"([a-z0-9]+):(\d+(?:x\d+)*)", name.strip().lower())
    if match is None:
        raise ConfigError(f"topology {name!r} is not KIND:SHAPE: write it as {example}")
    kind, shape = match[1], tuple(map(int, match[2].split("x")))
    if kind not in TPUS:
        raise ConfigError(f"topology {name}: {kind} is not known, use one of {', '.join(TPUS)}")
    chip = CHIPS[kind]
    if len(shape) != chip.torus:
        raise ConfigError(
            f"topology {name} has {len(shape)} axes and {kind} has {chip.torus}: write it as "
            f"{example}"
        )
    if min(shape) < 1:
        raise ConfigError(f"topology {name}: each axis has 1 chip or more, such as {example}")
    if slices < 1:
        raise ConfigError(f"--slices={slices}: 1 or more")
    return Topology(chip, shape, slices)


def prepare_environment() -> None:
    """Lets libtpu compile where there is no TPU. To be called before jax is imported."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    for name, value in {
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_STDERR_LOG_LEVEL": "3",
        "TPU_MIN_LOG_LEVEL": "3",
    }.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """libtpu looks for a TPU and says at length that there is none: that is kept off the screen."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def devices_of(topology: Topology) -> list:
    """Devices to compile for; nothing can run on them.

    Raises:
      ConfigError: libtpu is not installed, or knows no such slice.
    """
    from jax.experimental import topologies

    options = {"chip_config_name": "megacore"} if topology.chip.name in ("v4", "v5p") else {}
    if max(topology.shape) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)  # it takes hosts of 2x2 otherwise
    if topology.slices > 1:
        options["num_slices"] = topology.slices
    try:
        with hushed():
            found = topologies.get_topology_desc(
                platform="tpu", topology_name=topology.name, **options
            )
    except Exception as error:  # the plug-in raises whatever it likes
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if re.search(r"(libtpu.* not|not installed)", first, re.IGNORECASE):
            raise ConfigError(
                "libtpu is needed, which comes with the tpu extra: pip install 'place_jax[tpu]'"
            ) from error
        raise ConfigError(
            f"topology {topology.name} cannot be compiled for: {first[:200]}; try a shape that "
            "is offered, such as v5e:4x4, v5e:16x16 or v4:2x2x4"
        ) from error
    return list(found.devices)
