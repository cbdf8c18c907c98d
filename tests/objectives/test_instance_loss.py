"""ITA and CLIP against float64 loops in value and gradient."""

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference

from place_jax.objectives.clip import clip_loss
from place_jax.objectives.instance import instance_loss

MASKED = {"none": (), "two": (1, 4), "all_but_one": (0, 1, 2, 3, 4)}


def differentiate(objective, outputs, batch, **loss):
    arrays, join = cases.split(outputs)
    config = cases.config(**loss)
    with jax.enable_x64(outputs.image_embedding.dtype == np.float64):
        (loss, metrics), gradients = jax.jit(
            jax.value_and_grad(lambda a: objective(join(a), batch, config), has_aux=True)
        )(arrays)
    assert loss.dtype == outputs.image_embedding.dtype
    return float(loss), {name: float(value) for name, value in metrics.items()}, gradients


def check_gradients(formula, found, outputs, *, scale_is_trained=True):
    for name in ("image_embedding", "report_embedding"):
        expected = reference.numeric_gradient(
            lambda x, name=name: formula(**{name: x}), getattr(outputs, name)
        )
        np.testing.assert_allclose(found[name], expected, atol=1e-8)
    slope = 0
    if scale_is_trained:
        slope = reference.numeric_gradient(lambda s: formula(scale=float(s)), 5.0)
    np.testing.assert_allclose(found["scales"]["instance"], slope, atol=1e-8)


@pytest.mark.parametrize("masked", MASKED)
@pytest.mark.parametrize("scale", ["learned", "fixed"])
@pytest.mark.parametrize("equal_reports", ["positives", "negatives"])
def test_instance_loss_equals_the_formula(equal_reports, scale, masked):
    """Six reports of which some are equal: as negatives, they count like any others."""
    batch, outputs = cases.batch((2,) * 6, masked=MASKED[masked]), cases.outputs(6)
    identity = batch["report_statement"]
    assert len(np.unique(identity, axis=0)) < 6
    if equal_reports == "negatives":
        identity = np.arange(6)[:, None]

    def formula(image_embedding=None, report_embedding=None, scale=5.0):
        image = outputs.image_embedding if image_embedding is None else image_embedding
        report = outputs.report_embedding if report_embedding is None else report_embedding
        return reference.instance(image, report, identity, batch["example_mask"], scale)

    loss, metrics, found = differentiate(
        instance_loss, outputs, batch, equal_reports=equal_reports, instance_scale=scale
    )
    expected = formula()
    np.testing.assert_allclose(
        [loss, metrics["instance/floor"], metrics["instance/top1"]], expected, atol=1e-12
    )
    check_gradients(
        lambda **changed: formula(**changed)[0],
        found,
        outputs,
        scale_is_trained=scale == "learned",
    )


@pytest.mark.parametrize("masked", MASKED)
def test_clip_loss_equals_the_formula(masked):
    batch, outputs = cases.batch((2,) * 6, masked=MASKED[masked]), cases.outputs(6)

    def formula(image_embedding=None, report_embedding=None, scale=5.0):
        image = outputs.image_embedding if image_embedding is None else image_embedding
        report = outputs.report_embedding if report_embedding is None else report_embedding
        return reference.clip(image, report, batch["example_mask"], scale)

    loss, metrics, found = differentiate(clip_loss, outputs, batch)
    np.testing.assert_allclose([loss, metrics["clip/top1"]], formula(), atol=1e-12)
    check_gradients(lambda **changed: formula(**changed)[0], found, outputs)


def test_equal_reports_are_positives_and_their_floor_is_reached():
    """Two pairs of equal reports, perfectly embedded: the loss is log 2, its floor."""
    outputs, batch = cases.outputs(4, scale=100.0), cases.batch((1,) * 4)
    batch["report_statement"] = np.array([[1, 5], [2, 5], [1, 5], [2, 5]], np.uint32)
    axes = np.eye(4)[[0, 1, 0, 1]]
    outputs = cases.dataclasses.replace(outputs, image_embedding=axes, report_embedding=axes)
    loss, metrics, _ = differentiate(instance_loss, outputs, batch)
    assert loss == pytest.approx(np.log(2))
    assert metrics["instance/floor"] == pytest.approx(np.log(2))
    assert metrics["instance/top1"] == 1
    assert differentiate(clip_loss, outputs, batch)[1]["clip/top1"] == 0


def test_bfloat16_embeddings_are_contrasted_in_float32():
    batch, single = cases.batch((2,) * 6), cases.outputs(6, dtype=np.float32)
    half = jax.tree.map(lambda x: x.astype(jax.numpy.bfloat16), single)
    rounded = jax.tree.map(lambda x: np.float64(x), half)
    expected = reference.instance(
        rounded.image_embedding,
        rounded.report_embedding,
        batch["report_statement"],
        batch["example_mask"],
        float(rounded.logit_scales["instance"]),
    )
    loss, _ = jax.jit(lambda *a: instance_loss(*a, cases.config()))(half, batch)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)


def test_equal_reports_as_negatives_is_clips_loss():
    batch, outputs = cases.batch((2,) * 6, masked=(1,)), cases.outputs(6)
    config = cases.config(equal_reports="negatives")
    with jax.enable_x64(True):
        found = jax.jit(lambda o, b: instance_loss(o, b, config))(outputs, batch)
        expected = jax.jit(lambda o, b: clip_loss(o, b, config))(outputs, batch)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1]["instance/top1"], expected[1]["clip/top1"])
