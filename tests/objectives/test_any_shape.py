"""Every objective but PCMA against its float64 reference, on shapes that hypothesis draws.

PCMA's is in test_pathological_loss.py. Among the shapes are batches of one, reports without words,
images of flat patches alone and masked rows.
"""

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_local
import reference_objectives as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from place_jax.objectives import get
from place_jax.objectives.correlation import correlation_loss
from place_jax.objectives.instance import instance_loss

EMBEDDINGS = ("image_embedding", "report_embedding")
LOCAL = (*EMBEDDINGS, "patch_embedding", "word_embedding")
CORRELATIONS = {
    "CCE of texture": ("pixels", "patch", "correlation", "hidden"),
    "CCE of brightness": ("pixels", "image", "correlation", "both_hidden"),
    "CCE of covariances": ("pixels", "image", "covariance", "all"),
    "CCE of features": ("ema_features", "patch", "correlation", "both_hidden"),
    "CCE of features' covariances": ("ema_features", "patch", "covariance", "hidden"),
}
WHOLES = ("instance", "clip", "siglip", "convirt")
LOCALS = ("gloria", "gloria mgca_compat", "mgca", "mgca mgca_compat")


@st.composite
def shapes(draw):
    """The first of each list is what hypothesis tries first and most."""
    examples = draw(st.sampled_from([3, 2, 4, 1]))
    return {
        "masked": tuple(draw(st.sets(st.integers(0, examples - 1), max_size=examples - 1))),
        "examples": examples,
        "width": draw(st.integers(2, 4)),
        "side": draw(st.sampled_from([2, 3, 1])),
        "words": draw(st.sampled_from([5, 4, 2, 1])),
    }


def wholes(name):
    """ITA and what contrasts wholes alone, of embeddings `e`, the batch, and outputs' scale."""
    return {
        "instance": lambda e, b: reference.instance(
            *e, b["report_statement"], b["example_mask"], 5.0
        )[0],
        "clip": lambda e, b: reference.clip(*e, b["example_mask"], 5.0)[0],
        "siglip": lambda e, b: reference.siglip(*e, b["example_mask"], 5.0, -2.0),
        "convirt": lambda e, b: reference.convirt(*e, b["example_mask"], 0.1, 0.75),
    }[name]


def local_formula(name, outputs, batch, compat):
    """GLoRIA or MGCA of a dictionary of arrays; MGCA's assignments are held at `outputs`."""
    mask = batch["example_mask"]
    if name == "gloria":
        return lambda o: reference_local.gloria(o, mask, compat)
    kept = [getattr(outputs, n)[mask] @ outputs.prototypes.T for n in EMBEDDINGS]
    targets = [reference_local.sinkhorn(scores) for scores in kept]
    return lambda o: reference_local.mgca(o, mask, compat, targets=targets)


def correlation_formula(outputs, batch, target, centre, statistic, pairs):
    if target == "pixels":
        vectors = [reference.patch_vectors(x[..., 0], cases.PATCH, centre) for x in batch["image"]]
    else:
        tokens = outputs.target_tokens - outputs.target_tokens[batch["example_mask"]].mean(0)
        vectors = [(x, (x**2).mean(-1) < 1e-6) for x in tokens]
    targets = [(reference.patch_moments(x, flat, statistic), flat) for x, flat in vectors]
    return lambda o: reference.correlation(
        o["correlation_factors"],
        targets,
        outputs.hidden_patches,
        batch["example_mask"],
        pairs=pairs,
    )[0]


def problem(name, shape):
    """(objective, config, formula, names of what it reads) for outputs and batch of a shape."""
    batch = cases.batch(
        (2,) * shape["examples"], masked=shape["masked"], patches_per_side=shape["side"]
    )
    outputs = cases.outputs(
        shape["examples"], width=shape["width"], patches=shape["side"] ** 2, words=shape["words"]
    )
    config = cases.config()
    if name in CORRELATIONS:
        target, centre, statistic, pairs = CORRELATIONS[name]
        config = cases.config(correlation_pairs=pairs)
        config.model.correlation.update(target=target, centre=centre, statistic=statistic)
        formula = correlation_formula(outputs, batch, *CORRELATIONS[name])
        return correlation_loss, config, formula, ("correlation_factors",), outputs, batch
    if name in LOCALS:
        name, _, protocol = name.partition(" ")
        config = cases.config(protocol=protocol or "strict")
        names = LOCAL + (("prototypes",) if name == "mgca" else ())
        return (
            get(name),
            config,
            local_formula(name, outputs, batch, bool(protocol)),
            names,
            outputs,
            batch,
        )
    objective = instance_loss if name == "instance" else get(name)
    whole = wholes(name)
    formula = lambda o: whole([o[n] for n in EMBEDDINGS], batch)  # noqa: E731
    return objective, config, formula, EMBEDDINGS, outputs, batch


@pytest.mark.parametrize("name", [*WHOLES, *LOCALS, *CORRELATIONS])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(shape=shapes())
def test_any_shape_equals_its_formula(name, shape):
    objective, config, formula, names, outputs, batch = problem(name, shape)
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        (loss, metrics), found = jax.jit(
            jax.value_and_grad(lambda a: objective(join(a), batch, config), has_aux=True)
        )(arrays)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    given_ = {n: getattr(outputs, n) for n in (*cases.FLOATS, "word_mask")}
    np.testing.assert_allclose(loss, formula(given_), rtol=1e-9, atol=1e-10)
    for key in names:
        reference.assert_slopes(
            found[key],
            lambda x, key=key: formula(given_ | {key: x}),
            given_[key],
            atol=1e-6,
            err_msg=key,
        )
