"""A prepared folder to batches: deterministic, resumable from any step, shared out over hosts.

Which example goes where, and every text, is NumPy; tf.data reads, decodes and crops the images.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines import token_sidecar
from data_pipelines.dicom import Window
from data_pipelines.image_stream import with_images
from data_pipelines.lanes import LanePlan, hash64, partners
from data_pipelines.manifest import Manifest
from data_pipelines.packing import PackedTexts, Sections, of_sections
from data_pipelines.record_codec import decode_record
from data_pipelines.record_reader import RecordReader
from data_pipelines.records import CHEXPERT_LABELS, SPLITS, BadInput, Label
from data_pipelines.tokenizer import Tokenizer

_READ = 64  # records held at once by read_records
_HELD_BYTES = 4 << 30  # of a bucket's shards, where batches are in no order of shards
_INDEX_FIELDS = ("study_id", "patient_id", "labels")  # no need to open a shard for these


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A finished prepared folder.

    Attributes:
      dir: the folder.
      name: of the data set.
      manifest: what manifest.json holds.
      manifest_hash: names the records, whatever the vocabulary.
      splits: split -> number of examples.
      image_size: long side of the stored images, in pixels.
      tokenizer: of the vocabulary that batches are made with.
      vocab_hash: its hash.
      shareable: whether images and texts may be shown.
      prompts: zero-shot prompts of the source, or None.
      label_names: K names of labels, boxes and mask classes.
      dicom_window: how values of DICOM files became grey levels; a value of dicom.Window.
    """

    dir: str
    name: str
    manifest: Manifest
    manifest_hash: str
    splits: dict[str, int]
    image_size: int
    tokenizer: Tokenizer
    vocab_hash: str
    shareable: bool
    prompts: dict[str, dict[str, list[str]]] | None
    label_names: tuple[str, ...] = CHEXPERT_LABELS
    dicom_window: str = Window.HEADER.value


def open_data(folder: os.PathLike | str, *, vocab_hash: str | None = None) -> PreparedData:
    """Opens a prepared folder.

    Args:
      folder: local or remote.
      vocab_hash: of the vocabulary that a checkpoint was trained with; None takes the folder's.

    Raises:
      BadInput: if the folder is not a finished one, or has no tokens of that vocabulary.
    """
    path = epath.Path(folder)
    manifest = folder_layout.read_manifest(path)
    vocab_hash = vocab_hash or manifest["vocab_hash"]
    return PreparedData(
        dir=os.fspath(path),
        name=manifest["name"],
        manifest=manifest,
        manifest_hash=folder_layout.manifest_hash(manifest),
        splits={s: manifest["splits"][s]["examples"] for s in SPLITS if s in manifest["splits"]},
        image_size=int(manifest["image_size"]),
        tokenizer=token_sidecar.load_vocabulary(path, vocab_hash),
        vocab_hash=vocab_hash,
        shareable=bool(manifest["shareable"]),
        prompts=token_sidecar.read_prompts(path),
        label_names=tuple(manifest.get("label_names", CHEXPERT_LABELS)),
        dicom_window=manifest.get("dicom_window", Window.HEADER.value),
    )


def lane_plan(data: PreparedData, **plan) -> LanePlan:
    """Which host takes which rows of the training split, with no image read.

    Args:
      data: a prepared folder.
      **plan: batch_size, seed, host and num_hosts of LanePlan.

    Raises:
      BadInput: where the hosts cannot share the shards, or the split is too small.
    """
    return LanePlan(_open_split(data, "train"), **plan)


def training_batches(
    data: PreparedData,
    *,
    batch_size: int,
    crop_size: int,
    max_tokens: int,
    max_sentences: int,
    seed: int,
    start_step: int = 0,
    host: int = 0,
    num_hosts: int = 1,
    shuffle_pairs: bool = False,
    sections: str = "both",
    sentences: str = "sampled",
) -> Iterator[dict[str, np.ndarray]]:
    """Endless training batches, a pure function of (seed, step).

    Args:
      data: a prepared folder.
      batch_size: B of the global batch.
      crop_size: side of the random crop of the image padded to a square, in pixels.
      max_tokens: L.
      max_sentences: S.
      seed: of the run.
      start_step: the first batch is that of this step; earlier ones are not read.
      host: this host's number.
      num_hosts: how many share the batch: each gets its contiguous slice.
      shuffle_pairs: gives each image the text of a random other patient, anew at every step; its
        labels stay. A control: nothing can be learnt.
      sections: both, findings or impression.
      sentences: which of a report that is too long are kept: sampled, anew at every step, or first.

    Yields:
      The fields of `records.batch_fields`, with B / num_hosts rows.

    Raises:
      BadInput: where the data cannot make such batches, or a shard is damaged.
    """
    split = "train"
    index = _open_split(data, split)
    _check_crop(data, crop_size)
    plan = LanePlan(index, batch_size=batch_size, seed=seed, host=host, num_hosts=num_hosts)
    texts = _texts(data, split, sections, max_tokens=max_tokens, max_sentences=max_sentences)
    patients, patient = np.unique(index["patient_id"], return_inverse=True)
    if shuffle_pairs and len(patients) < 2:
        raise BadInput("one_patient", "shuffle_pairs=True wants two patients or more: prepare more")
    slack = np.uint64(data.image_size - crop_size + 1)

    def rngs_of(numbers: np.ndarray):
        return lambda row: np.random.default_rng((seed, int(numbers[row])))

    def make(step: int) -> tuple[dict, np.ndarray]:
        examples = plan.examples(step)
        numbers = step * batch_size + plan.first_row + np.arange(len(examples))
        offsets = np.stack(
            [hash64(seed, 5, numbers) % slack, hash64(seed, 6, numbers) % slack], axis=-1
        ).astype(np.int32)
        reports = examples
        if shuffle_pairs:
            reports = partners(patient, examples, seed, numbers)
        batch = texts.pack(reports, rngs_of(numbers) if sentences == "sampled" else None)
        return _fields(batch, index, examples), offsets

    return with_images(
        make,
        _reader(data, split, index, remote_shards=2 * plan.open_shards),
        first_step=start_step,
        last_step=None,
        crop_size=crop_size,
        max_tokens=max_tokens,
        max_sentences=max_sentences,
        labels=len(data.label_names),
    )


def labelled_batches(
    data: PreparedData,
    split: str,
    positions: np.ndarray,
    *,
    batch_size: int,
    crop_size: int,
    seed: int,
    host: int = 0,
    num_hosts: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches of some examples, for training on their labels: epoch after epoch, each in an
    order of its own, with a random crop. What an epoch's last batch lacks is padding.

    Args:
      data: a prepared folder.
      split: train, validation or test.
      positions: [n] of the examples in the split.
      batch_size: B of the global batch.
      crop_size: side of the random crop of the image padded to a square, in pixels.
      seed: of the orders and the crops.
      host: this host's number.
      num_hosts: how many share the batch.

    Yields:
      image, labels, example_mask and index of `records.batch_fields`, with B / num_hosts rows.
    """
    index = _open_split(data, split)
    _check_crop(data, crop_size)
    # Each batch is of many shards: of a bucket's, those that are not held are fetched anew.
    held = max(2, int(_HELD_BYTES // max(index["shard_bytes"])))
    positions = np.asarray(positions)
    steps, rows = -(-len(positions) // batch_size), batch_size // num_hosts
    slack = np.uint64(data.image_size - crop_size + 1)
    # Of which nothing is read.
    texts = _texts(data, split, Sections.BOTH.value, max_tokens=4, max_sentences=1)

    def make(step: int) -> tuple[dict, np.ndarray]:
        epoch, within = divmod(step, steps)
        order = np.random.default_rng((seed, epoch)).permutation(positions)
        order = np.append(order, np.full(steps * batch_size - len(order), -1, order.dtype))
        first = within * batch_size + host * rows
        examples = order[first : first + rows]
        numbers = step * batch_size + host * rows + np.arange(rows)
        offsets = np.stack([hash64(seed, k, numbers) % slack for k in (7, 8)], axis=-1)
        empty = np.full(rows, -1)
        return _fields(texts.pack(empty), index, examples), offsets.astype(np.int32)

    stream = with_images(
        make,
        _reader(data, split, index, remote_shards=held),
        first_step=0,
        last_step=None,
        crop_size=crop_size,
        max_tokens=4,
        max_sentences=1,
        labels=len(data.label_names),
    )
    for batch in stream:
        yield {name: batch[name] for name in ("image", "labels", "example_mask", "index")}


def evaluation_batches(
    data: PreparedData,
    split: str,
    *,
    batch_size: int,
    crop_size: int,
    max_tokens: int,
    max_sentences: int,
    host: int = 0,
    num_hosts: int = 1,
    max_examples: int = 0,
    sections: str = "both",
) -> Iterator[dict[str, np.ndarray]]:
    """The batches of a split, in order, with the centre crop; the same number on every host.

    Args:
      data: a prepared folder.
      split: train, validation or test.
      batch_size: B of the global batch.
      crop_size: side of the centre crop, in pixels.
      max_tokens: L; a longer report keeps its first sentences.
      max_sentences: S.
      host: this host's number.
      num_hosts: how many share the batch.
      max_examples: the first so many; 0 for all.
      sections: both, findings or impression.

    Yields:
      The fields of `records.batch_fields`, with B / num_hosts rows. The last batch is filled up
      with rows whose example_mask is 0 and index -1.
    """
    index = _open_split(data, split)
    _check_crop(data, crop_size)
    if batch_size % num_hosts:
        raise BadInput(
            "batch_not_divisible",
            f"batch_size={batch_size} does not divide over {num_hosts} hosts: use a multiple of "
            f"{num_hosts}",
        )
    texts = _texts(data, split, sections, max_tokens=max_tokens, max_sentences=max_sentences)
    count = data.splits[split]
    count = min(count, max_examples) if max_examples else count
    rows = batch_size // num_hosts

    def make(step: int) -> tuple[dict, np.ndarray]:
        examples = step * batch_size + host * rows + np.arange(rows)
        examples[examples >= count] = -1
        offsets = np.full((rows, 2), (data.image_size - crop_size) // 2, np.int32)
        return _fields(texts.pack(examples), index, examples), offsets

    return with_images(
        make,
        _reader(data, split, index),
        first_step=0,
        last_step=-(-count // batch_size),
        crop_size=crop_size,
        max_tokens=max_tokens,
        max_sentences=max_sentences,
        labels=len(data.label_names),
    )


def read_records(
    data: PreparedData, split: str, fields: Sequence[str] | None = None, limit: int = 0
) -> list[dict[str, Any]]:
    """Records of a split in the order of a batch's `index`.

    Args:
      data: a prepared folder.
      split: train, validation or test.
      fields: names of RECORD_FIELDS; None for all.
      limit: the first so many; 0 for all.

    Returns:
      Dictionaries of numpy arrays, str, lists of str, and bytes.
    """
    index = _open_split(data, split)
    count = data.splits[split]
    count = min(count, limit) if limit else count
    if fields is not None and set(fields) <= set(_INDEX_FIELDS):
        return [
            {name: index[name][i] if name == "labels" else str(index[name][i]) for name in fields}
            for i in range(count)
        ]
    reader = _reader(data, split, index)
    records = []
    for first in range(0, count, _READ):
        for serialized in reader.read(np.arange(first, min(first + _READ, count))):
            records.append(_decode(serialized, fields, data, split))
    return records


def _decode(serialized: bytes, fields, data: PreparedData, split: str) -> dict[str, Any]:
    try:
        return decode_record(serialized, fields)
    except ValueError as error:
        raise _damaged(data, split, error) from None


def _damaged(data: PreparedData, split: str, error: Exception) -> BadInput:
    why = str(error).splitlines()[0][:200]
    return BadInput(
        "damaged_record",
        f"a record of split {split!r} in {data.dir!r} cannot be read ({why}): copy the folder "
        "again, or delete its .tfrecord files and run the same `place prepare` again",
    )


def _open_split(data: PreparedData, split: str) -> dict[str, np.ndarray]:
    if not data.splits.get(split):
        have = ", ".join(f"{name} {count}" for name, count in data.splits.items())
        raise BadInput(
            "no_such_split", f"{data.dir!r} has no examples in split {split!r}; it has {have}"
        )
    return folder_layout.read_arrays(folder_layout.split_index_path(epath.Path(data.dir), split))


def _check_crop(data: PreparedData, crop_size: int) -> None:
    if not 0 < crop_size <= data.image_size:
        raise BadInput(
            "crop_too_large",
            f"crop_size={crop_size} must be from 1 to image_size={data.image_size}, the size the "
            f"data was prepared at: lower it, or prepare with --image-size {crop_size}",
        )


def _texts(data: PreparedData, split: str, sections: str, **sizes: int) -> PackedTexts:
    sidecar = token_sidecar.load_split(epath.Path(data.dir), split, data.vocab_hash)
    return PackedTexts(of_sections(sidecar, Sections(sections)), data.tokenizer, **sizes)


def _reader(data: PreparedData, split: str, index, **kwargs) -> RecordReader:
    return RecordReader(epath.Path(data.dir), data.name, split, index, **kwargs)


def _fields(texts: dict, index: dict, examples: np.ndarray) -> dict[str, np.ndarray]:
    """A batch without its images. Rows of example -1 are padding."""
    present = examples >= 0
    labels = np.full((len(examples), index["labels"].shape[1]), Label.MISSING, np.int8)
    labels[present] = index["labels"][examples[present]]
    return texts | {
        "labels": labels,
        "example_mask": present,
        "index": examples.astype(np.int32),
    }
