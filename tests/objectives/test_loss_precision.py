"""Every product of the losses is asked for in the highest precision, and takes no half floats."""

import jax
import jax.numpy as jnp
import numpy as np
import objective_cases as cases
import pytest

from place_jax.objectives import controls, correlation, diagnostics, get

BATCH = cases.batch((2, 4, 3, 1, 2))
SWITCHES = {
    "max": dict(match="max"),
    "one_to_one": dict(match="one_to_one", query_diversity=1.0, attention_diversity=1.0),
    "report": dict(scope="report"),
    "report_one_to_one": dict(scope="report", match="one_to_one"),
    "own_uniform": dict(positives="own", sentence_weights="uniform"),
    "equal_reports_fixed": dict(equal_reports="negatives", instance_scale="fixed"),
}
OBJECTIVES = {
    name: get(name) for name in ("place", "clip", "siglip", "convirt", "gloria", "mgca")
} | {
    "gloria_compat": lambda o, b, c: get("gloria")(o, b, changed(c, protocol="mgca_compat")),
    "mgca_compat": lambda o, b, c: get("mgca")(o, b, changed(c, protocol="mgca_compat")),
    **{
        name: lambda o, b, c, loss=loss: get("place")(o, b, changed(c, **loss))
        for name, loss in SWITCHES.items()
    },
    "features": lambda o, b, c: correlation.correlation_loss(o, b, of_features(c)),
    "controls": lambda *a: (None, controls.pathological_controls(*a)),
    "watch": lambda o, b, c: (None, {"sum": watched(o, b, c)}),
    "statistics": lambda *a: (None, correlation.correlation_statistics(*a)),
}


def watched(outputs, batch, config):
    """The sum of what is logged beside PLACE; forward alone has products, gradients are stopped."""
    names = ("instance/loss", "instance/floor")
    metrics = dict.fromkeys(names, jnp.float32(0))
    return sum(diagnostics.watch(outputs, batch, config, metrics).values())


def changed(config, **loss):
    config.loss.update(loss)
    return config


def of_features(config):
    """CCE of features' covariances."""
    config.model.correlation.update(target="ema_features", statistic="covariance")
    return config


def products(jaxpr):
    """Every dot_general in a jaxpr and in those inside it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from products(inner)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_products_are_in_float32_at_the_highest_precision(name, dtype):
    config = cases.config(memory_bytes=cases.memory_bytes(5, block=2, itemsize=4))
    arrays, join = cases.split(
        jax.tree.map(
            lambda x: x if x.dtype == bool else x.astype(dtype),
            cases.outputs(5, dtype=np.float32, null=name in SWITCHES, queries=4),
        )
    )

    def total(arrays):
        loss, metrics = OBJECTIVES[name](join(arrays), BATCH, config)
        return loss if loss is not None else sum(jnp.sum(value) for value in metrics.values())

    found = list(products(jax.make_jaxpr(jax.grad(total))(arrays).jaxpr))
    assert found
    highest = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    for equation in found:
        assert equation.params["precision"] == highest, equation
        assert {operand.aval.dtype for operand in equation.invars} == {jnp.dtype("float32")}
