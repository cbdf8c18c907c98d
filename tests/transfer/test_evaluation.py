import math

import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import open_data, read_records
from data_pipelines.records import BadInput
from place_jax.parallel.mesh import make_mesh
from place_jax.transfer import evaluation, features
from place_jax.transfer.image_features import extract_image_features


@pytest.fixture(scope="module")
def tiny(phantom_dir):
    """(model, params, model_state), data, config."""
    config = tiny_run.tiny_config(phantom_dir)
    config.evaluation.max_examples = 0
    return tiny_run.untrained_model(phantom_dir), open_data(phantom_dir), config


@pytest.fixture(scope="module")
def scores(tiny):
    weights, data, config = tiny
    return evaluation.evaluate(*weights, data, "test", config)


def test_every_task_is_scored_by_name(scores):
    for name in (
        "zero_shot/test/macro_auroc",
        "zero_shot/test/macro_auroc_ci_low",
        "zero_shot/test/macro_auroc_observation",
        "zero_shot/test/auroc/pleural_effusion",
        "retrieval/test/recall_at_1",
        "retrieval/test/text_to_image_recall_at_1_ci_high",
        "retrieval/test/pool_size",
        "grounding/test/pointing",
        "grounding/test/pointing_rolled_image",
        "grounding/test/pointing_other_phrase",
        "grounding/test/pointing_mean_box_of_label",
        "grounding/test/pointing_over_mean_box_ci_low",
        "grounding/test/cnr",
        "grounding/test/iou_similarity",
        "objective/test/loss",
        "instance/test/loss",
        "pathological/test/loss",
        "pathological/test/loss_rolled_images",
        "pathological/test/loss_statement_frequency",
        "correlation/test/loss",
        "correlation/test/loss_rolled_reports",
        "correlation/test/loss_no_reports",
        "correlation/test/r2_over_mean",
        "v_por/test/cosine_between_images",
    ):
        assert math.isfinite(scores[name]), name
    assert all(type(value) is float for value in scores.values())


def test_an_untrained_model_cannot_tell_its_own_image(scores):
    own, rolled = (scores[f"pathological/test/loss{s}"] for s in ("", "_rolled_images"))
    assert own == pytest.approx(rolled, rel=0.05)
    assert own > scores["pathological/test/loss_statement_frequency"] * 0.95


def test_margins_over_the_controls_have_their_interval_over_batches(tiny):
    weights, data, config = tiny
    config = config.copy_and_resolve_references()
    config.evaluation.max_examples = 3 * config.evaluation.batch_size
    found = evaluation.evaluate(*weights, data, "train", config, tasks=("controls",), bootstrap=0)
    base = "pathological/train/loss_rolled_images"
    margin = f"{base}_over_own"
    assert found[margin] == pytest.approx(found[base] - found["pathological/train/loss"], abs=1e-5)
    for name in (margin, "correlation/train/rise_rolled_reports"):
        low, high = found[f"{name}_ci_low"], found[f"{name}_ci_high"]
        assert low < found[name] < high and abs(found[name]) < 0.1, "an untrained model has none"


def test_a_batch_that_is_not_full_is_in_no_margin(tiny):
    weights, data, config = tiny
    config = config.copy_and_resolve_references()

    def margins(examples):
        config.evaluation.max_examples = examples
        reading = dict(tasks=("controls",), bootstrap=0)
        found = evaluation.evaluate(*weights, data, "train", config, **reading)
        names = "correlation/train/rise_rolled_reports", "correlation/train/loss_rolled_reports"
        return [found[name] for name in (*names, "pathological/train/loss_rolled_images_over_own")]

    full, more = (margins(config.evaluation.batch_size + rows) for rows in (0, 2))
    assert full[0] == more[0] and full[2] == more[2] and full[1] != more[1]


def test_of_one_example_there_is_no_other_report(tiny):
    weights, data, config = tiny
    config = config.copy_and_resolve_references()
    config.evaluation.max_examples = 1
    found = evaluation.evaluate(*weights, data, "test", config, tasks=("controls",), bootstrap=0)
    assert math.isfinite(found["correlation/test/loss_no_reports"])
    assert not any(name.endswith("rolled_reports") for name in found)


def test_features_are_those_of_the_split_whatever_the_batch_and_the_devices(tiny):
    weights, data, config = tiny
    alone = features.extract_features(*weights, data, "test", config=config)
    config = config.copy_and_resolve_references()
    config.evaluation.batch_size = 7  # rounded up to 8 on eight devices
    sharded = features.extract_features(
        *weights, data, "test", config=config, mesh=make_mesh(config.mesh)
    )
    assert len(alone.index) == data.splits["test"]
    np.testing.assert_array_equal(alone.index, np.arange(len(alone.index)))
    np.testing.assert_array_equal(sharded.index, alone.index)
    np.testing.assert_array_equal(sharded.labels, alone.labels)
    np.testing.assert_allclose(sharded.image_embedding, alone.image_embedding, atol=1e-5)
    np.testing.assert_allclose(sharded.report_embedding, alone.report_embedding, atol=1e-5)
    records = read_records(data, "test", fields=("patient_id", "labels"))
    assert list(alone.patient_id) == [record["patient_id"] for record in records]
    np.testing.assert_array_equal(alone.labels, [record["labels"] for record in records])


def test_a_probes_features_are_those_of_the_split_whatever_the_devices(tiny):
    (model, *weights), data, config = tiny
    config = config.copy_and_resolve_references()
    config.evaluation.batch_size = 11  # 30-odd examples: neither it nor 16 divides them
    read = {"config": config}
    both = extract_image_features(model, (weights, weights), data, "test", **read)
    mesh = make_mesh(config.mesh)
    (sharded,) = extract_image_features(model, (weights,), data, "test", mesh=mesh, **read)
    assert data.splits["test"] % 11 and data.splits["test"] % 16
    np.testing.assert_array_equal(both[1].features, both[0].features)
    np.testing.assert_array_equal(sharded.index, np.arange(data.splits["test"]))
    np.testing.assert_allclose(sharded.features, both[0].features, atol=1e-5)
    np.testing.assert_array_equal(sharded.labels, both[0].labels)
    assert sharded.patient_id == both[0].patient_id


def test_max_examples_and_what_was_asked_for(tiny):
    weights, data, config = tiny
    some = features.extract_features(
        *weights, data, "test", config=config, max_examples=5, observations=("v_por",)
    )
    assert len(some.index) == len(some.patient_id) == 5
    assert some.v_por.shape == (5, 4, 16) and some.t_por is None


def test_a_second_evaluation_compiles_nothing(tiny, scores):
    weights, data, config = tiny
    before = features._encode._cache_size()
    again = evaluation.evaluate(*weights, data, "test", config)
    assert again == scores
    assert features._encode._cache_size() == before


def test_stopping_is_asked_for_between_batches(tiny):
    weights, data, config = tiny

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(*weights, data, "test", config, on_batch=stop)


def test_observations_that_were_not_trained_are_not_scored(tiny):
    weights, data, config = tiny
    config = config.copy_and_resolve_references()
    config.objective = "clip"
    found = evaluation.evaluate(*weights, data, "test", config, bootstrap=0)
    assert "zero_shot/test/macro_auroc" in found and "clip/test/loss" in found
    assert not any("observation" in n or "correlation" in n for n in found)
    assert "grounding/test/pointing_similarity" in found  # what any model has
    assert "grounding/test/pointing" not in found


def test_untrained_scores_are_named_so(tiny):
    weights, data, config = tiny
    found = evaluation.evaluate_untrained(
        weights[0], data, "test", config, initial=weights[1:], tasks=("retrieval",)
    )
    assert "untrained/retrieval/test/recall_at_1" in found
    assert all(name.startswith("untrained/retrieval/") for name in found)


def test_unknown_task_and_split_are_one_line(tiny):
    weights, data, config = tiny
    with pytest.raises(ValueError, match="use one of zero-shot"):
        evaluation.evaluate(*weights, data, "test", config, tasks=("linear",))
    with pytest.raises(BadInput, match="dev"):
        evaluation.evaluate(*weights, data, "dev", config)
