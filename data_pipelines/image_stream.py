"""Adds images to batches: reads their records, then decodes, pads and crops them in tf.data.

The one file of the reading side that needs TensorFlow, imported when the first batch is asked for.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np

from data_pipelines.image import encode_png
from data_pipelines.record_codec import image_record
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
    image_size: int,
    crop_size: int,
    max_tokens: int,
    max_sentences: int,
    labels: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches from first_step up to, not including, last_step.

    Args:
      make: makes a batch without its images; runs in tf.data's thread.
      reader: of the split's records.
      first_step: earlier ones cost nothing.
      last_step: None for no end.
      image_size: side of the square that images are padded to, in pixels.
      crop_size: side of the crop.
      max_tokens: L.
      max_sentences: S.
      labels: K.

    Raises:
      BadInput: for a record that is damaged or a shard cut short.
    """
    tf = import_tensorflow()
    # One black pixel, for the rows that fill up a last batch.
    blank = image_record(encode_png(np.zeros((1, 1), np.uint8)))
    failures: list[Exception] = []
    fields = batch_fields(None, crop_size, max_tokens, max_sentences, labels)
    texts = [name for name in fields if name != "image"]

    def read(step: np.ndarray) -> list[np.ndarray]:
        try:
            batch, offsets = make(int(step))
            present = batch["example_mask"]
            records = np.full(len(present), blank, object)
            records[present] = reader.read(batch["index"][present])
            return [*(batch[name] for name in texts), records, offsets]
        except Exception as error:  # tf.data would bury it in a stack of its own
            failures.append(error)
            raise

    def load(step):
        dtypes = [*(fields[name][1] for name in texts), tf.string, tf.int32]
        *values, records, offsets = tf.numpy_function(read, [step], dtypes)
        batch = {
            name: tf.ensure_shape(value, fields[name][0])
            for name, value in zip(texts, values, strict=True)
        }
        records, offsets = tf.ensure_shape(records, (None,)), tf.ensure_shape(offsets, (None, 2))
        return batch, records, offsets

    def decode(batch, records, offsets):
        return batch | {"image": _decode(tf, records, offsets, image_size, crop_size)}

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = _THREADS
    options.threading.max_intra_op_parallelism = 1
    # A range of steps and not a generator: TensorFlow complains of a generator that is left open.
    dataset = (
        tf.data.Dataset.range(first_step, _ENDLESS if last_step is None else last_step)
        .map(load)
        .map(decode, num_parallel_calls=_THREADS)
        .prefetch(_PREFETCH)
        .with_options(options)
    )
    decoding_error = tf.errors.OpError
    try:
        yield from dataset.as_numpy_iterator()
    except decoding_error as error:
        if failures:
            raise failures[0] from None
        why = str(error).splitlines()[0][:200]
        raise BadInput(
            "damaged_record",
            f"an image of split {reader.split!r} in {reader.folder} cannot be decoded ({why}): "
            "copy the folder again, or delete its .tfrecord files and run the same `place prepare`",
        ) from None


def _decode(tf, records, offsets, image_size: int, crop_size: int):
    """records [B], offsets [B, 2] -> images [B, crop, crop, 1] uint8; the TensorFlow twin of
    `image.pad_and_crop`.
    """
    feature = {"image": tf.io.FixedLenFeature([], tf.string)}
    encoded = tf.io.parse_example(records, feature)["image"]

    def one(arguments):
        png, offset = arguments
        pixels = tf.io.decode_png(png, channels=1)
        missing = image_size - tf.shape(pixels)[:2]
        before = missing // 2
        paddings = tf.pad(tf.stack([before, missing - before], axis=1), [[0, 1], [0, 0]])
        begin = tf.pad(offset, [[0, 1]])
        return tf.slice(tf.pad(pixels, paddings), begin, (crop_size, crop_size, 1))

    result = tf.TensorSpec((crop_size, crop_size, 1), tf.uint8)
    return tf.map_fn(one, (encoded, offsets), fn_output_signature=result)
