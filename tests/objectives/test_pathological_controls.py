"""PCMA cannot be won without the image: its controls, and the bound of all constant V-PORs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import objective_cases as cases
import optax
import pytest

from place_jax.objectives import contrastive, controls, statements
from place_jax.objectives.pathological import pathological_loss
from place_jax.objectives.statements import all_sentences, statement_targets

BATCH = cases.batch((2, 3, 1, 0, 2, 3, 1), max_sentences=3, statements=5, masked=(4,))
# One row per statement: equal statements are equal vectors, as under text_context = sentence.
NUMBER = BATCH["statement"][..., 0] * 2 + BATCH["statement"][..., 1]


@functools.partial(jax.jit, static_argnums=1)
def frequency_loss(batch, dtype, **switches):
    sentences = all_sentences(jnp.zeros((*batch["sentence_mask"].shape, 1)), batch)
    targets = statement_targets(batch, sentences, dtype=dtype, **switches)
    return controls.statement_frequency_loss(targets)


def train(images, **switches):
    """Descends on free V-PORs of so many images, and free T-PORs.

    Returns:
      The least loss found, and the controls of where descent ended.
    """
    rng = np.random.default_rng(0)
    free = {"v": cases.unit(rng, images, 3, 8), "t": cases.unit(rng, 5, 8)}
    config, outputs = (
        cases.config(tau_m=0.1, **switches),
        cases.outputs(7, max_sentences=3, scale=10.0),
    )

    def outputs_of(free):
        v_por = free["v"] / jnp.linalg.norm(free["v"], axis=-1, keepdims=True)
        t_por = free["t"] / jnp.linalg.norm(free["t"], axis=-1, keepdims=True)
        v_por = jnp.broadcast_to(v_por, (7, 3, 8))
        return dataclasses.replace(outputs, v_por=v_por, t_por=t_por[NUMBER])

    def loss_of(free):
        return pathological_loss(outputs_of(free), BATCH, config)[0]

    optimizer = optax.adam(0.05)

    def descend(carry, _):
        free, state = carry
        loss, gradient = jax.value_and_grad(loss_of)(free)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(free, updates), state), loss

    def run(free):
        start = free, optimizer.init(free)
        (free, _), losses = jax.lax.scan(descend, start, length=400)
        return losses, controls.pathological_controls(outputs_of(free), BATCH, config)

    with jax.enable_x64(True):
        losses, found = jax.jit(run)(jax.tree.map(jnp.asarray, free))
    return float(np.asarray(losses).min()), {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("match", ["softmax", "max", "one_to_one"])
def test_v_pors_that_ignore_the_image_do_no_better_than_statement_frequency(match):
    with jax.enable_x64(True):
        bound = float(frequency_loss(BATCH, jnp.float64))
    constant, _ = train(images=1, match=match)
    assert bound - 1e-9 < constant < bound + 0.05, "the bound holds, and descent comes close to it"
    own, found = train(images=7, match=match)
    assert own < bound - 0.3, "V-PORs of each image's own do better"
    assert found["pathological/loss_rolled_images"] > bound, (
        "and of another's no better than chance"
    )


def test_within_reports_v_pors_that_ignore_the_image_do_as_well_as_any():
    """Why scope = report is a baseline: it is won with no image, and no frequency bounds it."""
    constant, _ = train(images=1, scope="report")
    own, found = train(images=7, scope="report")
    assert constant < 0.02 and own > constant - 0.02
    assert "pathological/loss_statement_frequency" not in found


@pytest.mark.parametrize("positives", statements.Positives)
@pytest.mark.parametrize("weights", statements.SentenceWeights)
def test_no_constant_scores_pass_the_frequency_bound_whatever_the_weights(positives, weights):
    """The contrast over sentences, at the scores that make its softmax the mean target."""
    switches = {"positives": positives, "weights": weights}
    with jax.enable_x64(True):
        sentences = statements.all_sentences(jnp.zeros((7, 3, 1)), BATCH)
        targets = statement_targets(BATCH, sentences, dtype=jnp.float64, **switches)
        weight, images = targets.sentence_weight, targets.image_weight
        stated = targets.positives * weight
        share = stated / jnp.maximum(stated.sum(axis=1, keepdims=True), 1e-9)
        mean = jnp.sum(share * images[:, None], axis=0) / images.sum()
        scores = jnp.log(jnp.where(weight > 0, mean / jnp.where(weight > 0, weight, 1), 1))
        logits = jnp.broadcast_to(scores, targets.positives.shape)
        over_images = contrastive.anchor_terms(logits.T, targets.positives.T, images)
        over_sentences = contrastive.anchor_terms(logits, targets.positives, weight)
        reached = contrastive.both_ways(
            contrastive.mean_terms(over_images, weight),
            contrastive.mean_terms(over_sentences, images),
        ).loss
        bound = controls.statement_frequency_loss(targets)
    np.testing.assert_allclose(reached, bound, rtol=1e-9)


def test_statement_frequency_is_the_entropy_of_statements_and_of_images():
    """Three images: two state {a}, one {a, b}; so q_a = 5/6, q_b = 1/6."""
    batch = cases.batch((2, 1, 2), max_sentences=2)
    batch["statement"][:] = np.array([[[9, 1], [9, 1]], [[9, 1], [9, 2]], [[9, 1], [9, 2]]])
    entropy = -(5 / 6 * np.log(5 / 6) + 1 / 6 * np.log(1 / 6))
    found = frequency_loss(batch, jnp.float32)
    np.testing.assert_allclose(found, (np.log(3) + entropy) / 2, rtol=1e-5)


def test_rolling_passes_over_absent_rows():
    values, present = jnp.arange(6)[:, None], jnp.array([False, True, True, False, True, False])
    rolled = controls.roll_present(values, present)[:, 0]
    assert rolled[jnp.array([1, 2, 4])].tolist() == [4, 1, 2]


@pytest.mark.parametrize("rows", [range(12), range(3, 9), [0, 2, 5, 6, 11], [4], []])
def test_an_interleaved_rows_neighbour_is_half_of_the_present_away(rows):
    present = jnp.zeros(12, bool).at[jnp.array(rows, int)].set(True)
    order = controls.interleaved(present)
    assert sorted(order.tolist()) == list(range(12)) and present[order][: len(rows)].all()
    before = controls.roll_present(order, present[order])
    place = {row: k for k, row in enumerate(rows)}
    for row, other in zip(order[: len(rows)].tolist(), before.tolist(), strict=False):
        assert abs(place[row] - place[other]) >= (len(rows) - 1) // 2


def test_v_pors_that_know_their_image_lose_it_when_rolled():
    """Images of one statement each, V-POR equal to the T-POR of that statement."""
    batch = cases.batch((1,) * 4, max_sentences=1)
    batch["statement"][:, 0, 0] = np.arange(4)
    outputs = cases.outputs(4, max_sentences=1, scale=20.0, dtype=np.float32)
    axes = np.eye(4, dtype=np.float32)[:, None]
    known = dataclasses.replace(outputs, v_por=np.repeat(axes, 3, axis=1), t_por=axes)

    @jax.jit
    def evaluate(outputs, batch):
        loss, metrics = pathological_loss(outputs, batch, cases.config())
        return loss, metrics, controls.pathological_controls(outputs, batch, cases.config())

    loss, metrics, found = evaluate(known, batch)
    assert metrics["pathological/top1"] == 1 and found["pathological/top1_rolled_images"] == 0
    assert loss < 0.01 and found["pathological/loss_rolled_images"] > 15
    assert found["pathological/loss_statement_frequency"] == pytest.approx(np.log(4), rel=1e-5)
