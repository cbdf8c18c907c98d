"""The baselines against float64 loops, in value and gradient."""

import dataclasses

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference

from place_jax.objectives import get
from place_jax.objectives.instance import instance_loss

MASKED = {"none": (), "two": (1, 4), "all_but_one": (0, 1, 2, 3, 4)}
FORMULAS = {
    "siglip": lambda o, mask: reference.siglip(
        o["image_embedding"], o["report_embedding"], mask, o["scale"], o["bias"]
    ),
    "convirt": lambda o, mask: reference.convirt(
        o["image_embedding"], o["report_embedding"], mask, 0.2, 0.6
    ),
}


@pytest.mark.parametrize("masked", MASKED)
@pytest.mark.parametrize("name", FORMULAS)
def test_value_and_gradient_equal_the_formula(name, masked):
    batch, outputs = cases.batch((2,) * 6, masked=MASKED[masked]), cases.outputs(6)
    config = cases.config(convirt_temperature=0.2, convirt_image_weight=0.6)
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        (loss, metrics), found = jax.jit(
            jax.value_and_grad(lambda a: get(name)(join(a), batch, config), has_aux=True)
        )(arrays)
    values = {
        "image_embedding": outputs.image_embedding,
        "report_embedding": outputs.report_embedding,
        "scale": outputs.logit_scales["siglip"],
        "bias": outputs.logit_biases["siglip"],
    }
    gradients = {
        "image_embedding": found["image_embedding"],
        "report_embedding": found["report_embedding"],
        "scale": found["scales"]["siglip"],
        "bias": found["biases"]["siglip"],
    }
    mask = batch["example_mask"]
    np.testing.assert_allclose(loss, FORMULAS[name](values, mask), rtol=1e-12, atol=1e-12)
    assert metrics["loss"] == loss
    for key, gradient in gradients.items():
        expected = reference.numeric_gradient(
            lambda x, key=key: FORMULAS[name](values | {key: x}, mask), values[key]
        )
        np.testing.assert_allclose(gradient, expected, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("name", ["clip", *FORMULAS])
def test_a_masked_row_is_as_if_it_were_not_there(name):
    batch, outputs = cases.batch((2,) * 6, masked=(1, 4)), cases.outputs(6)
    rows = np.array([0, 2, 3, 5])
    few_outputs, few_batch = cases.take(outputs, batch, rows)
    with jax.enable_x64(True):
        loss, metrics = get(name)(outputs, batch, cases.config())
        alone, alone_metrics = get(name)(few_outputs, few_batch, cases.config())
    np.testing.assert_allclose(loss, alone, rtol=1e-12)
    np.testing.assert_allclose(metrics[f"{name}/top1"], alone_metrics[f"{name}/top1"])


@pytest.mark.parametrize("name", ["instance", "clip", *FORMULAS])
def test_a_last_block_that_is_filled_up_adds_nothing(name):
    """Eleven pairs in blocks of six. All images find the last report, and all cosines are below 0,
    which is the cosine with what a block is filled up with.
    """
    batch, outputs = cases.batch((1,) * 11), cases.outputs(11)
    batch["report_statement"] = np.arange(22, dtype=np.uint32).reshape(11, 2)
    image, report = np.zeros((2, 11, 2))
    image[:, 0] = 1
    report[:, 0] = -1 + 0.05 * np.arange(11)
    report[:, 1] = np.sqrt(1 - report[:, 0] ** 2)
    outputs = dataclasses.replace(outputs, image_embedding=image, report_embedding=report)
    objective = instance_loss if name == "instance" else get(name)
    with jax.enable_x64(True):
        whole, blocks = (
            objective(outputs, batch, cases.config(contrast=contrast))
            for contrast in ("gathered", "chunked")
        )
    # The others are of both directions, and no report finds its image among equal ones.
    np.testing.assert_allclose(whole[1][f"{name}/top1"], 1 / 11 if name == "siglip" else 1 / 22)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), blocks, whole)
