"""PLACE as the sum of its terms, its warm-up, its penalty, and what is logged beside it."""

import dataclasses
import itertools

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference

from place_jax.objectives import get
from place_jax.objectives.place import place_loss

BATCH = cases.batch((2, 4, 3, 1, 2), masked=(1,))
OUTPUTS = cases.outputs(5)


def evaluate(outputs=OUTPUTS, step=None, **loss):
    config = cases.config(**loss)
    with jax.enable_x64(True):
        value, metrics = jax.jit(lambda o, b, s: place_loss(o, b, config, s))(outputs, BATCH, step)
    assert float(value) == float(metrics["loss"])
    return {name: float(value) for name, value in metrics.items()}


def test_the_loss_is_the_weighted_sum_of_its_terms():
    metrics = evaluate(lambda_p=0.5, lambda_c=3.0)
    assert metrics["loss"] == pytest.approx(
        metrics["instance/loss"]
        + 0.5 * metrics["pathological/loss"]
        + 3 * metrics["correlation/loss"]
    )
    assert metrics["logit_scale/pathological"] == 5


def test_a_term_of_no_weight_is_not_computed():
    metrics = evaluate(lambda_p=0.0, lambda_c=0.0)
    assert metrics["loss"] == metrics["instance/loss"]
    assert not [name for name in metrics if name.startswith(("pathological/", "correlation/"))]
    bare = dataclasses.replace(OUTPUTS, correlation_factors=None, hidden_patches=None)
    assert "correlation/loss" not in evaluate(bare)


def test_without_pcma_the_extractor_does_not_run():
    bare = dataclasses.replace(OUTPUTS, v_por=None, v_por_attention=None, t_por=None)
    metrics = evaluate(bare, lambda_p=0.0)
    assert not [name for name in metrics if name.startswith("v_por/")]
    assert "v_por/attention_overlap" in evaluate(lambda_p=0.0, attention_diversity=0.1)


def test_pcma_warms_up_linearly_and_stays():
    whole = evaluate(lambda_c=0.0)
    for step, share in ((0, 0.25), (1, 0.5), (3, 1.0), (50, 1.0)):
        metrics = evaluate(step=np.int32(step), lambda_c=0.0, lambda_p_warmup_steps=4)
        assert metrics["loss"] == pytest.approx(
            whole["instance/loss"] + share * whole["pathological/loss"]
        )
    assert evaluate(lambda_c=0.0, lambda_p_warmup_steps=4)["loss"] == whole["loss"]


def test_the_warm_up_scales_pcmas_gradient_alone():
    arrays, join = cases.split(OUTPUTS)

    def gradient(step=None, **loss):
        config = cases.config(lambda_c=0.0, **loss)
        of_arrays = jax.grad(lambda a, s: place_loss(join(a), BATCH, config, s)[0])
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, jax.jit(of_arrays)(arrays, step))

    whole, early = gradient(), gradient(np.int32(0), lambda_p_warmup_steps=4)
    for name in ("v_por", "t_por"):
        np.testing.assert_allclose(early[name], whole[name] / 4, rtol=1e-12, err_msg=name)
    for name in ("image_embedding", "report_embedding"):
        np.testing.assert_array_equal(early[name], whole[name], err_msg=name)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_signs_of_collapse_are_mean_cosines_of_pairs():
    metrics, kept = evaluate(), [0, 2, 3, 4]
    v_por, attention = OUTPUTS.v_por, OUTPUTS.v_por_attention
    queries = list(itertools.combinations(range(3), 2))
    images = list(itertools.combinations(kept, 2))
    assert metrics["v_por/cosine_between_images"] == pytest.approx(
        np.mean([cosine(v_por[i, q], v_por[j, q]) for i, j in images for q in range(3)])
    )
    assert metrics["v_por/cosine_between_queries"] == pytest.approx(
        np.mean([cosine(v_por[i, p], v_por[i, q]) for i in kept for p, q in queries])
    )
    overlap = np.mean([cosine(attention[i, p], attention[i, q]) for i in kept for p, q in queries])
    assert metrics["v_por/attention_overlap"] == pytest.approx(overlap)
    assert evaluate(attention_diversity=0.7)["loss"] == pytest.approx(
        metrics["loss"] + 0.7 * overlap
    )


def test_penalties_equal_their_formulas_in_value_and_gradient():
    config = cases.config(lambda_p=0.0, lambda_c=0.0, query_diversity=0.7, attention_diversity=0.3)
    arrays, join = cases.split(OUTPUTS)
    with jax.enable_x64(True):
        (_, metrics), found = jax.jit(
            jax.value_and_grad(lambda a: place_loss(join(a), BATCH, config), has_aux=True)
        )(arrays)
    pairs = [(i, p, q) for i in (0, 2, 3, 4) for p, q in itertools.combinations(range(3), 2)]

    def squared(v_por):
        return np.mean([(v_por[i, p] @ v_por[i, q]) ** 2 for i, p, q in pairs])

    def overlap(attention):
        return np.mean([cosine(attention[i, p], attention[i, q]) for i, p, q in pairs])

    v_por, attention = OUTPUTS.v_por, OUTPUTS.v_por_attention
    assert metrics["loss"] - metrics["instance/loss"] == pytest.approx(
        0.7 * squared(v_por) + 0.3 * overlap(attention)
    )
    for name, slope in (
        ("v_por", 0.7 * reference.numeric_gradient(squared, v_por)),
        ("v_por_attention", 0.3 * reference.numeric_gradient(overlap, attention)),
    ):
        np.testing.assert_allclose(found[name], slope, atol=1e-8, err_msg=name)


def test_one_query_has_no_pair_to_overlap():
    single = dataclasses.replace(
        OUTPUTS, v_por=OUTPUTS.v_por[:, :1], v_por_attention=OUTPUTS.v_por_attention[:, :1]
    )
    metrics = evaluate(single, attention_diversity=1.0)
    assert metrics["v_por/cosine_between_queries"] == metrics["v_por/attention_overlap"] == 0
    assert np.isfinite(metrics["loss"])


def test_an_unknown_objective_is_one_clear_line():
    assert get("place") is place_loss
    with pytest.raises(ValueError, match="objective='plaice' is not known: use one of place, clip"):
        get("plaice")
