"""PLACE on PhantomCXR `easy`: the demonstration that fits two CPU cores and a quarter of an hour.

    place prepare phantom --config easy --patients 4000 --size 128 --image-size 128 --out-dir DATA
    place train --config phantom_demo --workdir RUN --config.data.dir=DATA

Six large findings, 112-pixel images, a small hybrid encoder (a convolutional stem and two
transformer layers) and a two-layer text encoder, all trained from nothing. README.md has what it
reaches and how long it takes; benchmarks/switches_ablation.py compares objectives and switches.
Its queries read patches that have not seen each other and start apart and sharp, so that V-PORs
point where their sentence does. `:plain` has queries as configs/base.py has them, which collapse,
and a CCE of texture, to which reports add nothing, for comparison (docs/method.md).
`:smoke` shrinks it to a two-step run for tests.
"""

from ml_collections import ConfigDict

from place_jax.configs import base


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config. `arg` is "", "plain" or "smoke"."""
    config = base.get_config()
    config.objective = "place"

    config.data.batch_size = 64
    config.data.crop_size = 112
    config.data.max_tokens = 72  # of PhantomCXR's easy reports, 95 % have 69 or fewer
    config.data.max_sentences = 8

    config.model.joint_dim = 64
    config.model.image.stem = "conv"
    config.model.image.patch_size = 16
    config.model.image.width = 128
    config.model.image.depth = 2
    config.model.image.heads = 4
    config.model.image.mlp_dim = 512
    config.model.text.max_positions = 128
    config.model.text.width = 128
    config.model.text.depth = 2
    config.model.text.heads = 4
    config.model.text.mlp_dim = 512
    config.model.observation.num_queries = 16
    config.model.observation.width = 128
    config.model.observation.depth = 1
    config.model.observation.heads = 4
    config.model.observation.mlp_dim = 256
    config.model.correlation.rank = 32
    config.model.correlation.width = 64
    config.model.correlation.depth = 1
    config.model.correlation.heads = 2
    config.model.correlation.mlp_dim = 128

    if arg == "plain":
        config.model.correlation.centre = "patch"
        config.model.correlation.hide_layout = "scattered"
        config.model.correlation.mask_ratio = 0.5
    else:
        config.model.observation.reads = "stem"
        config.model.observation.sharpness = 8.0
        config.model.observation.separation = 1.0

    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup_steps = 60
    config.optimizer.weight_decay = 0.05

    config.train.steps = 500
    config.train.log_every = 25
    config.train.eval_every = 250
    config.train.checkpoint_every = 250

    config.evaluation.batch_size = 64
    config.evaluation.retrieval_pool = 256

    if arg == "smoke":
        shrink(config)
    elif arg not in ("", "plain"):
        raise ValueError(
            f"phantom_demo:{arg} is not known: use phantom_demo, phantom_demo:plain or "
            "phantom_demo:smoke"
        )
    return config


def shrink(config: ConfigDict) -> None:
    """Makes the config small enough for two steps in a test, in place."""
    config.data.batch_size = 16
    config.data.crop_size = 48
    config.data.max_tokens = 48
    config.data.max_sentences = 4
    config.train.steps = 2
    config.train.log_every = 1
    config.train.eval_every = 2
    config.train.checkpoint_every = 2
    config.optimizer.warmup_steps = 1
    config.evaluation.batch_size = 16
    config.evaluation.retrieval_pool = 16
    config.evaluation.bootstrap = 50
    config.evaluation.max_examples = 32
