"""The objectives by the name that a config gives them."""

from collections.abc import Callable

from ml_collections import ConfigDict

from place_jax.models.functional import learned_temperature
from place_jax.objectives import contrastive, gloria, mgca
from place_jax.objectives.clip import clip_loss
from place_jax.objectives.convirt import convirt_loss
from place_jax.objectives.place import place_loss
from place_jax.objectives.siglip import siglip_loss

Objective = Callable[..., tuple]
_OBJECTIVES: dict[str, Objective] = {
    "place": place_loss,
    "clip": clip_loss,
    "siglip": siglip_loss,
    "convirt": convirt_loss,
    "gloria": gloria.gloria_loss,
    "mgca": mgca.mgca_loss,
}
_LARGEST_BATCH = {"gloria": gloria.LARGEST_BATCH, "mgca": mgca.LARGEST_BATCH}


def get(name: str) -> Objective:
    """The objective `(outputs, batch, config, step=None) -> (loss, metrics)` of that name."""
    if name not in _OBJECTIVES:
        raise ValueError(f"objective={name!r} is not known: use one of {', '.join(_OBJECTIVES)}")
    return _OBJECTIVES[name]


def temperature(config: ConfigDict, params: dict) -> float:
    """Of the softmax over cosines of whole images and reports, as config.objective trained it.

    Args:
      config: objective, loss.convirt_temperature.
      params: the model's, which hold what was learned.
    """
    fixed = {
        "convirt": config.loss.convirt_temperature,
        "gloria": gloria.GLOBAL_TAU,
        "mgca": mgca.GLOBAL_TAU,
    }
    if config.objective in fixed:
        return fixed[config.objective]
    return learned_temperature(params, "siglip" if config.objective == "siglip" else "instance")


def check_batch_size(config: ConfigDict, size: int, *, key: str = "batch_size") -> None:
    """Raises ValueError where config.objective does not take a global batch of that size.

    Args:
      config: objective, loss.protocol.
      size: of the global batch.
      key: what the config calls it.
    """
    name = config.objective
    if name in _LARGEST_BATCH:
        contrastive.check_batch(name, size, _LARGEST_BATCH[name], key)
    if _in_groups(config):
        mgca.compat_group(size, key)


def fitting_batch_size(config: ConfigDict, size: int) -> int:
    """The largest batch of at most `size` that config.objective takes."""
    size = min(size, _LARGEST_BATCH.get(config.objective, size))
    if _in_groups(config) and size > mgca.COMPAT_GROUP:
        return size // mgca.COMPAT_GROUP * mgca.COMPAT_GROUP
    return size


def _in_groups(config: ConfigDict) -> bool:
    return config.objective == "mgca" and config.loss.protocol == "mgca_compat"
