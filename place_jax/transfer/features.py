"""What a model makes of a split, as NumPy: the tasks of transfer/ start from it."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines import batches
from data_pipelines.records import CHEXPERT_LABELS
from place_jax.models.functional import Model

_INPUTS = ("image", "tokens", "sentence_of_token", "sentence_mask", "example_mask")
_EMBEDDINGS = ("image_embedding", "report_embedding")
_OBSERVATIONS = ("v_por", "v_por_attention", "t_por", "patch_embedding")


@dataclasses.dataclass(frozen=True)
class Features:
    """Outputs for n examples of a split, in its order, without padded rows.

    Attributes:
      image_embedding: [n, E] unit rows.
      report_embedding: [n, E] unit rows.
      v_por: [n, Q, E] unit rows; None where it was not asked for or the model has none. So are
        v_por_attention [n, Q, N], t_por [n, S, E] and patch_embedding [n, N, E].
      labels: [n, K] int8 of `records.Label`, a column for each of label_names.
      index: [n] position in the split.
      report_statement: [n, 2] uint32.
      statement: [n, S, 2] uint32.
      sentence_mask: [n, S] bool.
      patient_id: n names, for intervals over patients.
      label_names: K names.
    """

    image_embedding: np.ndarray
    report_embedding: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    report_statement: np.ndarray
    statement: np.ndarray
    sentence_mask: np.ndarray
    patient_id: tuple[str, ...]
    label_names: tuple[str, ...] = CHEXPERT_LABELS
    v_por: np.ndarray | None = None
    v_por_attention: np.ndarray | None = None
    t_por: np.ndarray | None = None
    patch_embedding: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Features":
        """Of some rows, by number or by [n] bool."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        patients = tuple(self.patient_id[row] for row in rows)
        taken = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if field.name not in ("patient_id", "label_names")
            and getattr(self, field.name) is not None
        }
        return dataclasses.replace(self, patient_id=patients, **taken)


def extract_features(
    model: Model,
    params: dict,
    model_state: dict,
    data: batches.PreparedData,
    split: str,
    *,
    config: ConfigDict,
    mesh: Mesh | None = None,
    max_examples: int = 0,
    observations: Sequence[str] = (),
    on_batch: Callable[[], None] | None = None,
) -> Features:
    """Encodes a split's images and reports.

    Args:
      model: the model, and its parameters and state.
      params: see `model`.
      model_state: see `model`.
      data: a prepared folder.
      split: train, validation or test.
      config: evaluation.batch_size and data.crop_size, max_tokens, max_sentences.
      mesh: the mesh that `params` live on; None for one device.
      max_examples: the first so many of the split; 0 for all.
      observations: which of v_por, v_por_attention, t_por and patch_embedding to keep too. They
        are many times larger than an embedding.
      on_batch: called before each batch; may raise to stop.
    """
    wanted = _EMBEDDINGS + tuple(observations)
    rows: dict[str, list[np.ndarray]] = {}
    kept = ("labels", "index", "report_statement", "statement", "sentence_mask", "example_mask")
    stream = split_batches(
        data, split, config=config, mesh=mesh, max_examples=max_examples, on_batch=on_batch
    )
    for batch in stream:
        inputs = {name: batch[name] for name in _INPUTS}
        encoded = _encode(model, params, model_state, inputs)
        encoded = {name: encoded[name] for name in wanted if encoded[name] is not None}
        encoded |= {name: batch[name] for name in kept}
        for name, value in to_numpy(encoded).items():
            rows.setdefault(name, []).append(value)
    arrays = {name: np.concatenate(parts) for name, parts in rows.items()}
    present = arrays.pop("example_mask").astype(bool)
    arrays = {name: value[present] for name, value in arrays.items()}
    patients = patients_of(data, split, arrays["index"])
    return Features(patient_id=patients, label_names=data.label_names, **arrays)


def split_batches(
    data: batches.PreparedData,
    split: str,
    *,
    config: ConfigDict,
    mesh: Mesh | None = None,
    max_examples: int = 0,
    on_batch: Callable[[], None] | None = None,
) -> Iterator[dict]:
    """Evaluation batches of a split, on the mesh. Their size is rounded up to fill its devices."""
    from place_jax.parallel.mesh import batch_sharding, fill_devices

    sharding = batch_sharding(mesh) if mesh is not None else None
    stream = batches.evaluation_batches(
        data,
        split,
        batch_size=fill_devices(config.evaluation.batch_size, mesh),
        crop_size=config.data.crop_size,
        max_tokens=config.data.max_tokens,
        max_sentences=config.data.max_sentences,
        host=jax.process_index() if mesh is not None else 0,
        num_hosts=jax.process_count() if mesh is not None else 1,
        max_examples=max_examples,
        sections=config.data.sections,
    )
    for batch in stream:
        if on_batch is not None:
            on_batch()
        if sharding is not None:
            batch = {
                name: jax.make_array_from_process_local_data(sharding, value)
                for name, value in batch.items()
            }
        yield batch


def to_numpy(arrays: dict) -> dict:
    """The whole of each array of a tree on this host, also where other hosts hold parts of it."""
    return jax.tree.map(_whole, arrays)


def _whole(array) -> np.ndarray:
    if getattr(array, "is_fully_addressable", True):
        return np.asarray(array)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(array, tiled=True)


def patients_of(data: batches.PreparedData, split: str, index: np.ndarray) -> tuple[str, ...]:
    """The patient of each position of a split."""
    limit = int(index.max()) + 1
    records = batches.read_records(data, split, fields=("patient_id",), limit=limit)
    return tuple(str(records[i]["patient_id"]) for i in index)


@functools.partial(jax.jit, static_argnames="model")
def _encode(model: Model, params, model_state, batch) -> dict[str, jax.Array | None]:
    """All that any task wants: one compilation, and what is not wanted stays on the device."""
    outputs = model.apply(params, model_state, batch)
    found = {name: getattr(outputs, name, None) for name in _EMBEDDINGS + _OBSERVATIONS}
    found["patch_embedding"] = model.patch_embeddings(params, model_state, outputs.patch_tokens)
    return found
