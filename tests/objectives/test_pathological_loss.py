"""PCMA against float64 loops in value and gradient, and what must not change it."""

import dataclasses

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference

from place_jax.objectives.pathological import match_scores, pathological_loss

CASES = {
    "ragged": dict(sentences_per_report=(4, 1, 3, 2, 2)),
    "one_sentence_reports": dict(sentences_per_report=(1, 1, 1, 1)),
    "empty_reports": dict(sentences_per_report=(3, 0, 2, 0)),
    "all_empty": dict(sentences_per_report=(0, 0)),
    "repeated_statements": dict(sentences_per_report=(4, 4, 3, 4), statements=2),
    "one_statement": dict(sentences_per_report=(2, 3, 1), statements=1),
    "more_sentences_than_queries": dict(sentences_per_report=(7, 5, 6), max_sentences=7),
    "batch_of_one": dict(sentences_per_report=(3,)),
    "masked": dict(sentences_per_report=(2, 4, 3, 1, 2), masked=(0, 3)),
    "all_masked": dict(sentences_per_report=(2, 4), masked=(0, 1)),
}


def differentiate(outputs, batch, config):
    """(loss, metrics, gradients) from one compiled function."""
    arrays, join = cases.split(outputs)

    @jax.jit
    def value_and_grad(arrays, batch):
        return jax.value_and_grad(
            lambda a: pathological_loss(join(a), batch, config), has_aux=True
        )(arrays)

    with jax.enable_x64(outputs.v_por.dtype == np.float64):
        (loss, metrics), gradients = value_and_grad(arrays, batch)
    assert loss.dtype == outputs.v_por.dtype
    return float(loss), {name: float(value) for name, value in metrics.items()}, gradients


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    assert one[1] == pytest.approx(other[1], rel=1e-12)


@pytest.mark.parametrize(
    ("case", "block"), [(case, 512) for case in CASES] + [("ragged", 3), ("masked", 7)]
)
def test_value_and_gradient_equal_the_formula(case, block):
    batch = cases.batch(**CASES[case])
    examples, sentences = batch["sentence_mask"].shape
    outputs = cases.outputs(examples, max_sentences=sentences)
    config = cases.config(tau_m=0.3, sentence_block=block)

    def formula(v_por=outputs.v_por, t_por=outputs.t_por, scale=5.0):
        return reference.pathological(
            v_por,
            t_por,
            batch["statement"],
            batch["sentence_mask"],
            batch["example_mask"],
            0.3,
            scale,
        )

    loss, metrics, found = differentiate(outputs, batch, config)
    expected = formula()
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(metrics["pathological/loss"], loss)
    np.testing.assert_allclose(metrics["pathological/floor"], expected[1], atol=1e-12)
    np.testing.assert_allclose(metrics["pathological/top1"], expected[2], atol=1e-12)
    for name, function, at in (
        ("v_por", lambda v: formula(v_por=v)[0], outputs.v_por),
        ("t_por", lambda t: formula(t_por=t)[0], outputs.t_por),
    ):
        np.testing.assert_allclose(found[name], reference.numeric_gradient(function, at), atol=1e-8)
    slope = reference.numeric_gradient(lambda s: formula(scale=float(s))[0], 5.0)
    np.testing.assert_allclose(found["scales"]["pathological"], slope, atol=1e-8)


def test_float32_keeps_close_to_the_formula_at_the_highest_logit_scale():
    batch = cases.batch((4, 1, 3, 2, 2))
    outputs = cases.outputs(5, scale=100.0)
    expected = reference.pathological(
        outputs.v_por,
        outputs.t_por,
        batch["statement"],
        batch["sentence_mask"],
        batch["example_mask"],
        0.01,
        100.0,
    )
    single = cases.outputs(5, scale=100.0, dtype=np.float32)
    loss, _, _ = differentiate(single, batch, cases.config(tau_m=0.01))
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)


def test_masked_examples_are_as_good_as_left_out():
    batch = cases.batch((2, 4, 3, 1, 2), masked=(1, 4))
    outputs, config = cases.outputs(5), cases.config()
    whole = differentiate(outputs, batch, config)
    assert_same(whole, differentiate(*cases.take(outputs, batch, [0, 2, 3]), config))
    np.testing.assert_array_equal(whole[2]["v_por"][np.array([1, 4])], 0)


def test_the_order_of_the_batch_is_of_no_matter():
    batch, outputs, config = cases.batch((2, 4, 3, 1, 0)), cases.outputs(5), cases.config()
    shuffled = cases.take(outputs, batch, [3, 0, 4, 2, 1])
    assert_same(differentiate(outputs, batch, config), differentiate(*shuffled, config))


def test_more_padding_changes_nothing():
    batch, outputs, config = cases.batch((2, 4, 3, 1, 2)), cases.outputs(5), cases.config()
    wider = batch | {
        # Padding that carries a real statement's fingerprint must still not count.
        "statement": np.concatenate([batch["statement"], batch["statement"][:, :2]], axis=1),
        "sentence_mask": np.pad(batch["sentence_mask"], ((0, 0), (0, 2))),
    }
    padded = dataclasses.replace(
        outputs, t_por=np.concatenate([outputs.t_por, 3 * outputs.t_por[:, :2]], axis=1)
    )
    assert_same(differentiate(outputs, batch, config), differentiate(padded, wider, config))


def test_a_statement_counts_once_however_many_reports_make_it():
    """Three reports of one statement each, and the same with that statement said over again."""
    batch, outputs, config = cases.batch((1, 1, 1)), cases.outputs(3), cases.config()
    batch["statement"][:] = np.arange(3)[:, None, None]
    equal = dataclasses.replace(outputs, t_por=np.repeat(outputs.t_por[:, :1], 4, axis=1))
    repeated = batch | {"sentence_mask": np.arange(4) < np.array([[4], [1], [2]])}
    assert_same(differentiate(outputs, batch, config), differentiate(equal, repeated, config))


def test_a_small_temperature_takes_the_best_query():
    outputs = cases.outputs(3)
    sentences = outputs.t_por.reshape(-1, 4)
    best = np.einsum("bqe,te->bqt", outputs.v_por, sentences).max(axis=1)
    with jax.enable_x64(True):
        scores = match_scores(outputs.v_por, sentences, tau_m=1e-4, sentence_block=5)
    np.testing.assert_allclose(scores, best, atol=3e-4)


def test_identical_images_score_no_hit():
    batch, outputs = cases.batch((1, 1, 1, 1), statements=4, seed=2), cases.outputs(4)
    constant = dataclasses.replace(outputs, v_por=np.repeat(outputs.v_por[:1], 4, axis=0))
    assert len(np.unique(batch["statement"][:, 0], axis=0)) > 1
    assert differentiate(constant, batch, cases.config())[1]["pathological/top1"] == 0


def test_memory_does_not_hold_every_query_against_every_sentence():
    examples, sentences, queries = 32, 16, 32
    batch = cases.batch([sentences] * examples, max_sentences=sentences)
    outputs = cases.outputs(
        examples, max_sentences=sentences, queries=queries, width=8, dtype=np.float32
    )
    arrays, join = cases.split(outputs)
    config = cases.config(sentence_block=16)
    compiled = (
        jax.jit(jax.grad(lambda a: pathological_loss(join(a), batch, config)[0]))
        .lower(arrays)
        .compile()
    )
    every_score = 4 * examples * queries * examples * sentences
    assert compiled.memory_analysis().temp_size_in_bytes < every_score / 2
