"""What is logged beside the losses, against NumPy, and at its ends."""

import jax
import numpy as np
import objective_cases as cases
import pytest

from place_jax.objectives import diagnostics, get

BATCH = cases.batch((2, 4, 3, 1, 2), masked=(1,))
OUTPUTS = cases.outputs(5)
KEPT = [0, 2, 3, 4]


def watch(objective="place"):
    config = cases.config()
    config.objective = objective

    def measure(outputs, batch):
        _, metrics = get(objective)(outputs, batch, config)
        return metrics, diagnostics.watch(outputs, batch, config, metrics)

    with jax.enable_x64(True):
        found = jax.jit(measure)(OUTPUTS, BATCH)
    return [{name: float(value) for name, value in part.items()} for part in found]


def test_each_is_its_formula_over_the_rows_that_are_present():
    metrics, found = watch()
    image, report = OUTPUTS.image_embedding[KEPT], OUTPUTS.report_embedding[KEPT]
    assert found["embedding/alignment"] == pytest.approx(np.mean(((image - report) ** 2).sum(1)))
    for name, rows in (("images", image), ("reports", report)):
        energies = [
            np.exp(-2 * np.sum((rows[i] - rows[j]) ** 2))
            for i in range(4)
            for j in range(4)
            if i != j
        ]
        assert found[f"embedding/uniformity_{name}"] == pytest.approx(np.log(np.mean(energies)))
    for task in ("instance", "pathological"):
        gap = metrics[f"{task}/loss"] - metrics[f"{task}/floor"]
        assert found[f"{task}/gap"] == pytest.approx(gap)
    values = np.linalg.eigvalsh(np.cov(OUTPUTS.v_por[KEPT].reshape(-1, 4).T))
    assert found["v_por/effective_rank"] == pytest.approx(values.sum() ** 2 / (values**2).sum())
    times = np.zeros(3)
    for i in KEPT:
        for s in np.flatnonzero(BATCH["sentence_mask"][i]):
            times[np.argmax(OUTPUTS.v_por[i] @ OUTPUTS.t_por[i, s])] += 1
    assert found["v_por/queries_in_use"] == pytest.approx(np.mean(times >= times.sum() / 12))


def test_a_baseline_has_no_v_pors_to_watch():
    _, found = watch("clip")
    assert set(found) == {
        "embedding/alignment",
        "embedding/uniformity_images",
        "embedding/uniformity_reports",
    }


def test_collapse_shows():
    ones = np.ones(4, bool)
    same = np.tile(cases.unit(np.random.default_rng(0), 1, 1, 8), (4, 6, 1)).astype(np.float32)
    line = same * np.linspace(-1, 1, 24).reshape(4, 6, 1).astype(np.float32)
    spread = np.eye(24, dtype=np.float32).reshape(4, 6, 24)
    assert diagnostics.effective_rank(same, ones) == pytest.approx(0, abs=1e-5)
    assert diagnostics.effective_rank(line, ones) == pytest.approx(1, abs=1e-4)
    assert diagnostics.effective_rank(spread, ones) == pytest.approx(23, rel=1e-4)
    assert diagnostics.uniformity(same[:, 0], ones) == pytest.approx(0, abs=1e-5)
    assert diagnostics.uniformity(spread[:, 0], ones) == pytest.approx(-4, abs=1e-5)
    t_por = np.tile(spread[:, :1], (1, 3, 1))
    assert diagnostics.queries_in_use(spread, t_por, np.ones((4, 3), bool)) == pytest.approx(1 / 6)


def test_one_row_has_no_pair():
    alone = np.arange(5) == 2
    assert diagnostics.uniformity(OUTPUTS.image_embedding, alone) == 0
    assert np.isfinite(diagnostics.effective_rank(OUTPUTS.v_por, ~alone & alone))
