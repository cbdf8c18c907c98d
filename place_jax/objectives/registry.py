"""The objectives by the name that a config gives them."""

from collections.abc import Callable

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
}


def get(name: str) -> Objective:
    """The objective `(outputs, batch, config, step=None) -> (loss, metrics)` of that name."""
    if name not in _OBJECTIVES:
        raise ValueError(f"objective={name!r} is not known: use one of {', '.join(_OBJECTIVES)}")
    return _OBJECTIVES[name]
