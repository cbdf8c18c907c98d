"""The TFRecord file format, without TensorFlow: its import costs more than preparing a small data
set does. A record is its length, the length's checksum, the payload, the payload's checksum; a
checksum is a masked CRC-32C (tensorflow/core/lib/io/record_writer.h).
"""

import functools
import struct

import numpy as np

HEADER = 12  # bytes before a payload
FOOTER = 4  # bytes after it

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_CHUNK = 128  # bytes; a power of two


def frame(payload: bytes) -> bytes:
    """A payload as it stands in the file."""
    length = struct.pack("<Q", len(payload))
    return (
        length
        + struct.pack("<I", masked_crc32c(length))
        + payload
        + struct.pack("<I", masked_crc32c(payload))
    )


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord stores it: rotated and offset."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4).

    Chunks of the data are run through the table side by side, then joined two by two: what a left
    chunk leaves is multiplied by the matrix, over the field of two elements, of the zeros that
    would follow it.
    """
    if len(data) < 4:  # too short to take the initial value in
        crc = 0xFFFFFFFF
        for byte in data:
            crc = int(_table()[(crc ^ byte) & 255]) ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF
    count = 1 << (-(-len(data) // _CHUNK) - 1).bit_length()
    # Zeros in front change nothing once the initial value is part of the first four bytes.
    padded = np.zeros(count * _CHUNK, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[len(padded) - len(data) :][:4] ^= 0xFF
    columns = np.ascontiguousarray(padded.reshape(count, _CHUNK).T).astype(np.uint32)
    table, crc = _table(), np.zeros(count, np.uint32)
    for column in columns:
        crc = table[(crc ^ column) & np.uint32(255)] ^ (crc >> np.uint32(8))
    zeros = _CHUNK
    while len(crc) > 1:
        crc = _times(_zeros_matrix(zeros), crc[0::2]) ^ crc[1::2]
        zeros *= 2
    return int(crc[0]) ^ 0xFFFFFFFF


@functools.cache
def _table() -> np.ndarray:
    """[256] uint32, what a byte does to a checksum."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


@functools.cache
def _zeros_matrix(count: int) -> np.ndarray:
    """[32] uint32: column i is what becomes of bit i when `count` zero bytes follow; `count` is a
    power of two.
    """
    if count == 1:
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
        return _table()[bits & np.uint32(255)] ^ (bits >> np.uint32(8))
    half = _zeros_matrix(count // 2)
    return _times(half, half)


def _times(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """[n] products of a [32] matrix of columns with [n] vectors of 32 bits."""
    bits = (vectors[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return np.bitwise_xor.reduce(bits * matrix, axis=1)
