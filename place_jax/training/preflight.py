"""What can be wrong on the hosts of a run, found and said before a chip works for it.

Each host tells its facts, all see everyone's, and every problem is a line with its fix.
"""

import collections
import dataclasses
import hashlib
import importlib.metadata
import os
import platform
import socket
import time
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from data_pipelines.records import BadInput
from place_jax import configuration
from place_jax.parallel.processes import from_first, gather
from place_jax.training import google_cloud
from place_jax.training.workdir import as_path, is_remote

_PACKAGES = ("jax", "jaxlib", "libtpu", "flax", "optax", "orbax-checkpoint", "numpy", "place_jax")
_CLOCK_SECONDS = 10.0  # more would put logs out of order; minutes make a bucket refuse its key
_MARK = ".preflight"


@dataclasses.dataclass(frozen=True)
class HostFacts:
    """What one process says of itself.

    Attributes:
      host: its name.
      devices: how many it has.
      device_kind: of the first.
      versions: package -> version, Python's among them.
      config_hash: of the resolved config.
      manifest_hash: of the prepared data that it sees; empty where it could not be read.
      clock: time.time() at a moment that is the same for all but for some milliseconds.
      workdir_problem: why the workdir cannot be used from there, or empty.
      zone: of the cloud that it runs in, or empty.
    """

    host: str
    devices: int
    device_kind: str
    versions: dict[str, str]
    config_hash: str
    manifest_hash: str
    clock: float
    workdir_problem: str = ""
    zone: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a preflight found.

    Attributes:
      summary: a line on what there is.
      problems: a line each, with value and fix; none where the run may start.
    """

    summary: str
    problems: tuple[str, ...]


def preflight(
    config: ConfigDict, workdir: str | os.PathLike, data, *, devices: int | None = None
) -> Report:
    """Checks all hosts of a run. Every process calls it, and gets the same report.

    Args:
      config: of the run.
      workdir: of the run.
      data: PreparedData.
      devices: how many there must be over all hosts; None takes what there is.
    """
    counts = collections.Counter(device.process_index for device in jax.devices())
    uneven = _uneven(counts)
    if uneven:  # nothing can be shared before this is right: it takes a mesh of all devices
        return Report(f"{len(jax.devices())} devices", (uneven,))
    facts = [HostFacts(**row) for row in gather(dataclasses.asdict(_facts(config, workdir, data)))]
    problems = find_problems(facts, devices=devices)
    problems += _data_problems(config, data, hosts=len(facts))
    problems += sorted({line for line in gather(_weights_problem(config)) if line})
    problems += from_first(google_cloud.region_problems(facts[0].zone, (workdir, data.dir)))
    kinds = sorted({fact.device_kind for fact in facts})
    total = sum(fact.devices for fact in facts)
    summary = f"{total} device(s) of kind {' and '.join(kinds)} on {len(facts)} host(s)"
    return Report(summary, tuple(problems))


def check(config: ConfigDict, workdir: str | os.PathLike, data, *, devices: int | None) -> None:
    """Raises BadInput with all problems in one line."""
    report = preflight(config, workdir, data, devices=devices)
    if report.problems:
        raise BadInput("preflight", f"{report.summary}: {'; '.join(report.problems)}")


def find_problems(facts: Sequence[HostFacts], *, devices: int | None = None) -> list[str]:
    """What is wrong with some hosts, or between them."""
    problems = []
    total = sum(fact.devices for fact in facts)
    if devices is not None and total != devices:
        problems.append(
            f"{total} devices and --devices={devices}: a host or chip is missing, make the slice "
            "anew or correct the number"
        )
    problems += _different("device kind", {f.host: f.device_kind for f in facts}, "use one kind")
    for package in sorted({name for fact in facts for name in fact.versions}):
        versions = {f.host: f.versions.get(package, "not installed") for f in facts}
        problems += _different(package, versions, "set up all hosts from one checkout")
    config = {f.host: f.config_hash for f in facts}
    problems += _different("the config", config, "start the same command on all hosts")
    data = {f.host: f.manifest_hash for f in facts}
    problems += _different("data.dir's manifest", data, "give a folder that all hosts see")
    clocks = {f.host: f.clock for f in facts}
    first, last = min(clocks, key=clocks.get), max(clocks, key=clocks.get)
    if (skew := clocks[last] - clocks[first]) > _CLOCK_SECONDS:
        problems.append(
            f"the clock of {last} is {skew:.0f} s ahead of that of {first} ({_CLOCK_SECONDS:.0f} "
            "allowed): set the time there, as by `sudo chronyc makestep`"
        )
    for fact in facts:
        if fact.workdir_problem:
            problems.append(f"{fact.host}: {fact.workdir_problem}")
    return problems


def _different(what: str, values: dict[str, str], fix: str) -> list[str]:
    """A line where hosts differ: the fewest are named."""
    hosts = collections.defaultdict(list)
    for host, value in values.items():
        hosts[value].append(host)
    if len(hosts) < 2:
        return []
    ordered = sorted(hosts.items(), key=lambda item: len(item[1]))
    said = [f"{value or 'none'} on {', '.join(names[:4])}" for value, names in ordered[:-1]]
    return [f"{what} is {' and '.join(said)}, and {ordered[-1][0] or 'none'} elsewhere: {fix}"]


def _uneven(counts: collections.Counter) -> str:
    if len(set(counts.values())) < 2:
        return ""
    said = ", ".join(f"{count} on process {process}" for process, count in sorted(counts.items()))
    return f"hosts have different numbers of devices ({said}): each needs as many as the others"


def _data_problems(config: ConfigDict, data, *, hosts: int) -> list[str]:
    """Whether the shards of the training split can be shared out over the hosts."""
    from data_pipelines.batches import lane_plan

    try:
        lane_plan(data, batch_size=config.data.batch_size, seed=config.seed, num_hosts=hosts)
    except BadInput as error:
        return [str(error)]
    return []


def _weights_problem(config: ConfigDict) -> str:
    from place_jax.weights.pretrained import check_pretrained

    try:
        check_pretrained(config)
    except Exception as error:  # a bucket's own errors are of many kinds, and all hosts meet next
        return _line(error)
    return ""


def _facts(config: ConfigDict, workdir: str | os.PathLike, data) -> HostFacts:
    workdir_problem, clock = _try_workdir(workdir)
    return HostFacts(
        host=f"{socket.gethostname()}/{jax.process_index()}",
        devices=jax.local_device_count(),
        device_kind=jax.local_devices()[0].device_kind,
        versions=_versions(),
        config_hash=_hash(configuration.to_json(config)),
        manifest_hash=data.manifest_hash,
        clock=clock,
        workdir_problem=workdir_problem,
        zone=google_cloud.zone(),
    )


def _try_workdir(workdir: str | os.PathLike) -> tuple[str, float]:
    """Process 0 writes a mark there, all read it, and it goes away again.

    Returns:
      What is wrong, or an empty string; and the time when all had looked.
    """
    path = as_path(workdir)
    mark, first = path / _MARK, jax.process_index() == 0
    # The others do not look before it is made: a network's disk would remember that it was not.
    problem, made = "", first and not path.exists()
    word = from_first(f"{time.time_ns()}")
    if first:
        try:
            path.mkdir(parents=True, exist_ok=True)
            mark.write_text(word)
        except Exception as error:  # a bucket's own errors are of many kinds
            problem = f"cannot write to workdir={path} ({_line(error)}): choose one that it may"
    written = from_first(not problem)
    if written and not first:
        try:
            seen = mark.read_text() == word
        except Exception as error:
            problem = f"cannot read workdir={path} ({_line(error)})"
        else:
            problem = "" if seen else "it holds another run's mark"
        if problem:
            problem = f"{problem}; all hosts need the same one: give a bucket, or a shared disk"
    gather(None)  # all have looked
    clock = time.time()
    if first and not problem:
        mark.unlink()
        if made and not is_remote(path) and not any(path.iterdir()):
            path.rmdir()
    return problem, clock


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
