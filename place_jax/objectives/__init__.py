"""The losses: pure functions `(outputs, batch, config, step=None) -> (loss, metrics)` of arrays."""

from place_jax.objectives.registry import get

__all__ = ["get"]
