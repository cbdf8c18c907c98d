"""Operations counted on the jaxpr: XLA's own count where nothing loops, and right where it does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import get_config
from data_pipelines.records import batch_fields
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.training.feed import FIELDS
from place_jax.training.flops import count_of, model_flops


def config_of(**model):
    """Wide enough that products outweigh all else; every stack is short enough to be unrolled."""
    config = get_config()
    config.data.update(batch_size=8, crop_size=64, max_tokens=64, max_sentences=4)
    sizes = dict(width=384, depth=2, heads=4, mlp_dim=1536)
    for tower in ("image", "text", "observation", "correlation"):
        config.model[tower].update(sizes)
    config.model.update(model)
    return config


def shapes(config):
    data = config.data
    fields = batch_fields(data.batch_size, data.crop_size, data.max_tokens, data.max_sentences)
    return {name: jax.ShapeDtypeStruct(*fields[name]) for name in FIELDS}


def test_the_count_is_that_of_xla_on_an_unrolled_model():
    config = config_of()
    model = Model.from_config(config.model, image_size=64, vocab_size=500)
    objective = objectives.get("place")

    def loss_of(params, batch):
        outputs = model.apply(params, {}, batch, key=jax.random.key(0))
        return objective(outputs, batch, config)[0]

    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    lowered = jax.jit(jax.grad(loss_of)).lower(params, shapes(config))
    by_xla = lowered.cost_analysis()["flops"]
    counted = model_flops(config, 500, shapes(config)).total
    assert counted < by_xla  # which has the elementwise work too
    assert counted == pytest.approx(by_xla, rel=0.05)


def test_what_loops_counts_as_often_as_it_runs():
    x = jax.ShapeDtypeStruct((16, 16), np.float32)
    product = count_of(jnp.matmul, x, x)
    assert product.total == 2 * 16**3

    def power(x, y):
        return jax.lax.fori_loop(0, 7, lambda _, z: z @ y, x)

    assert count_of(power, x, x).total == 7 * product.total


def test_deeper_towers_take_more_and_what_nothing_needs_takes_nothing():
    config = config_of()
    place = model_flops(config, 500, shapes(config)).total
    config.model.image.depth = config.model.text.depth = 6  # a loop
    deeper = model_flops(config, 500, shapes(config)).total
    config.objective = "clip"  # neither observations nor correlations
    assert model_flops(config, 500, shapes(config)).total < deeper
    assert deeper > 1.8 * place


def test_highest_precision_takes_six_passes():
    x = jax.ShapeDtypeStruct((8, 8), np.float32)
    found = count_of(lambda a, b: jnp.matmul(a, b, precision="highest"), x, x)
    assert (found.total, found.passes) == (1024, 6 * 1024)
