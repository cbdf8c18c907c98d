"""One record to and from the bytes of a tf.train.Example, encoded as tfds expects them.

Imports no TensorFlow: that takes longer than preparing a small data set does.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from data_pipelines.records import RECORD_FIELDS

_Field = descriptor_pb2.FieldDescriptorProto


@functools.cache
def _example_class():
    """The message tf.train.Example (tensorflow/core/example/{example,feature}.proto), described
    here so that neither preparing nor looking at records has to import TensorFlow.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="place_example.proto", package="place", syntax="proto3"
    )

    def add(message, name, number, kind, *, repeated=False, of="", oneof=None):
        field = message.field.add(name=name, number=number, type=kind)
        field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        if of:
            field.type_name = f".place.{of}"
        if oneof is not None:
            field.oneof_index = oneof

    for name, kind in (
        ("BytesList", _Field.TYPE_BYTES),
        ("FloatList", _Field.TYPE_FLOAT),
        ("Int64List", _Field.TYPE_INT64),
    ):
        add(file.message_type.add(name=name), "value", 1, kind, repeated=True)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    message = _Field.TYPE_MESSAGE
    add(feature, "bytes_list", 1, message, of="BytesList", oneof=0)
    add(feature, "float_list", 2, message, of="FloatList", oneof=0)
    add(feature, "int64_list", 3, message, of="Int64List", oneof=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, _Field.TYPE_STRING)
    add(entry, "value", 2, message, of="Feature")
    add(features, "feature", 1, message, repeated=True, of="Features.FeatureEntry")
    add(file.message_type.add(name="Example"), "features", 1, message, of="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("place.Example"))


def tfds_features():
    """The tfds features of a record: with them tfds opens a prepared folder by itself."""
    import tensorflow_datasets as tfds

    features = {}
    for name, (shape, dtype) in RECORD_FIELDS.items():
        if name == "image":
            features[name] = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
        elif name == "mask":  # absent in most data, and an Image cannot be absent
            features[name] = tfds.features.Scalar(dtype=np.object_)
        elif dtype == "str":
            text = tfds.features.Text()
            features[name] = tfds.features.Sequence(text) if shape else text
        else:
            features[name] = tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype))
    return tfds.features.FeaturesDict(features)


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Serialises one record; equal records give equal bytes.

    Args:
      record: a value for every name in RECORD_FIELDS.
    """
    example = _example_class()()
    for name, (shape, dtype) in RECORD_FIELDS.items():
        feature = example.features.feature[name]
        if dtype in ("str", "bytes"):
            values = record[name] if shape else [record[name]]
            feature.bytes_list.value.extend(
                value.encode() if isinstance(value, str) else value for value in values
            )
            continue
        array = np.asarray(record[name], dtype)
        if len(shape) != array.ndim or any(
            want not in (None, got) for want, got in zip(shape, array.shape, strict=True)
        ):
            raise ValueError(f"field {name!r} has shape {array.shape}, a record wants {shape}")
        values = feature.float_list if array.dtype.kind == "f" else feature.int64_list
        values.value.extend(array.ravel().tolist())
    # Protocol buffers order a map as they like unless told; shards must be equal byte for byte.
    return example.SerializeToString(deterministic=True)


def decode_record(data: bytes, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """Reads fields of a record back as numpy arrays, str, lists of str, or bytes.

    Raises:
      ValueError: if the bytes are no record.
    """
    try:
        features = _example_class().FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(f"not a tf.train.Example: {error}") from None
    record = {}
    for name in RECORD_FIELDS if fields is None else fields:
        shape, dtype = RECORD_FIELDS[name]
        if name not in features:
            raise ValueError(f"no field {name!r}")
        feature = features[name]
        if dtype in ("str", "bytes"):
            values = list(feature.bytes_list.value)
            if dtype == "str":
                values = [value.decode() for value in values]
            if not shape and len(values) != 1:
                raise ValueError(f"field {name!r} holds {len(values)} values, a record wants one")
            record[name] = values if shape else values[0]
            continue
        values = feature.float_list if dtype.startswith("float") else feature.int64_list
        full = tuple(-1 if size is None else size for size in shape)
        try:
            record[name] = np.array(values.value, dtype).reshape(full)
        except OverflowError:
            raise ValueError(f"field {name!r} holds a number that is no {dtype}") from None
    return record
