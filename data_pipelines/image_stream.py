"""Adds images to batches: reads their records, then decodes, pads and crops them in the threads of
tf.data, whose own decoder of PNG takes twice as long.

The one file of the reading side that needs TensorFlow, imported when the first batch is asked for.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.image import decode_png, pad_and_crop
from data_pipelines.record_codec import decode_record
from data_pipelines.record_reader import RecordReader
from data_pipelines.records import BadInput, batch_fields

_THREADS = 2  # of decoding: the host's other cores belong to XLA
_PREFETCH = 2
_ENDLESS = 1 << 62

# step -> a batch's fields but its images, and [B, 2] (top, left) of each crop in the padded image.
MakeBatch = Callable[[int], tuple[dict[str, np.ndarray], np.ndarray]]


def import_tensorflow():
    """TensorFlow, quiet, and with the accelerators hidden from it: they are JAX's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # or it says at length that they are on
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:  # already initialised, by a caller who decided
        pass
    return tf


def with_images(
    make: MakeBatch,
    reader: RecordReader,
    *,
    first_step: int,
    last_step: int | None,
    crop_size: int,
    max_tokens: int,
    max_sentences: int,
    labels: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches from first_step up to, not including, last_step.

    Args:
      make: makes a batch without its images; runs in a thread of tf.data.
      reader: of the split's records.
      first_step: earlier ones cost nothing.
      last_step: None for no end.
      crop_size: side of the crop, of the image padded to a square.
      max_tokens: L.
      max_sentences: S.
      labels: K.

    Raises:
      BadInput: for a record that is damaged or a shard cut short.
    """
    tf = import_tensorflow()
    failures: list[Exception] = []
    fields = batch_fields(None, crop_size, max_tokens, max_sentences, labels)
    texts = [name for name in fields if name != "image"]

    def kept(function):
        def call(*arguments):
            try:
                return function(*arguments)
            except Exception as error:  # tf.data would bury it in a stack of its own
                failures.append(error)
                raise

        return call

    @kept
    def read(step: np.ndarray) -> list[np.ndarray]:
        batch, offsets = make(int(step))
        present = batch["example_mask"]
        records = np.full(len(present), b"", object)
        records[present] = reader.read(batch["index"][present])
        return [*(batch[name] for name in texts), records, offsets]

    @kept
    def decode(records: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        images = np.zeros((len(records), crop_size, crop_size, 1), np.uint8)
        for image, record, offset in zip(images, records, offsets.tolist(), strict=True):
            if record:  # none where a last batch is filled up
                image[..., 0] = pad_and_crop(_pixels(record, reader), crop_size, offset)
        return images

    def load(step):
        dtypes = [*(fields[name][1] for name in texts), tf.string, tf.int32]
        *values, records, offsets = tf.numpy_function(read, [step], dtypes)
        batch = {
            name: tf.ensure_shape(value, fields[name][0])
            for name, value in zip(texts, values, strict=True)
        }
        return batch, records, offsets

    def with_pixels(batch, records, offsets):
        images = tf.numpy_function(decode, [records, offsets], tf.uint8)
        return batch | {"image": tf.ensure_shape(images, fields["image"][0])}

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = _THREADS
    options.threading.max_intra_op_parallelism = 1
    # A range of steps and not a generator: TensorFlow complains of a generator that is left open.
    dataset = (
        tf.data.Dataset.range(first_step, _ENDLESS if last_step is None else last_step)
        .map(load)
        .map(with_pixels, num_parallel_calls=_THREADS)
        .prefetch(_PREFETCH)
        .with_options(options)
    )
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError:
        if failures:
            raise failures[0] from None
        raise


def _pixels(record: bytes, reader: RecordReader) -> np.ndarray:
    """The image of a record. Raises BadInput where it is damaged."""
    try:
        return decode_png(decode_record(record, ("image",))["image"])
    except ValueError as error:
        why = str(error).splitlines()[0][:200]
        raise BadInput(
            "damaged_record",
            f"an image of split {reader.split!r} in {reader.folder} cannot be decoded ({why}): "
            "copy the folder again, or delete its .tfrecord files and run the same `place prepare`",
        ) from None
