"""TFRecord framing and tf.train.Example without TensorFlow: TensorFlow itself is the judge."""

import numpy as np
import pytest

from data_pipelines.record_codec import decode_record, encode_record
from data_pipelines.records import RECORD_FIELDS
from data_pipelines.tfrecord import crc32c, frame


def make_record(rng, boxes):
    def value(name, shape, dtype):
        if dtype == "str":
            return ["Käse, 3 × 4 cm.", ""] if shape else f"{name} é"
        if dtype == "bytes":
            return rng.bytes(300)
        size = tuple(boxes if s is None else s for s in shape)
        if dtype == "float32":
            return rng.normal(size=size).astype(dtype)
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True)

    return {name: value(name, *field) for name, field in RECORD_FIELDS.items()}


@pytest.mark.parametrize(
    "data, crc",
    [
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),  # the check value of the CRC catalogue
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4, and the next
        (b"\xff" * 32, 0x62A8AB43),
    ],
)
def test_checksums_of_the_standard(data, crc):
    assert crc32c(data) == crc


def test_tensorflow_reads_the_file_and_every_length_of_payload(tmp_path):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    lengths = [0, 1, 3, 4, 5, 127, 128, 129, 255, 256, 257, 1000, 4096, 70001]
    payloads = [rng.bytes(n) for n in lengths]
    path = tmp_path / "file.tfrecord"
    path.write_bytes(b"".join(map(frame, payloads)))
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == payloads
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for payload in payloads:
            writer.write(payload)
    assert (tmp_path / "theirs").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("boxes", [0, 3])
def test_a_record_comes_back_and_tensorflow_reads_the_same(boxes):
    import tensorflow as tf

    record = make_record(np.random.default_rng(1), boxes)
    data = encode_record(record)
    assert encode_record(dict(reversed(record.items()))) == data
    back = decode_record(data)
    features = tf.train.Example.FromString(data).features.feature
    for name, (_, dtype) in RECORD_FIELDS.items():
        np.testing.assert_array_equal(back[name], record[name])
        if dtype not in ("str", "bytes"):
            assert back[name].dtype == dtype
            kind = "float_list" if dtype == "float32" else "int64_list"
            np.testing.assert_array_equal(
                getattr(features[name], kind).value, np.ravel(record[name])
            )


def test_a_record_of_other_shapes_is_refused():
    record = make_record(np.random.default_rng(1), 2) | {"boxes": np.zeros((2, 3), np.float32)}
    with pytest.raises(ValueError, match=r"'boxes' has shape \(2, 3\)"):
        encode_record(record)
    with pytest.raises(ValueError, match="not a tf.train.Example"):
        decode_record(b"\x0f\xff\xff")
