"""What must not change a loss: the order of the batch, and rows that weigh nothing.

GLoRIA's and MGCA's first is in test_local_baselines.py, PCMA's in test_pathological_loss.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import objective_cases as cases
import optax
import pytest

from place_jax.objectives import get
from place_jax.objectives.instance import instance_loss

SWITCHES = {
    "place": dict(query_diversity=0.5, attention_diversity=0.5),
    "place of features": dict(correlation_pairs="all"),
}


def differentiate(name, outputs, batch):
    config = cases.config(**SWITCHES.get(name, {}))
    if name == "place of features":
        config.model.correlation.update(target="ema_features", statistic="covariance")
    arrays, join = cases.split(outputs)
    objective = get("place" if name in SWITCHES else name)
    with jax.enable_x64(True):
        return jax.jit(jax.value_and_grad(lambda a: objective(join(a), batch, config), has_aux=1))(
            arrays
        )


@pytest.mark.parametrize("name", [*SWITCHES, "clip", "siglip", "convirt"])
def test_masked_rows_are_as_good_as_left_out_and_order_is_of_no_matter(name):
    batch, outputs = cases.batch((2, 4, 3, 0, 2), masked=(1,)), cases.outputs(5)
    rows = np.array([4, 0, 3, 2])
    (_, metrics), gradient = differentiate(name, outputs, batch)
    (_, few_metrics), few_gradient = differentiate(name, *cases.take(outputs, batch, rows))
    for key, value in metrics.items():
        np.testing.assert_allclose(value, few_metrics[key], rtol=1e-9, atol=1e-12, err_msg=key)
    for key in cases.FLOATS:
        if key == "prototypes":
            continue
        kept, few = np.asarray(gradient[key])[rows], np.asarray(few_gradient[key])
        np.testing.assert_allclose(kept, few, rtol=1e-9, atol=1e-12, err_msg=key)
        assert not np.any(np.asarray(gradient[key])[1]), key


@pytest.mark.parametrize(
    ("name", "protocol"),
    [(name, "strict") for name in ("instance", "clip", "siglip", "convirt", "gloria", "mgca")]
    + [("gloria", "mgca_compat"), ("mgca", "mgca_compat")],
)
def test_a_batch_without_an_example_has_no_loss_and_no_gradient(name, protocol):
    batch, outputs = cases.batch((2, 1, 2), masked=(0, 1, 2)), cases.outputs(3)
    objective = instance_loss if name == "instance" else get(name)
    config = cases.config(protocol=protocol)
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        (loss, metrics), gradient = jax.jit(
            jax.value_and_grad(lambda a: objective(join(a), batch, config), has_aux=True)
        )(arrays)
    assert float(loss) == 0 and np.isfinite(list(map(float, metrics.values()))).all()
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_array_equal(leaf, 0)


def test_embeddings_that_know_their_pairs_know_nothing_of_shuffled_ones():
    """Trained until each image finds its report; each with another's report, chance is better."""
    batch, outputs = cases.batch((1,) * 8), cases.outputs(8, width=6, scale=10.0)
    batch["report_statement"] = np.arange(16, dtype=np.uint32).reshape(8, 2)
    optimizer = optax.adam(0.1)

    def loss_of(free):
        unit = {n: x / jnp.linalg.norm(x, axis=-1, keepdims=True) for n, x in free.items()}
        return instance_loss(dataclasses.replace(outputs, **unit), batch, cases.config())

    def descend(carry, _):
        free, state = carry
        gradient = jax.grad(lambda f: loss_of(f)[0])(free)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(free, updates), state), None

    @jax.jit
    def run(free):
        (free, _), _ = jax.lax.scan(descend, (free, optimizer.init(free)), length=100)
        other = free | {"image_embedding": jnp.roll(free["image_embedding"], 1, axis=0)}
        return loss_of(free), loss_of(other)

    free = {n: getattr(outputs, n) for n in ("image_embedding", "report_embedding")}
    with jax.enable_x64(True):
        free = jax.tree.map(jnp.asarray, free)
        (own, metrics), (rolled, rolled_metrics) = jax.device_get(run(free))
    assert own < 0.1 and metrics["instance/top1"] == 1
    assert rolled > np.log(8) and rolled_metrics["instance/top1"] <= 1 / 8
