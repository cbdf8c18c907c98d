"""Every shipped config takes its two smoke steps, on all simulated devices, and is evaluated."""

import json

import jax
import pytest

from place_jax import configuration, train_and_evaluate

# The demo's smoke run is typed as a command in test_cli.py.
OTHERS = [name for name in configuration.shipped_configs() if name != "phantom_demo"]


@pytest.mark.parametrize("name", OTHERS)
def test_two_steps_and_an_evaluation(name, phantom_dir, tmp_path):
    settings = [f"data.dir={phantom_dir}", "data.crop_size=64", "train.steps=2"]
    config = configuration.load_config(f"{name}:smoke", settings)
    result = train_and_evaluate(config, tmp_path / "run")
    assert jax.device_count() == 8 and result.step == 2
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "train/loss" in line][-1]
    assert logged["train/bad_steps"] == 0 and 0 < logged["train/gradient_norm"] < float("inf")
    assert 0 <= result.metrics["zero_shot/test/macro_auroc"] <= 1
