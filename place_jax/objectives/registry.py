"""The objectives by the name that a config gives them."""

from collections.abc import Callable

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


def check_batch_size(name: str, size: int) -> None:
    """Raises ValueError where a global batch is larger than the objective is fit for."""
    if name in _LARGEST_BATCH:
        contrastive.check_batch(name, size, _LARGEST_BATCH[name])
