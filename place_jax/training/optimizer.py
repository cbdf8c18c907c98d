"""AdamW with warm-up, cosine, clipping, and no decay where decay would do harm."""

import jax
import optax
from ml_collections import ConfigDict

from place_jax.parallel.partition import path_string

# Positions, queries and tokens are points, not maps: decay would pull them together.
_POINTS = (
    "position",
    "queries",
    "class_token",
    "mask_token",
    "prototypes",
    "mean_rows",
    "shift",
    "scale",
)
_POINT_EMBEDDINGS = ("position_embedding", "type_embedding")


def learning_rate(config: ConfigDict) -> optax.Schedule:
    """Linear from 0 over warmup_steps, then cosine to end_fraction of the peak at train.steps.

    Raises:
      ValueError: warm-up is as long as training.
    """
    peak, warmup = config.optimizer.learning_rate, config.optimizer.warmup_steps
    if warmup >= config.train.steps:
        raise ValueError(
            f"optimizer.warmup_steps={warmup} leaves nothing of train.steps={config.train.steps}: "
            "lower the one or raise the other"
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup else peak,
        peak_value=peak,
        warmup_steps=warmup,
        decay_steps=config.train.steps,
        end_value=peak * config.optimizer.end_fraction,
    )


def decay_mask(params) -> dict:
    """True for kernels and word embeddings; False for biases, norms, scales and learned points."""

    def decays(path, leaf) -> bool:
        name = path_string(path)
        axes = leaf.ndim - ("blocks/" in name)  # stacked layers have one axis more
        point = name.rsplit("/", 1)[-1] in _POINTS or any(e in name for e in _POINT_EMBEDDINGS)
        return axes >= 2 and not point

    return jax.tree_util.tree_map_with_path(decays, params)


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Clips by global norm, then AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""
    return optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm),
        optax.adamw(
            learning_rate(config),
            b1=config.optimizer.b1,
            b2=config.optimizer.b2,
            weight_decay=config.optimizer.weight_decay,
            mask=decay_mask,
        ),
    )
