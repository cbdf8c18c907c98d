"""ViT weights of Hugging Face (google/vit-base-patch16-224 and its kin) into our image encoder."""

import math
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from place_jax.models.layers import resize_positions
from place_jax.weights.safetensors_reader import read_hugging_face_config, read_tensors
from place_jax.weights.tensor_names import (
    Entry,
    Params,
    check_settings,
    fill,
    layer_norm_entries,
    linear_entries,
    strip_prefix,
)

IGNORED = r"(pooler|classifier|decoder)\..*|embeddings\.mask_token"


def load_vit(params: Params, image_config: ConfigDict, path: str | Path) -> Params:
    """Returns the image encoder's parameters with the weights of `path` in place.

    Positions of another resolution are interpolated. Kernels for three colours are summed over
    them, which is the same as showing the grey image three times.

    Args:
      params: params["image"] of a model.
      image_config: config.model.image.
      path: a model folder or a .safetensors file.

    Raises:
      ValueError: the file cannot be read, or belongs to another model.
    """
    source = str(path)
    if image_config.stem != "patch":
        raise ValueError(
            f"model.image.weights={source} needs model.image.stem='patch', not "
            f"{image_config.stem!r}: change the stem or give no weights"
        )
    check_settings(
        source,
        read_hugging_face_config(path),
        {
            "num_attention_heads": image_config.heads,
            "patch_size": image_config.patch_size,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
        },
    )
    tensors = strip_prefix(read_tensors(path), "vit.")
    grid = params["position"].shape[:2]
    return fill(params, tensors, vit_entries(grid), source=source, ignored=IGNORED)


def vit_entries(grid: tuple[int, int]) -> list[Entry]:
    """Our names from theirs, for a grid of (rows, columns) of patches."""
    layer = "encoder.layer.{layer}"
    positions, patches = "embeddings.position_embeddings", "embeddings.patch_embeddings.projection"
    return [
        Entry("stem/embed/kernel", (f"{patches}.weight",), _grey_kernel),
        Entry("stem/embed/bias", (f"{patches}.bias",)),
        Entry("position", (positions,), lambda tensor: _patch_positions(tensor, grid)),
        # The class token never moves: its position is added to it once for all.
        Entry(
            "class_token",
            ("embeddings.cls_token", positions),
            lambda token, position: token[0, 0] + position[0, 0],
        ),
        *layer_norm_entries("blocks/attention_norm", f"{layer}.layernorm_before"),
        *linear_entries("blocks/attention/query", f"{layer}.attention.attention.query"),
        *linear_entries("blocks/attention/key", f"{layer}.attention.attention.key"),
        *linear_entries("blocks/attention/value", f"{layer}.attention.attention.value"),
        *linear_entries("blocks/attention/out", f"{layer}.attention.output.dense"),
        *layer_norm_entries("blocks/mlp_norm", f"{layer}.layernorm_after"),
        *linear_entries("blocks/mlp/up", f"{layer}.intermediate.dense"),
        *linear_entries("blocks/mlp/down", f"{layer}.output.dense"),
        *layer_norm_entries("norm", "layernorm"),
    ]


def _grey_kernel(kernel: np.ndarray) -> np.ndarray:
    """[D, C, p, p] -> [p * p, D]."""
    return kernel.astype(np.float32).sum(axis=1).reshape(len(kernel), -1).T


def _patch_positions(tensor: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """[1, 1 + n, D] -> [rows, columns, D]."""
    side = math.isqrt(tensor.shape[1] - 1)
    square = tensor[0, 1:].astype(np.float32).reshape(side, side, -1)
    return np.asarray(resize_positions(square, grid))
