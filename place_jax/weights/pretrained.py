"""Starts a model from the pre-trained encoders that its config names."""

from ml_collections import ConfigDict

from place_jax.weights.huggingface_bert import load_bert
from place_jax.weights.huggingface_vit import load_vit
from place_jax.weights.tensor_names import Params


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
