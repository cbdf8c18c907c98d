"""PCMA against float64 loops in value and gradient, and what must not change it."""

import dataclasses

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_pathological import pathological as formula_of

from place_jax.objectives import pathological
from place_jax.objectives.pathological import pathological_loss

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


# One change at a time from the default, and the pairs of switches that meet in the code.
SWITCHES = {
    "default": {},
    "max": dict(match="max"),
    "one_to_one": dict(match="one_to_one"),
    "report": dict(scope="report"),
    "report_max": dict(scope="report", match="max"),
    "report_one_to_one": dict(scope="report", match="one_to_one"),
    "report_own": dict(scope="report", positives="own"),
    "report_uniform": dict(scope="report", sentence_weights="uniform"),
    "own": dict(positives="own"),
    "uniform": dict(sentence_weights="uniform"),
    "own_uniform": dict(positives="own", sentence_weights="uniform"),
}


def check_against_formula(batch, outputs, config, *, every_entry=True):
    """Value, floor, top-1, and the gradient of all that PCMA reads, by central differences."""
    given = {
        "v_por": outputs.v_por,
        "t_por": outputs.t_por,
        "scale": float(outputs.logit_scales["pathological"]),
    }
    if outputs.null_v_por is not None:
        given["null"] = outputs.null_v_por
    switches = config.loss

    def formula(**changed):
        return formula_of(
            **given | changed,
            statement=batch["statement"],
            sentence_mask=batch["sentence_mask"],
            example_mask=batch["example_mask"],
            tau_m=switches.tau_m,
            match=switches.match,
            scope=switches.scope,
            positives=switches.positives,
            weights=switches.sentence_weights,
        )

    loss, metrics, found = differentiate(outputs, batch, config)
    names = ("pathological/loss", "pathological/floor", "pathological/top1")
    np.testing.assert_allclose([metrics[name] for name in names], formula(), atol=1e-12)
    assert loss == metrics["pathological/loss"]
    gradients = {
        "v_por": found["v_por"],
        "t_por": found["t_por"],
        "scale": found["scales"]["pathological"],
        "null": found.get("null_v_por"),
    }
    for name, value in given.items():

        def loss_at(x, name=name):
            return formula(**{name: x if np.ndim(x) else float(x)})[0]

        if every_entry:
            slope = reference.numeric_gradient(loss_at, value)
            np.testing.assert_allclose(gradients[name], slope, atol=1e-8, err_msg=name)
        else:
            reference.assert_slopes(gradients[name], loss_at, value, err_msg=name)


def case_of(name, *, queries=3, **kinds):
    batch = cases.batch(**CASES[name])
    examples, sentences = batch["sentence_mask"].shape
    return batch, cases.outputs(examples, max_sentences=sentences, queries=queries, **kinds)


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_equal_the_formula(case):
    batch, outputs = case_of(case)
    check_against_formula(batch, outputs, cases.config(tau_m=0.3))


@pytest.mark.parametrize("null", [False, True], ids=["", "null"])
@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_equals_its_formula(switch, null):
    """Ragged reports, one empty, one masked, statements that repeat within and between reports."""
    batch = cases.batch((4, 1, 0, 3, 2), statements=3, masked=(4,))
    outputs = cases.outputs(5, queries=4, null=null)
    check_against_formula(batch, outputs, cases.config(tau_m=0.3, **SWITCHES[switch]))


@pytest.mark.parametrize("case", ["empty_reports", "all_empty", "one_statement", "batch_of_one"])
@pytest.mark.parametrize("switch", ["one_to_one", "report", "own_uniform"])
def test_switches_on_what_reports_can_be(switch, case):
    batch, outputs = case_of(case, queries=4)
    check_against_formula(batch, outputs, cases.config(tau_m=0.3, **SWITCHES[switch]))


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("switch", ["default", "max", "one_to_one"])
def test_scoring_in_blocks_changes_nothing(switch, block):
    batch, outputs = case_of("ragged", queries=4, null=True)
    budget = cases.memory_bytes(5, block=block, queries=8 if switch == "one_to_one" else 5)
    config = cases.config(tau_m=0.3, memory_bytes=budget, **SWITCHES[switch])
    check_against_formula(batch, outputs, config)


@st.composite
def drawn_batches(draw):
    """Batch, outputs and block, with reports of no or few sentences, and rows that are masked."""
    reports = draw(st.lists(st.sampled_from([2, 3, 1, 0]), min_size=1, max_size=4))
    masked = draw(st.sets(st.integers(0, len(reports) - 1), max_size=len(reports) - 1))
    batch = cases.batch(
        tuple(reports),
        max_sentences=3,
        statements=draw(st.sampled_from([3, 1, 2, 4])),
        masked=tuple(masked),
    )
    queries = draw(st.sampled_from([3, 4, 1, 2]))
    return batch, queries, draw(st.booleans()), draw(st.sampled_from([0, 1, 2]))


@pytest.mark.parametrize("switch", SWITCHES)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(drawn=drawn_batches())
def test_any_shape_equals_its_formula(switch, drawn):
    """S above Q is not drawn one-to-one: there the sentences are drawn too (the next test)."""
    batch, queries, null, block = drawn
    queries = max(queries, 3) if "one_to_one" in switch else queries
    examples = len(batch["example_mask"])
    outputs = cases.outputs(examples, max_sentences=3, queries=queries, null=null)
    changed = dict(SWITCHES[switch])
    if block:
        # As many V-PORs as a score is taken over, the null's among them.
        depth = queries + null * (3 if "one_to_one" in switch else 1)
        changed["memory_bytes"] = cases.memory_bytes(
            examples, block=block, max_sentences=3, queries=depth
        )
    check_against_formula(batch, outputs, cases.config(tau_m=0.3, **changed), every_entry=False)


@pytest.mark.parametrize("scope", ["batch", "report"])
def test_one_to_one_of_too_many_sentences_equals_the_formula_of_those_drawn(scope):
    batch = cases.batch((7, 5, 2), max_sentences=7, statements=9)
    outputs = cases.outputs(3, max_sentences=7)
    config, step = cases.config(match="one_to_one", scope=scope), np.int32(4)
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        taking = pathological.taking_part(outputs, batch, config, step)
        loss, found = jax.jit(
            jax.value_and_grad(
                lambda a: pathological.pathological_loss(join(a), batch, config, step)[0]
            )
        )(arrays)
    same = (np.asarray(taking.t_por)[:, :, None] == outputs.t_por[:, None]).all(-1)
    assert same.sum(-1).min() == same.sum(-1).max() == 1 and not same[:, :, 3:].all()
    place = same.argmax(-1)

    def formula(v_por, t_por):
        return formula_of(
            v_por,
            np.take_along_axis(t_por, place[..., None], axis=1),
            np.asarray(taking.statement),
            np.asarray(taking.mask),
            batch["example_mask"],
            0.1,
            5.0,
            match="one_to_one",
            scope=scope,
            said=(batch["statement"], batch["sentence_mask"]),
        )[0]

    np.testing.assert_allclose(loss, formula(outputs.v_por, outputs.t_por), atol=1e-12)
    for name in ("v_por", "t_por"):
        given_ = {n: getattr(outputs, n) for n in ("v_por", "t_por")}
        slope = reference.numeric_gradient(
            lambda x, name=name, given_=given_: formula(**given_ | {name: x}), given_[name]
        )
        np.testing.assert_allclose(found[name], slope, atol=1e-8, err_msg=name)


def test_float32_keeps_close_to_the_formula_at_the_highest_logit_scale():
    batch = cases.batch((4, 1, 3, 2, 2))
    outputs = cases.outputs(5, scale=100.0)
    expected = formula_of(
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


@pytest.mark.parametrize("switch", ["default", "one_to_one", "report", "own_uniform"])
def test_masked_examples_are_as_good_as_left_out(switch):
    batch = cases.batch((2, 4, 3, 1, 2), masked=(1, 4))
    outputs, config = cases.outputs(5, queries=4), cases.config(**SWITCHES[switch])
    whole = differentiate(outputs, batch, config)
    assert_same(whole, differentiate(*cases.take(outputs, batch, [0, 2, 3]), config))
    np.testing.assert_array_equal(whole[2]["v_por"][np.array([1, 4])], 0)


@pytest.mark.parametrize("switch", ["default", "one_to_one", "report", "own_uniform"])
def test_the_order_of_the_batch_is_of_no_matter(switch):
    batch, outputs = cases.batch((2, 4, 3, 1, 0)), cases.outputs(5, queries=4)
    config = cases.config(**SWITCHES[switch])
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
    batch, outputs = case_of("ragged")
    soft, best = (
        differentiate(outputs, batch, cases.config(**changed))[0]
        for changed in (dict(tau_m=1e-4), dict(match="max"))
    )
    assert soft == pytest.approx(best, abs=1e-3)


def test_identical_images_score_no_hit():
    batch, outputs = cases.batch((1, 1, 1, 1), statements=4, seed=2), cases.outputs(4)
    constant = dataclasses.replace(outputs, v_por=np.repeat(outputs.v_por[:1], 4, axis=0))
    assert len(np.unique(batch["statement"][:, 0], axis=0)) > 1
    assert differentiate(constant, batch, cases.config())[1]["pathological/top1"] == 0
