"""The losses: pure functions `(outputs, batch, config, step=None) -> (loss, metrics)` of arrays.

And what a config's objective asks of batches, and gives to scores.
"""

from place_jax.objectives.registry import check_batch_size, fitting_batch_size, get, temperature

__all__ = ["check_batch_size", "fitting_batch_size", "get", "temperature"]
