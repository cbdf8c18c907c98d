"""benchmarks/gpu_step.py without an accelerator; with PyTorch, where it is installed."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "benchmarks" / "gpu_step.py"


@pytest.fixture(scope="module")
def gpu_step():
    spec = importlib.util.spec_from_file_location("gpu_step", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_side(side: str, folder: pathlib.Path) -> dict:
    command = [sys.executable, str(SCRIPT), "--config", "mimic_cxr_vit_b16:smoke"]
    command += ["--batch", "16", "--steps", "1", "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_one_command_measures_this_side_and_leaves_the_other_its_start(gpu_step, tmp_path):
    found = run_side("jax", tmp_path)
    assert found["pairs_per_second"] > 0 and not found["tensorflow_imported"]
    with np.load(tmp_path / "params.npz") as params:
        assert sum(array.size for array in params.values()) == found["parameters"]
    with np.load(tmp_path / "batch.npz") as batch:
        assert batch["visible"].shape[0] == len(batch["image"]) == 16
    if importlib.util.find_spec("torch"):
        gpu_step.check(found, run_side("torch", tmp_path))


def side(parameters: int = 7, correlation: float = 0.1) -> dict:
    losses = {"instance": 2.0, "pathological": 3.0, "correlation": correlation}
    return {"parameters": parameters, "float32_losses": losses}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (side(parameters=8), "7 parameters here and 8 in PyTorch"),
        (side(correlation=0.11), "correlation loss 0.1 here and 0.11 in PyTorch"),
    ],
)
def test_two_that_are_not_one_model_are_not_compared(gpu_step, other, words):
    gpu_step.check(side(), side())
    with pytest.raises(SystemExit, match=words):
        gpu_step.check(side(), other)
