"""A PLACE config small enough to compile in seconds, and pairs for it that are drawn, not read."""

import jax
import numpy as np
import optax
from drawn_pairs import VOCABULARY, draw_pairs
from tiny_run import tiny_config

from configs.base import get_config
from data_pipelines.batches import open_data
from place_jax import objectives
from place_jax.models.functional import Model
from place_jax.parallel.mesh import make_mesh, replicated
from place_jax.training.feed import to_devices
from place_jax.training.optimizer import make_optimizer
from place_jax.training.step import abstract_state, compile_step, make_state, make_train_step

QUICK = {"xla_backend_optimization_level": 0}  # a third of the time to compile


DOUBLE = {"model.dtype": "float64", "model.param_dtype": "float64"}
TWO_WAYS = (("data", 2), ("fsdp", 4))


def make_config(overrides=()):
    """A whole config of 32-pixel images and 16 pairs, with overrides by dotted key."""
    config = get_config()
    config.data.update(batch_size=16, crop_size=32, max_tokens=20, max_sentences=4)
    sizes = dict(width=32, depth=1, heads=2, mlp_dim=48)
    config.model.joint_dim = 16
    config.model.image.update(patch_size=8, **sizes)
    config.model.text.update(max_positions=32, **sizes)
    config.model.observation.update(num_queries=3, **sizes)
    config.model.correlation.update(rank=8, **sizes)
    config.loss.memory_bytes = 120_000  # of 32-pixel batches: several blocks
    config.optimizer.update(learning_rate=1e-3, warmup_steps=2)
    config.train.steps = 40
    config.update_from_flattened_dict(dict(overrides))
    return config


def short_run(config):
    """The config of seven steps, logged every second, saved every third, validated after five."""
    config.train.update(steps=7, log_every=2, checkpoint_every=3, eval_every=5)
    return config


def tiny_evaluation(data_dir):
    """A config whose evaluation batches do not divide the validation split."""
    config = tiny_config(data_dir)
    config.evaluation.update(batch_size=16, max_examples=21, retrieval_pool=8)
    return config


def spread_model(config, mesh):
    """A model with the parameters it starts from, whole on every device, and its data."""
    data = open_data(config.data.dir)
    model = Model.from_config(
        config.model, image_size=config.data.crop_size, vocab_size=data.tokenizer.size
    )
    made = jax.jit(model.init, out_shardings=replicated(mesh))(jax.random.key(0))
    return model, *made, data


def draw_rows(number: int) -> dict[str, np.ndarray]:
    """Batch `number`: 16 random pairs, with fewer sentences in the last ones."""
    rng = np.random.default_rng(number)
    return draw_pairs(rng, 16) | {
        "statement": rng.integers(0, 6, (16, 4, 2)).astype(np.uint32),
        "report_statement": rng.integers(0, 4, (16, 2)).astype(np.uint32),
    }


class TinyRun:
    """A model, its step, compiled, and where it runs.

    The optimizer's state begins with the gradient, which `gradient` reads.
    """

    def __init__(self, config, *, devices: int, mesh_sizes=()):
        self.config = config
        mesh_config = get_config().mesh
        mesh_config.update(dict(mesh_sizes))
        self.mesh = make_mesh(mesh_config, jax.devices()[:devices])
        size = config.data.crop_size
        self.model = Model.from_config(config.model, image_size=size, vocab_size=VOCABULARY)
        self.tx = optax.chain(optax.trace(decay=0.0), make_optimizer(config))
        objective = objectives.get(config.objective)
        step = make_train_step(self.model, self.tx, objective, config)
        self.abstract = abstract_state(self.model, self.tx, config, self.mesh)
        rows = {n: jax.ShapeDtypeStruct(x.shape, x.dtype) for n, x in draw_rows(0).items()}
        lowered = compile_step(step, self.abstract, self.mesh).lower(self.abstract, rows)
        self.step = lowered.compile(compiler_options=QUICK)
        make = jax.jit(lambda key: make_state(self.model, self.tx, config, key))
        self._make = make.lower(jax.random.key(0)).compile(compiler_options=QUICK)

    def init(self):
        """The first state, where it belongs."""
        state = self._make(jax.random.key(0))
        return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), state, self.abstract)

    def batch(self, number: int, **changes):
        """Batch `number` on the mesh."""
        return to_devices(draw_rows(number) | changes, self.mesh)

    def gradient(self, state):
        """The gradient of the last step."""
        return state.opt_state[0].trace
