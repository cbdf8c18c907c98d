"""Starts a model from the pre-trained encoders that its config names."""

from ml_collections import ConfigDict

from place_jax.weights.huggingface_bert import load_bert
from place_jax.weights.huggingface_vit import load_vit
from place_jax.weights.safetensors_reader import find_files
from place_jax.weights.tensor_names import Params


def check_pretrained(config: ConfigDict) -> None:
    """Raises ValueError where the weights that the config names are not there.

    A run that goes on from a checkpoint needs them as well, at its end: its scores stand beside
    those of the encoders that it started from.
    """
    for name in ("image", "text"):
        if config.model[name].weights:
            try:
                find_files(config.model[name].weights)
            except ValueError as error:
                raise ValueError(f"model.{name}.weights: {error}") from None


def apply_pretrained(params: Params, config: ConfigDict) -> Params:
    """Puts the weights of config.model.image.weights and config.model.text.weights in place.

    Args:
      params: from `Model.init`; dtypes and shardings stay as they are.
      config: the whole config. An encoder without weights keeps its own start.

    Raises:
      ValueError: weights that cannot be read or do not fit; the message says the fix.
    """
    params = dict(params)
    image, text = config.model.image, config.model.text
    if image.weights:
        params["image"] = load_vit(params["image"], image, image.weights)
    if text.weights:
        params["text"] = load_bert(params["text"], text, text.weights)
    return params
