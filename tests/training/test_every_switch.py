"""Each baseline and each switch of the method, trained for two steps and evaluated as a user would,
up to the page.
"""

import runpy
import sys
from pathlib import Path

import pytest
import tiny_run

from place_jax import configuration, train_and_evaluate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NEEDS_NO_V_PORS = (
    "lambda_p 0",
    "clip",
    "siglip",
    "convirt",
    "gloria",
    "gloria as coded",
    "mgca",
    "mgca as coded",
)


def rows() -> dict[str, list[str]]:
    """Name -> overrides, as the table of switches has them."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return runpy.run_path(str(BENCHMARKS / "switches_ablation.py"))["ROWS"]
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.slow
@pytest.mark.parametrize("name", rows())
def test_two_steps_and_an_evaluation(name, phantom_dir, tmp_path):
    config = tiny_run.tiny_config(phantom_dir)
    configuration.override(config, rows()[name])
    configuration.validate(config)
    result = train_and_evaluate(config, tmp_path / "run")
    assert result.step == 2 and (tmp_path / "run" / "report.html").exists()
    assert 0 <= result.metrics["zero_shot/test/macro_auroc"] <= 1
    without = name in NEEDS_NO_V_PORS
    assert ("grounding/test/pointing" in result.metrics) != without, "of V-PORs that are trained"
    if config.objective != "place":
        assert result.metrics[f"{config.objective}/test/loss"] > 0
