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

    A checksum is linear over the field of two elements: a chunk's is the exclusive or of what each
    of its bytes leaves when zeros follow it, which a table holds. Chunks are joined two by two:
    what a left one leaves is multiplied by the matrix of the zeros that would follow it.
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
    places = padded.reshape(count, _CHUNK) + np.arange(0, _CHUNK << 8, 256, dtype=np.int32)
    crc = np.bitwise_xor.reduce(_chunk_table().take(places), axis=1)
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
def _chunk_table() -> np.ndarray:
    """[_CHUNK * 256] uint32, what a byte at each place of a chunk leaves at the chunk's end."""
    table = _table()
    rows = [table]
    while len(rows) < _CHUNK:
        rows.append(table[rows[-1] & np.uint32(255)] ^ (rows[-1] >> np.uint32(8)))
    return np.concatenate(rows[::-1])


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
