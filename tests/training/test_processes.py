"""Several processes on loopback: they compute, score and stop as one; another number goes on."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_step
from one_of_several import STOP_AT
from tiny_run import tiny_config

from place_jax.parallel import processes
from place_jax.parallel.mesh import make_mesh
from place_jax.training import checkpoints, loop
from place_jax.training.bad_steps import BadSteps
from place_jax.training.held_out import HeldOut

SCRIPT = pathlib.Path(tiny_step.__file__).with_name("one_of_several.py")


def run_together(tasks: str, out: pathlib.Path, data: pathlib.Path, *, hosts: int) -> None:
    """Starts the processes, eight devices in all, and waits for them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={8 // hosts}"
    # A busy machine may take longer than 40 s to bring all devices to one place.
    flags += " --xla_cpu_collective_call_terminate_timeout_seconds=600"
    started = []
    for process in range(hosts):
        environment = {
            "JAX_COORDINATOR_ADDRESS": address,
            "JAX_NUM_PROCESSES": str(hosts),
            "JAX_PROCESS_ID": str(process),
            "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0",
        }
        started.append(
            subprocess.Popen(
                [sys.executable, str(SCRIPT), tasks, str(out), str(data)],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [process.communicate()[0] for process in started]
    for process, words in zip(started, said, strict=True):
        assert process.returncode == 0, words[-3000:]


def found(out: pathlib.Path, name: str, process: int):
    return json.loads((out / f"{name}_{process}.json").read_text())


def arrays(out: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    with np.load(out / f"{name}.npz") as saved:
        return {key.replace("|", "/"): saved[key] for key in saved.files}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> pathlib.Path:
    """What two processes left that compute next to nothing."""
    out = tmp_path_factory.mktemp("pair")
    run_together("agree,keep", out, out, hosts=2)
    return out


def test_two_processes_know_the_same_and_stop_at_once(pair):
    first, second = (found(pair, "agree", process) for process in range(2))
    assert first == second and first["heard"] == [10, 11] and first["first"] == 10
    assert first["asked"] >= STOP_AT  # process 1 alone was told to stop, and not before this


def test_what_two_processes_save_one_reads(pair):
    from orbax.checkpoint import v1 as ocp

    checkpoint = checkpoints.find(pair / "kept")
    assert checkpoint.name == "5"
    rows = jax.ShapeDtypeStruct(
        (16, 3), np.float32, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
    )
    with checkpoints._alone(partial=True):
        state = ocp.load_checkpointables(checkpoint, {"state": {"params": {"rows": rows}}})["state"]
    np.testing.assert_array_equal(state["params"]["rows"], np.arange(48.0).reshape(16, 3))


@pytest.fixture(scope="module")
def two_hosts(phantom_dir, tmp_path_factory) -> pathlib.Path:
    """What two processes of four devices left."""
    out = tmp_path_factory.mktemp("two_hosts")
    run_together("step,evaluate,train", out, phantom_dir, hosts=2)
    return out


def assert_same_gradients(got, expected) -> None:
    for name, value in expected.items():
        scale = np.linalg.norm(value)
        if name.endswith("key/bias"):
            # Attention does not change when all keys move together: this gradient is rounding.
            scale = np.linalg.norm(expected[name.replace("bias", "kernel")])
        assert np.linalg.norm(got[name] - value) <= 1e-5 * scale, name


def leaves(tree) -> dict[str, np.ndarray]:
    from place_jax.parallel.partition import path_string

    found = jax.tree_util.tree_leaves_with_path(tree)
    return {path_string(path): np.asarray(leaf) for path, leaf in found}


@pytest.mark.slow
def test_gradients_of_two_hosts_are_those_of_one_device(two_hosts, step_config):
    run = tiny_step.TinyRun(step_config(), devices=1)
    expected = leaves(run.gradient(run.step(run.init(), run.batch(0))[0]))
    assert_same_gradients(arrays(two_hosts, "gradient"), expected)


@pytest.mark.slow
def test_both_hosts_score_a_split_that_does_not_divide_as_one_does(two_hosts, phantom_dir):
    from place_jax.transfer import evaluation

    config = tiny_step.tiny_evaluation(phantom_dir)
    mesh = make_mesh(config.mesh)
    model, params, state, data = tiny_step.spread_model(config, mesh)
    alone = evaluation.evaluate(
        model, params, state, data, "validation", config, mesh=mesh, bootstrap=0
    )
    assert alone and data.splits["validation"] % 16
    for process in range(2):
        scores = found(two_hosts, "scores", process)
        assert scores.keys() == alone.keys()
        for name, value in alone.items():
            assert scores[name] == pytest.approx(value, rel=1e-4, abs=1e-5, nan_ok=True), name


@pytest.mark.slow
def test_one_is_told_to_stop_and_both_do_after_the_same_step(two_hosts):
    first, second = (found(two_hosts, "train", process) for process in range(2))
    at = first["taken"][-1][0]
    assert (
        first["said"]
        == second["said"]
        == f"stopped at step {at}, which is saved: " + ("the same command goes on")
    )
    assert [s for s, _ in first["taken"]] == [s for s, _ in second["taken"]]
    assert STOP_AT - 1 <= at < 7
    assert checkpoints.latest_step(two_hosts / "run") == at


@pytest.mark.slow
def test_process_0_alone_writes(two_hosts):
    lines = (two_hosts / "run" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert len(list((two_hosts / "run").glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_one_process_goes_on_and_ends_as_if_it_had_always_been_one(
    two_hosts, phantom_dir, tmp_path, monkeypatch
):
    taken, remember = {}, BadSteps.remember

    def note(self, at, index, count):
        taken[at] = index.tolist()
        remember(self, at, index, count)

    monkeypatch.setattr(BadSteps, "remember", note)
    monkeypatch.setattr(HeldOut, "validate", lambda *args: {})
    monkeypatch.setattr(HeldOut, "test", lambda *args: {})
    config = tiny_step.short_run(tiny_config(phantom_dir))
    loop.train_and_evaluate(config, tmp_path / "alone")
    alone = dict(taken)
    parts = [dict(found(two_hosts, "train", process)["taken"]) for process in range(2)]
    together = {at: parts[0][at] + parts[1][at] for at in parts[0]}
    taken.clear()
    loop.train_and_evaluate(config, two_hosts / "run")
    assert together | taken == alone and not together.keys() & taken.keys()
    ends = [checkpoints.load_for_inference(w)[0] for w in (two_hosts / "run", tmp_path / "alone")]
    got, expected = (leaves(params) for params in ends)
    for name, value in expected.items():
        scale = 1.0 if name.endswith("key/bias") else max(np.linalg.norm(value), 1e-3)
        assert np.linalg.norm(got[name] - value) <= 1e-3 * scale, name


@pytest.mark.slow
def test_twenty_steps_in_float64_on_two_hosts_are_those_of_one_device(
    tmp_path, phantom_dir, step_config
):
    run_together("twenty_steps", tmp_path, phantom_dir, hosts=2)
    with jax.enable_x64(True):
        run = tiny_step.TinyRun(step_config(tiny_step.DOUBLE), devices=1)
        state = run.init()
        for number in range(20):
            state, _ = run.step(state, run.batch(number))
        expected = leaves(state.params)
    got = arrays(tmp_path, "params")
    for name, value in expected.items():
        scale = 1.0 if name.endswith("key/bias") else np.linalg.norm(value)
        assert np.linalg.norm(got[name] - value) <= 1e-9 * scale, name


@pytest.mark.slow
def test_four_hosts(tmp_path, phantom_dir, step_config):
    run_together("step,evaluate,train", tmp_path, phantom_dir, hosts=4)
    run = tiny_step.TinyRun(step_config(), devices=1)
    expected = leaves(run.gradient(run.step(run.init(), run.batch(0))[0]))
    assert_same_gradients(arrays(tmp_path, "gradient"), expected)
    assert len({json.dumps(found(tmp_path, "scores", p), sort_keys=True) for p in range(4)}) == 1
    assert len({found(tmp_path, "train", process)["said"] for process in range(4)}) == 1


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"TPU_WORKER_HOSTNAMES": "one"}, False),
        ({"TPU_WORKER_HOSTNAMES": "one,two"}, True),
        ({"TPU_WORKER_HOSTNAMES": "one", "MEGASCALE_NUM_SLICES": "2"}, True),
        (dict.fromkeys(processes._SLURM, "1"), False),
        (dict.fromkeys(processes._SLURM, "1") | {"SLURM_NTASKS": "8"}, True),
        ({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}, False),  # inside sbatch, outside srun
    ],
)
def test_the_environment_says_whether_there_are_others(environment, several):
    assert processes.is_cluster(environment) == several


def test_a_part_of_an_address_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="--process-id not given"):
        processes.connect("localhost:1", 2, None)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match="JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID not given"):
        processes.connect()


def test_one_process_agrees_with_itself():
    assert processes.gather({"a": 1}) == [{"a": 1}] and processes.from_first(3) == 3
