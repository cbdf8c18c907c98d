"""The loop: a run that is killed, stopped or left finished is the same run as one that was not."""

import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from place_jax import configuration, objectives
from place_jax.training import checkpoints, loop
from place_jax.training.bad_steps import NotFinite
from place_jax.training.feed import Feed
from place_jax.training.held_out import HeldOut
from place_jax.training.preemption import Stopped
from place_jax.training.watchdog import Watchdog

STEPS = 7


@pytest.fixture(scope="module")
def config(phantom_dir):
    """The demo's smoke config, narrower: logged at 2, 4, 6 and 7, saved at 3 and 6, validated
    at 5.
    """
    small = [
        f"model.{tower}.{key}={value}"
        for tower in ("image", "text", "observation", "correlation")
        for key, value in (("width", 16), ("heads", 2), ("mlp_dim", 32), ("depth", 1))
    ]
    settings = [f"data.dir={phantom_dir}", "model.joint_dim=16", f"train.steps={STEPS}"]
    settings += ["train.log_every=2", "train.checkpoint_every=3", "train.eval_every=5"]
    return configuration.load_config("phantom_demo:smoke", small + settings)


@pytest.fixture(scope="module", autouse=True)
def no_scores():
    """Scores and the page have tests of their own; here a score is one number, the page empty."""

    def touch_page(workdir):
        page = pathlib.Path(workdir) / "report.html"
        page.touch()
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldOut, "validate", lambda *args: {"zero_shot/validation/x": 0.5})
        patch.setattr(HeldOut, "test", lambda *args: {"zero_shot/test/x": 0.75})
        patch.setattr("place_jax.report_page.write_report", touch_page)
        yield


@pytest.fixture(scope="module")
def never_stopped(config, no_scores, tmp_path_factory):
    """The workdir of a run from the first step to the last in one go, and its result."""
    workdir = tmp_path_factory.mktemp("never_stopped")
    return workdir, loop.train_and_evaluate(config, workdir)


def lines(workdir):
    """metrics.jsonl, without what is measured by the clock."""
    clock = ("pairs_per_second", "wait_share", "memory_gib")
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{n: v for n, v in row.items() if not any(c in n for c in clock)} for row in rows]


def assert_same_run(workdir, other) -> None:
    """Every number of the last checkpoint is equal bit for bit, and every metric."""
    states = [ocp.load_checkpointables(checkpoints.find(w))["state"] for w in (workdir, other)]
    for state in states:
        state["key"] = jax.random.key_data(state["key"])
    a, b = (jax.tree_util.tree_leaves_with_path(state) for state in states)
    for (path, got), (_, expected) in zip(a, b, strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=str(path))
    assert lines(workdir) == lines(other)


def before_batch(monkeypatch, number: int, action) -> None:
    """Does something once, when the loop takes its batch of that number."""
    take, taken = Feed.next, []

    def next_batch(self):
        taken.append(1)
        if len(taken) == number:
            action()
        return take(self)

    monkeypatch.setattr(Feed, "next", next_batch)


def test_what_a_run_leaves(config, never_stopped):
    workdir, result = never_stopped
    assert result.step == STEPS and result.checkpoint == workdir / "checkpoints" / str(STEPS)
    assert configuration.from_json((workdir / "config.json").read_text()) == config
    steps = [(row["step"], "train/loss" in row) for row in lines(workdir)]
    assert steps == [(2, True), (4, True), (5, False), (6, True), (7, True), (7, False)]
    saved = json.loads((workdir / "result.json").read_text())
    assert saved == result.metrics
    assert saved["zero_shot/test/x"] == 0.75 and saved["train/pairs_per_second"] > 0
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["6", "7"]


def test_killed_and_run_again_it_is_the_same_run(config, never_stopped, tmp_path, capsys):
    code = (
        "import os, signal, sys, time\n"
        "from place_jax import configuration\n"
        "from place_jax.training import feed, loop\n"
        "take, taken = feed.Feed.next, []\n"
        "def next_or_die(self):\n"
        "    taken.append(1)\n"
        "    if len(taken) == 5:\n"
        "        while not os.path.exists(sys.argv[2] + '/checkpoints/3'):\n"
        "            time.sleep(0.01)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return take(self)\n"
        "feed.Feed.next = next_or_die\n"
        "config = configuration.from_json(open(sys.argv[1]).read())\n"
        "loop.train_and_evaluate(config, sys.argv[2])\n"
    )
    workdir, file = tmp_path / "run", tmp_path / "config.json"
    file.write_text(configuration.to_json(config))
    killed = subprocess.run(
        [sys.executable, "-c", code, str(file), str(workdir)], capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert lines(workdir)[-1]["step"] == 4 and not (workdir / "result.json").exists()
    loop.train_and_evaluate(config, workdir)
    assert "goes on from step 3" in capsys.readouterr().out
    assert_same_run(workdir, never_stopped[0])


@pytest.mark.parametrize("where", ["training", "evaluation", "last evaluation"])
def test_sigterm_saves_and_stops_and_the_same_command_goes_on(
    config, never_stopped, tmp_path, monkeypatch, capfd, where
):
    def terminate(*unused):
        os.kill(os.getpid(), signal.SIGTERM)

    def poll_in_evaluation(self, *args):
        terminate()
        self.poll()

    with monkeypatch.context() as patch:
        if where == "training":
            before_batch(patch, 5, terminate)
        else:
            which = "validate" if where == "evaluation" else "test"
            patch.setattr(HeldOut, which, poll_in_evaluation)
        at = STEPS if where == "last evaluation" else 5
        with pytest.raises(Stopped, match=f"stopped at step {at}, which is saved"):
            loop.train_and_evaluate(config, tmp_path)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert "SIGTERM: saves, then stops" in capfd.readouterr().err
    assert checkpoints.latest_step(tmp_path) == at
    loop.train_and_evaluate(config, tmp_path)
    # The stop itself was logged at step 5, and nothing else differs.
    kept = [row for row in lines(tmp_path) if (row["step"], "train/loss" in row) != (5, True)]
    assert len(lines(tmp_path)) - len(kept) == (where == "training")
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    assert_same_run(tmp_path, never_stopped[0])


def test_sigterm_while_the_step_compiles_takes_no_step(config, tmp_path, monkeypatch):
    def terminated(self, step, *args):
        os.kill(os.getpid(), signal.SIGTERM)
        return step

    monkeypatch.setattr(loop._Run, "_compile", terminated)
    monkeypatch.setattr(Feed, "next", lambda self: pytest.fail("took a batch"))
    with pytest.raises(Stopped, match="stopped before the first step, nothing to save"):
        loop.train_and_evaluate(config, tmp_path)
    assert checkpoints.latest_step(tmp_path) is None


def test_sigterm_while_it_accumulates_and_on_in_one_part(config, never_stopped, tmp_path):
    """The parts are of one step: what is saved can go on in any number of them."""
    parts = config.copy_and_resolve_references()
    parts.train.accumulation = 2
    with pytest.MonkeyPatch.context() as patch:
        before_batch(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match="stopped at step 5, which is saved"):
            loop.train_and_evaluate(parts, tmp_path)
    loop.train_and_evaluate(config, tmp_path)
    for row, other in zip(lines(tmp_path)[-3:], lines(never_stopped[0])[-3:], strict=True):
        assert row.keys() == other.keys() and row["step"] == other["step"]
        if "train/loss" in row:
            assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-3)


def test_a_step_that_hangs_is_named_with_its_stack(config, tmp_path, monkeypatch, capfd):
    class Ended(Exception):
        pass

    ended = threading.Event()

    def hang_for_ever():
        assert ended.wait(60)
        raise Ended

    monkeypatch.setattr(loop, "Watchdog", functools.partial(Watchdog, end=ended.set))
    before_batch(monkeypatch, 3, hang_for_ever)
    watched = config.copy_and_resolve_references()
    watched.train.hang_seconds = 6.0
    with pytest.raises(Ended):
        loop.train_and_evaluate(watched, tmp_path)
    said = capfd.readouterr().err
    assert "in step 3 (train.hang_seconds=6); the stacks" in said and "in hang_for_ever" in said


def test_a_finished_run_is_not_done_again(config, never_stopped, monkeypatch):
    workdir, result = never_stopped
    before = (workdir / "metrics.jsonl").read_text()
    monkeypatch.setattr(Feed, "next", lambda self: pytest.fail("took a batch"))
    monkeypatch.setattr(HeldOut, "test", lambda *args: pytest.fail("evaluated"))
    again = loop.train_and_evaluate(config, workdir)
    assert (again.step, again.metrics) == (result.step, result.metrics)
    assert (workdir / "metrics.jsonl").read_text() == before


def test_nothing_compiles_and_nothing_waits_between_logs(config, tmp_path, monkeypatch):
    """Counts compilations, and looks at the device's numbers, per step.

    jax.transfer_guard does not see these looks where the device is the CPU.
    """
    counts = {"compiled": 0, "looked": 0}
    per_step = []

    def compiled(name, *unused, **also_unused):
        counts["compiled"] += name == "/jax/core/compile/backend_compile_duration"

    array = type(jax.numpy.zeros(()))
    for name in ("__array__", "__float__", "__int__", "__bool__", "item", "block_until_ready"):
        monkeypatch.setattr(array, name, counting(counts, getattr(array, name)))
    monkeypatch.setattr(array, "_value", property(counting(counts, array._value.fget)))
    for name in ("device_get", "block_until_ready"):
        monkeypatch.setattr(jax, name, counting(counts, getattr(jax, name)))
    take = Feed.next

    def next_batch(self):
        per_step.append(dict(counts))
        return take(self)

    monkeypatch.setattr(Feed, "next", next_batch)
    jax.monitoring.register_event_duration_secs_listener(compiled)
    quiet = config.copy_and_resolve_references()
    quiet.train.update(log_every=5, checkpoint_every=100, eval_every=100)
    try:
        loop.train_and_evaluate(quiet, tmp_path)
    finally:
        jax.monitoring.unregister_event_duration_listener(compiled)
    steps = [
        {name: after[name] - before[name] for name in counts}
        for before, after in zip(per_step, per_step[1:], strict=False)
    ]
    assert counts["compiled"] > 0 and len(steps) == STEPS - 1
    for number, step in enumerate(steps, start=1):
        assert step["compiled"] == 0, f"step {number} compiled something"
        assert (step["looked"] > 0) == (number == 5), f"step {number}: {step}"


def counting(counts, function):
    def counted(*args, **kwargs):
        counts["looked"] += 1
        return function(*args, **kwargs)

    return counted


def test_too_many_steps_that_are_not_finite_end_the_run(config, tmp_path, monkeypatch):
    clip = objectives.get("clip")

    def spoilt(outputs, batch, config, step=0):
        loss, metrics = clip(outputs, batch, config)
        return jax.numpy.where(step >= 2, jax.numpy.nan, loss), metrics

    taken = []
    take = Feed.next
    monkeypatch.setattr(Feed, "next", lambda self: taken.append(take(self)) or taken[-1])
    monkeypatch.setattr(objectives, "get", lambda name: spoilt)
    few = config.copy_and_resolve_references()
    few.train.max_bad_steps = 2
    with pytest.raises(NotFinite) as caught:
        loop.train_and_evaluate(few, tmp_path)
    assert lines(tmp_path)[-1]["step"] == 4 and lines(tmp_path)[-1]["train/bad_steps"] == 2
    assert ", ".join(map(str, taken[3][1])) in str(caught.value)


def test_nothing_is_written_where_the_devices_do_not_fit(config, tmp_path):
    odd = config.copy_and_resolve_references()
    odd.data.batch_size = 20
    with pytest.raises(ValueError, match=r"data\.batch_size=20 does not divide over 8 devices"):
        loop.train_and_evaluate(odd, tmp_path / "run")
    assert not (tmp_path / "run").exists()
