"""Kills a run of several processes at random moments, and holds what it ends with to a run that
was never killed.

    python benchmarks/kill_test.py --out runs/kill_test

One process of two gets SIGKILL or SIGTERM at a random moment: while it starts, compiles, steps,
evaluates or saves. The other is left to end by itself, and killed if it has not after a while, as
a launcher would; then both are started again. A process is a fork of one that has imported the
libraries and used no device: imports take longest, and no state is lost there.

Held for the first run: parameters, optimizer and all other arrays are equal bit for bit to those of
the run never killed; every step took the batch that it takes there, none twice and none left out;
metrics.jsonl has each logged step once; a finished checkpoint was never lost. For the second, in
float64 and with a restart on one process of another device count: its arrays are equal to rounding.
Writes benchmarks/results/kill_test.json.
"""

import argparse
import atexit
import dataclasses
import json
import multiprocessing
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
import traceback

RESULTS = pathlib.Path(__file__).parent / "results"
_STOPPED = 143
_FAILED = 3  # starts that may fail by themselves
_PATIENCE = 8.0  # seconds that the other process gets to end by itself
_SMALL = {
    f"model.{tower}.{key}": value
    for tower in ("image", "text", "observation", "correlation")
    for key, value in (("width", 16), ("heads", 2), ("mlp_dim", 32), ("depth", 1))
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """How many processes, and how many simulated devices each of them has."""

    processes: int
    devices: int


class Worker:
    """A forked process of a run."""

    def __init__(self, environment: dict[str, str], log: pathlib.Path, arguments: list[str]):
        self.status: int | None = None
        self._pid = os.fork()
        if self._pid:
            return
        status = 1
        try:
            said = os.open(log.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.environ |= environment
            status = work(log, arguments)
            atexit._run_exitfuncs()  # as the interpreter's own end does: JAX meets the others there
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def poll(self) -> int | None:
        """The exit status, minus the signal for one that was killed, or None."""
        if self.status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self._pid, number)


@dataclasses.dataclass
class Fleet:
    """The processes of one start of a run.

    Attributes:
      workers: the processes.
      logs: a file each, with a line for every step that the host has taken.
      started: when, by time.monotonic.
    """

    workers: list[Worker]
    logs: list[pathlib.Path]
    started: float

    def steps(self) -> list[int]:
        """The steps that process 0 has taken in this start."""
        if not self.logs[0].exists():
            return []
        lines = self.logs[0].read_text().splitlines()
        return [json.loads(line)["step"] for line in lines if line.endswith("}")]

    def end(self) -> list[int]:
        """Waits for all; once one has ended the others get a while. Returns the statuses."""
        deadline = None
        while any(w.poll() is None for w in self.workers):
            if deadline is None and any(w.poll() is not None for w in self.workers):
                deadline = time.monotonic() + _PATIENCE
            failed = any(w.poll() not in (None, 0, _STOPPED) for w in self.workers)
            if failed and deadline is not None and time.monotonic() > deadline:
                for worker in self.workers:
                    worker.send_signal(signal.SIGKILL)
            time.sleep(0.05)
        return [w.poll() for w in self.workers]


def settings(data: pathlib.Path, steps: int, dtype: str, objective: str) -> list[str]:
    """The overrides of phantom_demo:smoke: tiny, saved every 3 steps and validated every 20."""
    values = _SMALL | {
        "data.dir": data,
        "objective": objective,
        "model.joint_dim": 16,
        "model.dtype": dtype,
        "model.param_dtype": dtype,
        "train.steps": steps,
        "train.log_every": 2,
        "train.checkpoint_every": 3,
        "train.eval_every": 20,
        "evaluation.max_examples": 16,
        "evaluation.bootstrap": 10,
    }
    return [f"{key}={value}" for key, value in values.items()]


def start(workdir: pathlib.Path, overrides: list[str], topology: Topology, number: int) -> Fleet:
    """Starts the processes of a run on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    arguments = ["train", "--config", "phantom_demo:smoke", "--workdir", str(workdir)]
    arguments += [f"--config.{item}" for item in overrides]
    workers, logs = [], []
    for process in range(topology.processes):
        logs.append(workdir.parent / f"{workdir.name}_steps_{number:03d}_{process}.jsonl")
        environment = {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={topology.devices} "
            "--xla_backend_optimization_level=0 "
            # A busy machine may take longer than 40 s to bring all devices to one place.
            "--xla_cpu_collective_call_terminate_timeout_seconds=600",
        }
        if topology.processes > 1:
            environment |= {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(topology.processes),
                "JAX_PROCESS_ID": str(process),
            }
        workers.append(Worker(environment, logs[-1], arguments))
    return Fleet(workers, logs, time.monotonic())


def import_all() -> None:
    """Imports what a run does. Nothing here may use a device: a fork would share it."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
    from data_pipelines.image_stream import import_tensorflow

    import_tensorflow()
    import clu.metric_writers  # noqa: F401
    from orbax.checkpoint import v1  # noqa: F401

    import place_jax.predictor
    import place_jax.report_page
    import place_jax.training.loop
    import place_jax.transfer.evaluation  # noqa: F401


def work(log: pathlib.Path, arguments: list[str]) -> int:
    """One process: `place train`, with a line in a file for every step and its batch."""
    import jax

    from place_jax import cli
    from place_jax.training import bad_steps

    jax.config.update("jax_enable_x64", "--config.model.dtype=float64" in arguments)
    jax.config.update("jax_compilation_cache_dir", str(log.parent / "compilations"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    remember = bad_steps.BadSteps.remember
    file = open(log, "a", buffering=1)  # noqa: SIM115

    def remember_and_log(self, step, index, count):
        file.write(json.dumps({"step": step, "index": index.tolist()}) + "\n")
        remember(self, step, index, count)

    bad_steps.BadSteps.remember = remember_and_log
    return cli.main(arguments)


def saved(workdir: pathlib.Path) -> list[int]:
    """Steps of the finished checkpoints."""
    folder = workdir / "checkpoints"
    return (
        sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.exists() else []
    )


def kill_at_random(
    fleet: Fleet, chance: random.Random, startup: float, sign: signal.Signals, most: int
) -> dict | None:
    """Sends the signal to one process at a random moment. None where the run was over first.

    Args:
      fleet: the processes.
      chance: draws the moment and the process.
      startup: seconds until a first step, about.
      sign: the signal.
      most: steps of this start before it, at most, so that all kills find a run; 0 while it starts.
    """
    wanted = 0 if not most or chance.random() < 0.25 else chance.randint(1, most)
    # A second is long enough to be in an evaluation, or in a save; a tenth is within the step.
    pause = chance.random() * (startup if not wanted else chance.choice((0.1, 1.0)))
    while len(fleet.steps()) < wanted:
        if any(w.poll() is not None for w in fleet.workers):
            return None
        time.sleep(0.02)
    end = time.monotonic() + pause
    while time.monotonic() < end and (wanted or not fleet.steps()):
        time.sleep(0.01)
    victim = chance.randrange(len(fleet.workers))
    if any(w.poll() is not None for w in fleet.workers):
        return None
    taken = fleet.steps()
    fleet.workers[victim].send_signal(sign)
    return {
        "signal": sign.name,
        "process": victim,
        "at_step": taken[-1] if taken else None,
        "seconds_after_start": round(time.monotonic() - fleet.started, 1),
    }


def run_and_kill(
    workdir: pathlib.Path,
    overrides: list[str],
    topology: Topology,
    steps: int,
    kills: int,
    seed: int,
    startup: float,
    until: float,
    elsewhere: Topology | None = None,
) -> tuple[list[dict], dict[str, int]]:
    """A run that is killed so many times and then left to end.

    Args:
      workdir: of the run.
      overrides: of its config.
      topology: of its starts.
      steps: of the whole run.
      kills: how many.
      seed: of the moments.
      startup: seconds until a first step, about.
      until: after this moment of time.monotonic it is killed no more.
      elsewhere: the topology of the start after the first kill.

    Returns:
      A record of each kill, how many starts there were, and how many of them failed by themselves:
      on a busy machine one process may wait too long for the other. They are started again.
    """
    chance = random.Random(seed)
    records: list[dict] = []
    number = failed = 0
    while True:
        moved = elsewhere if elsewhere and len(records) == 1 else topology
        before = saved(workdir)
        fleet = start(workdir, overrides, moved, number)
        number += 1
        record = None
        if len(records) < kills and time.monotonic() < until:
            sign = (signal.SIGKILL, signal.SIGTERM)[len(records) % 2]
            left = steps - max(before, default=0)
            most = max(min(2 * left // (kills - len(records)), left) - 2, 0)
            record = kill_at_random(fleet, chance, startup, sign, most)
        statuses = fleet.end()
        taken, after = fleet.steps(), saved(workdir)
        # What a start has saved, or has found saved, must still be there and be gone on from.
        assert not before or (after and max(after) >= max(before)), (before, after)
        assert not taken or taken[0] == max(before, default=0) + 1, (before, taken[:1])
        if record is None and set(statuses) != {0}:
            failed += 1
            print(f"start {number - 1} failed by itself with {statuses}", flush=True)
            assert failed <= _FAILED, f"see {fleet.logs[0].with_suffix('.txt')}"
            continue
        if record is None:
            short = len(records) < kills and time.monotonic() < until
            assert not short, f"the run was over after {len(records)} kills: give more --steps"
            return records, {"starts": number, "failed_by_themselves": failed}
        stopped = set(statuses) == {_STOPPED}
        if stopped and taken:
            assert max(after) == taken[-1], "stopped without saving its last step"
        records.append(
            record
            | {
                "processes": moved.processes,
                "devices": moved.processes * moved.devices,
                "statuses": statuses,
                "steps_lost": (taken[-1] - max(after, default=0)) if taken else 0,
                "goes_on_from": max(after, default=0),
            }
        )
        print(f"kill {len(records)}/{kills}: {records[-1]}", flush=True)


def batches_of(workdir: pathlib.Path) -> dict[int, list[int]]:
    """Step -> the examples of its global batch, from the last start that took the step."""
    found: dict[int, list[int]] = {}
    names = sorted(workdir.parent.glob(f"{workdir.name}_steps_*_0.jsonl"))
    for first in names:
        parts = sorted(workdir.parent.glob(first.name.replace("_0.jsonl", "_*.jsonl")))
        rows = [{} for _ in parts]
        for part, row in zip(parts, rows, strict=True):
            for line in part.read_text().splitlines():
                if line.endswith("}"):
                    entry = json.loads(line)
                    row[entry["step"]] = entry["index"]
        for step in sorted(rows[0]):
            if all(step in row for row in rows):
                found[step] = [i for row in rows for i in row[step]]
    return found


def logged(workdir: pathlib.Path) -> list[tuple[int, bool]]:
    """(step, whether it is of training) of each line of metrics.jsonl at the regular steps."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    found = [(row["step"], "train/loss" in row) for row in rows]
    return [(step, train) for step, train in found if not train or step % 2 == 0]


def arrays(workdir: pathlib.Path) -> dict:
    """The arrays of the last checkpoint, by path, on one device whatever they were saved from."""
    import jax
    import numpy as np
    from jax.sharding import SingleDeviceSharding
    from orbax.checkpoint import v1 as ocp

    from place_jax.parallel.partition import path_string
    from place_jax.training import checkpoints

    jax.config.update("jax_enable_x64", True)
    checkpoint = checkpoints.find(workdir)
    saved = ocp.checkpointables_metadata(checkpoint).metadata["state"]
    saved["key"] = jax.eval_shape(lambda: jax.random.key(0))
    device = SingleDeviceSharding(jax.devices()[0])
    wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), saved)
    state = ocp.load_checkpointables(checkpoint, {"state": wanted})["state"]
    state["key"] = jax.random.key_data(state["key"])
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {path_string(path): np.asarray(leaf) for path, leaf in leaves}


def compare(workdir: pathlib.Path, other: pathlib.Path) -> dict:
    """How a killed run's end differs from that of the run never killed."""
    import numpy as np

    a, b = arrays(workdir), arrays(other)
    assert a.keys() == b.keys()
    worst = max(
        float(np.linalg.norm(a[n] - b[n]) / max(np.linalg.norm(b[n]), 1.0))
        for n in a
        if np.issubdtype(a[n].dtype, np.floating)
    )
    return {
        "arrays": len(a),
        "arrays_equal_bit_for_bit": sum(bool(np.array_equal(a[n], b[n])) for n in a),
        "largest_relative_difference": worst,
        "steps": len(batches_of(other)),
        "batches_equal": batches_of(workdir) == batches_of(other),
        "metrics_lines_equal": logged(workdir) == logged(other),
    }


def experiment(
    out: pathlib.Path,
    *,
    data: pathlib.Path,
    steps: int,
    kills: int,
    seed: int,
    minutes: float,
    objective: str,
    dtype: str,
    elsewhere: bool,
) -> dict:
    """One run never killed, one that is, and how they differ."""
    name = f"{dtype}_{'elsewhere' if elsewhere else 'same'}"
    overrides = settings(data, steps, dtype, objective)
    topology = Topology(processes=2, devices=1)
    other, workdir = out / f"{name}_never", out / f"{name}_killed"
    fleet = start(other, overrides, topology, 0)
    while not fleet.steps():
        assert all(w.poll() is None for w in fleet.workers), (
            f"see {fleet.logs[0].with_suffix('.txt')}"
        )
        time.sleep(0.05)
    startup = time.monotonic() - fleet.started
    statuses = fleet.end()
    assert statuses == [0, 0], statuses
    print(f"{name}: never killed, {steps} steps, the first after {startup:.0f} s", flush=True)
    records, starts = run_and_kill(
        workdir,
        overrides,
        topology,
        steps,
        kills,
        seed,
        startup,
        time.monotonic() + 60 * minutes,
        Topology(processes=1, devices=4) if elsewhere else None,
    )
    return {"name": name, "objective": objective, "kills": len(records)} | starts | {"log": records}


def prepare(folder: pathlib.Path) -> None:
    """Makes a small PhantomCXR, in a process of its own."""
    command = [sys.executable, "-m", "place_jax.cli", "prepare", "phantom", "--config", "easy"]
    command += ["--patients", "200", "--size", "64", "--image-size", "64", "--shards", "8"]
    subprocess.run([*command, "--out-dir", str(folder)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="a folder that is not there"
    )
    parser.add_argument("--data", type=pathlib.Path, help="a prepared PhantomCXR; else one is made")
    parser.add_argument("--objective", default="place")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kills-elsewhere", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="then it is killed no more")
    parser.add_argument("--result", type=pathlib.Path, default=RESULTS / "kill_test.json")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True)
    data = arguments.data or out / "data"
    if not data.exists():
        prepare(data)
    import_all()
    shared = {
        "data": data.absolute(),
        "steps": arguments.steps,
        "seed": arguments.seed,
        "minutes": arguments.minutes,
        "objective": arguments.objective,
    }
    result = {}
    for part, settings_of in {
        "same_topology": {"kills": arguments.kills, "dtype": "float32", "elsewhere": False},
        "one_restart_on_other_devices": {
            "kills": arguments.kills_elsewhere,
            "dtype": "float64",
            "elsewhere": True,
        },
    }.items():
        found = experiment(out, **settings_of, **shared)
        name, log = found.pop("name"), found.pop("log")
        with multiprocessing.get_context("fork").Pool(1) as pool:  # it uses a device
            differs = pool.apply(compare, (out / f"{name}_killed", out / f"{name}_never"))
        result[part] = found | differs | {"log": log}
        arguments.result.write_text(json.dumps(result, indent=1) + "\n")
    print({name: {k: v for k, v in p.items() if k != "log"} for name, p in result.items()})
    same, other = result.values()
    assert same["arrays_equal_bit_for_bit"] == same["arrays"], "not the same bit for bit"
    assert other["largest_relative_difference"] < 1e-9, "not the same to rounding"
    for part in result.values():
        assert part["batches_equal"], "a batch is missing, or was taken twice"
        assert part["metrics_lines_equal"], "metrics.jsonl has lost or doubled a line"


if __name__ == "__main__":
    main()
