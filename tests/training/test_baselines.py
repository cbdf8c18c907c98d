"""Each baseline trained for two steps and evaluated, as a user would."""

import pytest
import tiny_run

from place_jax import configuration, train_and_evaluate


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["clip", "siglip", "convirt", "gloria", "mgca"])
def test_two_steps_and_an_evaluation(objective, phantom_dir, tmp_path):
    config = tiny_run.tiny_config(phantom_dir)
    config.objective = objective
    config.model.logits = "scale_and_bias" if objective == "siglip" else "scale"
    config.model.local = {"gloria": "projections", "mgca": "prototypes"}.get(objective, "none")
    configuration.validate(config)
    result = train_and_evaluate(config, tmp_path / "run")
    assert result.step == 2
    assert 0 <= result.metrics["zero_shot/test/macro_auroc"] <= 1
    assert result.metrics[f"{objective}/test/loss"] > 0
    assert "grounding/test/pointing" not in result.metrics, "V-PORs are not trained"
