"""The short version of benchmarks/kill_test.py: two kills, and one restart on other devices."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "benchmarks" / "kill_test.py"


@pytest.fixture(scope="module")
def kill_test():
    spec = importlib.util.spec_from_file_location("kill_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_the_one_that_was_not(phantom_dir, tmp_path):
    """The script holds it by itself, and ends with 1 where it does not hold."""
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "out")]
    command += ["--data", str(phantom_dir), "--steps", "16", "--kills", "2"]
    command += ["--kills-elsewhere", "1", "--result", str(tmp_path / "result.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert [part["kills"] for part in result.values()] == [2, 1]
    assert {entry["signal"] for entry in result["same_topology"]["log"]} == {"SIGKILL", "SIGTERM"}


def write_starts(folder: pathlib.Path, starts: list[list[tuple[int, int]]]) -> pathlib.Path:
    """The step files of a run of one process: (step, example) of each start."""
    for number, taken in enumerate(starts):
        lines = [json.dumps({"step": step, "index": [example]}) + "\n" for step, example in taken]
        (folder / f"run_steps_{number:03d}_0.jsonl").write_text("".join(lines))
    return folder / "run"


def test_a_batch_left_out_or_taken_twice_is_noticed(kill_test, tmp_path):
    """What the comparison is made of: the batch of each step, from the last start that took it."""
    for name in ("good", "left_out", "twice"):
        (tmp_path / name).mkdir()
    whole = kill_test.batches_of(write_starts(tmp_path, [[(1, 10), (2, 20), (3, 30)]]))
    good = [[(1, 10), (2, 20)], [(2, 20), (3, 30)]]
    assert kill_test.batches_of(write_starts(tmp_path / "good", good)) == whole
    left_out = [[(1, 10)], [(2, 30), (3, 40)]]
    assert kill_test.batches_of(write_starts(tmp_path / "left_out", left_out)) != whole
    twice = [[(1, 10), (2, 20)], [(3, 20)]]
    assert kill_test.batches_of(write_starts(tmp_path / "twice", twice)) != whole
