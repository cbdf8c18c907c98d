"""A PLACE model small enough to compile in seconds, its parameters, and random pairs for it."""

import functools
import types

import jax
import numpy as np
import pytest
from drawn_pairs import VOCABULARY, draw_pairs

from configs.base import get_config
from place_jax.models.functional import Model

# Half the time to compile, and these models are too small to run slowly.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="session")
def tiny_config():
    """Makes config.model of a tiny model, with overrides by dotted key."""

    def make(**overrides):
        config = get_config().model
        config.joint_dim = 8
        sizes = dict(width=16, depth=2, heads=2, mlp_dim=24)
        config.image.update(stem="conv", patch_size=8, **(sizes | {"depth": 1}))
        config.text.update(max_positions=32, **sizes)
        config.observation.update(num_queries=3, **(sizes | {"depth": 1}))
        config.correlation.update(rank=5, **(sizes | {"depth": 1}))
        config.update_from_flattened_dict({k.replace("__", "."): v for k, v in overrides.items()})
        return config

    return make


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    """(model, params, model_state) for images of 32 pixels: 16 patches."""
    model = Model.from_config(tiny_config(), image_size=32, vocab_size=VOCABULARY)
    return model, *quick_jit(model.init)(jax.random.key(0))


@pytest.fixture(scope="session")
def compiled(tiny_model):
    """The shared model's functions, each compiled once for all tests."""
    model, _, _ = tiny_model
    names = ("apply", "encode_images", "predict_correlation", "calibrate")
    functions = {name: quick_jit(getattr(model, name)) for name in names}
    functions["encode_texts"] = quick_jit(model.encode_texts, static_argnames="num_sentences")
    return types.SimpleNamespace(**functions)


@pytest.fixture(scope="session")
def pairs():
    """A batch of 8."""
    return draw_pairs(np.random.default_rng(0), 8)
