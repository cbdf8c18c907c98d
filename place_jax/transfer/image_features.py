"""The image encoder's pooled features of a split: what a linear probe reads."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import batches
from place_jax.models.functional import Model
from place_jax.transfer.features import patients_of, split_batches, to_numpy


@dataclasses.dataclass(frozen=True)
class ImageFeatures:
    """n examples of a split, in its order, without padded rows.

    Attributes:
      features: [n, D] float32, mean of the patch tokens, before any projection.
      labels: [n, K] int8 of `records.Label`, a column for each of label_names.
      index: [n] position in the split.
      patient_id: n names.
      label_names: K names.
    """

    features: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    patient_id: tuple[str, ...]
    label_names: tuple[str, ...]


def extract_image_features(
    model: Model,
    weights: Sequence[tuple[dict, dict]],
    data: batches.PreparedData,
    split: str,
    *,
    config: ConfigDict,
    mesh: Mesh | None = None,
    max_examples: int = 0,
    on_batch: Callable[[], None] | None = None,
) -> list[ImageFeatures]:
    """Encodes a split's images, spread over the mesh, by each of several sets of weights.

    The images are read once for all of them.

    Args:
      model: the model.
      weights: (params, model_state), such as those of a checkpoint and of no training.
      data: a prepared folder.
      split: train, validation or test.
      config: evaluation.batch_size and data.crop_size, max_tokens, max_sentences.
      mesh: the mesh that `weights` live on; None for one device.
      max_examples: the first so many of the split; 0 for all.
      on_batch: called before each batch; may raise to stop.
    """
    features: list[list[np.ndarray]] = [[] for _ in weights]
    kept: dict[str, list[np.ndarray]] = {"labels": [], "index": [], "example_mask": []}
    stream = split_batches(
        data, split, config=config, mesh=mesh, max_examples=max_examples, on_batch=on_batch
    )
    for batch in stream:
        for parts, (params, model_state) in zip(features, weights, strict=True):
            parts.append(to_numpy(_pool(model, params, model_state, batch["image"])))
        for name, parts in kept.items():
            parts.append(to_numpy(batch[name]))
    present, labels, index = (
        np.concatenate(kept[name]) for name in ("example_mask", "labels", "index")
    )
    present = present.astype(bool)
    labels, index = labels[present], index[present]
    patients = patients_of(data, split, index)
    return [
        ImageFeatures(np.concatenate(parts)[present], labels, index, patients, data.label_names)
        for parts in features
    ]


@functools.partial(jax.jit, static_argnames="model")
def _pool(model: Model, params, model_state, images) -> jax.Array:
    tokens = model.encode_images(params, model_state, images).patch_tokens
    return jnp.mean(tokens.astype(jnp.float32), axis=1)
