"""PLACE in JAX and Flax: pre-training on radiographs and their reports, sharded over TPU pods.

from place_jax import train_and_evaluate, Predictor
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Predictor", "TrainResult", "train_and_evaluate"]

if TYPE_CHECKING:
    from place_jax.predictor import Predictor
    from place_jax.training.loop import TrainResult, train_and_evaluate

_HOME = {
    "Predictor": "place_jax.predictor",
    "TrainResult": "place_jax.training.loop",
    "train_and_evaluate": "place_jax.training.loop",
}


def __getattr__(name: str) -> Any:
    """Imports the public names when first used, so that `import place_jax` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'place_jax' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
