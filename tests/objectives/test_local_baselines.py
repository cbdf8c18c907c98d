"""GLoRIA and MGCA, as papers say and as their code does, against float64 loops."""

import dataclasses

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_local as reference
from ml_collections import ConfigDict

from place_jax.objectives import check_batch_size, fitting_batch_size, get, mgca

TRAINED = {
    "gloria": ("image_embedding", "report_embedding", "patch_embedding", "word_embedding"),
    "mgca": (
        "image_embedding",
        "report_embedding",
        "patch_embedding",
        "word_embedding",
        "prototypes",
    ),
}

# Each sentence ends in its own [SEP]: reports of two, three and one sentences, and one of no words.
C, W, S, P = "[CLS]", "word", "[SEP]", "[PAD]"
REPORTS = np.array(
    [
        [C, W, W, S, W, W, S, P],
        [C, W, S, W, S, W, W, S],
        [C, W, W, W, S, P, P, P],
        [C, P, P, P, P, P, P, P],
    ]
)


def reports_of_sentences():
    return dataclasses.replace(cases.outputs(4), word_mask=REPORTS == W)


def differentiate(name, outputs, batch, protocol="strict", step=None, **loss):
    config = cases.config(protocol=protocol, **loss)
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        (loss, metrics), gradients = jax.jit(
            jax.value_and_grad(lambda a: get(name)(join(a), batch, config, step), has_aux=True)
        )(arrays)
    return float(loss), jax.device_get(metrics), gradients


def evaluate(name, outputs, batch, protocol="strict"):
    config = cases.config(protocol=protocol)
    with jax.enable_x64(True):
        loss, metrics = jax.jit(lambda o, b: get(name)(o, b, config))(outputs, batch)
    return float(loss), jax.device_get(metrics)


def values_of(outputs):
    names = (*TRAINED["mgca"], "word_mask", "word_attention", "patch_attention")
    return {name: getattr(outputs, name) for name in names}


@pytest.mark.parametrize("masked", [(), (1,), (0, 1, 2)])
@pytest.mark.parametrize("protocol", ["strict", "mgca_compat"])
@pytest.mark.parametrize("name", TRAINED)
def test_value_and_gradient_equal_the_formula(name, protocol, masked, monkeypatch):
    """Masks leave all, three pairs, or the one without words alone."""
    monkeypatch.setattr(mgca, "COMPAT_GROUP", 2)
    batch, outputs = cases.batch((2,) * 4, masked=masked), reports_of_sentences()
    mask, compat = batch["example_mask"], protocol == "mgca_compat"
    values = values_of(outputs)
    loss, metrics, found = differentiate(name, outputs, batch, protocol)
    if name == "gloria":
        formula = lambda o: reference.gloria(o, mask, compat)  # noqa: E731
    else:
        # No gradient goes through the assignments: the formula holds them fixed.
        targets = reference.assignments(values, mask, 2 if compat else 4)
        formula = lambda o: reference.mgca(o, mask, compat, 2, targets)  # noqa: E731
    np.testing.assert_allclose(loss, formula(values), rtol=1e-9)
    assert metrics["loss"] == loss and np.isfinite(list(map(float, metrics.values()))).all()
    for key in TRAINED[name]:
        expected = numeric(formula, values, key)
        np.testing.assert_allclose(found[key], expected, atol=2e-7, err_msg=key)


def numeric(formula, values, key):
    from reference_objectives import numeric_gradient

    return numeric_gradient(lambda x: formula(values | {key: x}), values[key])


@pytest.mark.parametrize(
    ("name", "protocol", "positions"),
    [
        ("gloria", "strict", [{1, 2, 4, 5}, {1, 3, 5, 6}, {1, 2, 3}, set()]),
        ("gloria", "mgca_compat", [{0, 1, 2, 4, 5}, {0, 1, 3, 5, 6}, {0, 1, 2, 3}, set()]),
        ("mgca", "strict", [{1, 2, 4, 5}, {1, 3, 5, 6}, {1, 2, 3}, set()]),
        ("mgca", "mgca_compat", [{1, 2, 4, 5, 6, 7}, {1, 3, 5, 6, 7}, {*range(1, 8)}, set()]),
    ],
)
def test_these_tokens_take_part_and_no_others(name, protocol, positions):
    found = differentiate(name, reports_of_sentences(), cases.batch((2,) * 4), protocol)[2]
    for gradient, expected in zip(found["word_embedding"], positions, strict=True):
        assert set(np.flatnonzero(np.any(gradient, axis=-1))) == expected


@pytest.mark.parametrize("protocol", ["strict", "mgca_compat"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_masked_pair_is_as_if_it_were_not_there_and_order_does_not_matter(name, protocol):
    batch, outputs = cases.batch((2,) * 5, masked=(1,)), cases.outputs(5)
    rows = np.array([4, 0, 3, 2])
    loss, metrics, found = differentiate(name, outputs, batch, protocol)
    few_outputs, few_batch = cases.take(outputs, batch, rows)
    alone, alone_metrics, few = differentiate(name, few_outputs, few_batch, protocol)
    for key, value in metrics.items():
        np.testing.assert_allclose(value, alone_metrics[key], rtol=1e-9, err_msg=key)
    assert loss == pytest.approx(alone, rel=1e-9)
    for key in TRAINED[name]:
        gradient = np.asarray(found[key])
        if key != "prototypes":
            assert not gradient[1].any(), key
            gradient = gradient[rows]
        np.testing.assert_allclose(gradient, few[key], rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", TRAINED)
def test_padding_changes_nothing_but_where_the_code_lets_it(name):
    outputs, batch = cases.outputs(4), cases.batch((2,) * 4)
    longer = dataclasses.replace(
        outputs,
        word_embedding=np.pad(outputs.word_embedding, ((0, 0), (0, 3), (0, 0)), constant_values=2),
        word_attention=np.pad(outputs.word_attention, ((0, 0), (0, 3)), constant_values=0.4),
        word_mask=np.pad(outputs.word_mask, ((0, 0), (0, 3))),
    )
    loss = evaluate(name, outputs, batch)[0]
    assert evaluate(name, longer, batch)[0] == pytest.approx(loss, rel=1e-9)
    if name == "mgca":
        compat = evaluate(name, outputs, batch, "mgca_compat")[0]
        assert evaluate(name, longer, batch, "mgca_compat")[0] > compat + 1e-3


def test_prototypes_rest_for_their_first_steps_and_the_loss_is_the_same():
    outputs, batch = cases.outputs(4), cases.batch((2,) * 4)
    found = {
        step: differentiate("mgca", outputs, batch, step=np.int32(step), prototype_freeze_steps=3)
        for step in (2, 3)
    }
    assert found[2][0] == found[3][0]
    assert not np.any(found[2][2]["prototypes"]) and np.any(found[3][2]["prototypes"])
    np.testing.assert_allclose(found[2][2]["image_embedding"], found[3][2]["image_embedding"])


def test_assignments_use_all_prototypes_where_the_scores_favour_one():
    scores = np.random.default_rng(0).normal(size=(12, 5)) * 0.02
    scores[:, 0] += 0.5
    with jax.enable_x64(True):
        q = np.asarray(mgca.balanced_assignment(scores, np.arange(12) < 10))
    np.testing.assert_allclose(q[:10], reference.sinkhorn(scores[:10]), rtol=1e-9)
    assert np.ptp(q[:10].sum(0)) < 0.5 and not q[10:].any()


@pytest.mark.parametrize(("name", "size"), [("gloria", 257), ("mgca", 16385)])
def test_a_batch_that_is_too_large_is_one_clear_line(name, size):
    config = ConfigDict({"objective": name, "loss": {"protocol": "strict"}})
    with pytest.raises(ValueError, match=rf"data.batch_size={size} is over {size - 1}.*{name}"):
        check_batch_size(config, size, key="data.batch_size")
    outputs = jax.eval_shape(lambda: cases.outputs(2))
    large = jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), outputs)
    with pytest.raises(ValueError, match=f"the largest that objective={name}"):
        jax.eval_shape(lambda o: get(name)(o, {}, cases.config()), large)
    check_batch_size(config, size - 1)
    assert fitting_batch_size(config, size) == size - 1
    config.objective = "clip"
    check_batch_size(config, 10**6)
    assert fitting_batch_size(config, 10**6) == 10**6


def test_a_batch_that_does_not_split_into_the_published_groups_is_one_clear_line():
    said = "batch_size=100 does not split into the groups of 72"
    with pytest.raises(ValueError, match=said):
        differentiate("mgca", cases.outputs(100), cases.batch((2,) * 100), "mgca_compat")
    config = ConfigDict({"objective": "mgca", "loss": {"protocol": "mgca_compat"}})
    with pytest.raises(ValueError, match=said):
        check_batch_size(config, 100)
    assert [fitting_batch_size(config, size) for size in (60, 100, 144)] == [60, 72, 144]
