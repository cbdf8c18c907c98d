"""The same radiograph under two names: found by a hash of what it looks like, across splits.

A test image that training has seen makes scores look better than they are. Public data sets share
sources and repeat images under other names and encodings, which neither names nor bytes show.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.records import SPLITS, Key
from data_pipelines.shards import ShardSpec
from data_pipelines.tfrecord import FOOTER, HEADER

# Bits of 256. The same radiograph at half the size, in other grey levels or as a poor JPEG differs
# in 0 to 10 of them; the two most alike of 234 real radiographs differ in 52, of 80 phantoms in 48.
MAX_DISTANCE = 12
_BANDS = 16  # of 16 bits: of two hashes at most 15 bits apart one band at least is equal
_OF_EXAMPLES = ("size", "position", "labels", "sentences", "study_id", "patient_id")


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """An image that is also in another split.

    Attributes:
      position: of the image in `source.keys()`, in the split that would give it up.
      of: position of the other, in a split that comes later in train, validation, test.
      distance: bits in which their hashes differ.
    """

    position: int
    of: int
    split: str
    of_split: str
    distance: int


def find_duplicates(folder: epath.Path, specs: Sequence[ShardSpec]) -> list[Duplicate]:
    """Pairs of images in different splits that look the same, in the order of the source.

    Of each image of an earlier split it names the nearest of a later one. Images that were dropped
    for it before are named again.
    """
    found, hashes, positions, split_of = [], [], [], []
    for spec in specs:
        part = _read_index(folder, spec)
        hashes.append(part["image_hash"])
        positions.append(part["position"])
        split_of += [SPLITS.index(spec.split)] * len(part["position"])
        for position, of, of_split, distance in part["dropped"].tolist():
            found.append(Duplicate(position, of, spec.split, SPLITS[of_split], distance))
    hashes, positions = np.concatenate(hashes), np.concatenate(positions)
    split = np.array(split_of, np.int64)
    # One row a hash and split: thousands of blank images must not be compared with each other.
    distinct, first, row = np.unique(
        np.column_stack([hashes, split.view(np.uint64)]),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    nearest = _nearest(distinct[:, :4], split[first])
    for i, r in enumerate(row.ravel().tolist()):
        if r in nearest:
            bits, other = nearest[r]
            of = int(first[other])
            found.append(
                Duplicate(
                    int(positions[i]), int(positions[of]), SPLITS[split[i]], SPLITS[split[of]], bits
                )
            )
    return sorted(found, key=lambda duplicate: duplicate.position)


def _nearest(hashes: np.ndarray, split: np.ndarray) -> dict[int, tuple[int, int]]:
    """Row of an earlier split -> (distance, row of a later one), where one is near enough."""
    nearest: dict[int, tuple[int, int]] = {}
    for one, other in _candidates(np.ascontiguousarray(hashes)):
        distance = np.bitwise_count(hashes[one] ^ hashes[other]).sum(axis=1)
        kept = (distance <= MAX_DISTANCE) & (split[one] != split[other])
        pairs = np.stack([one[kept], other[kept], distance[kept]], axis=1)
        for a, b, bits in pairs.astype(np.int64).tolist():
            a, b = sorted((a, b), key=lambda i: split[i])
            nearest[a] = min(nearest.get(a, (bits, b)), (bits, b))
    return nearest


def _candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields ([k], [k]) pairs of rows of [n, 4] uint64 that share a band, first with each other."""
    if not len(hashes):
        return
    for band in hashes.view(np.uint16).reshape(-1, _BANDS).T:
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        # Rows that share a band stand together: each is compared with the next, the next but one...
        for step in range(1, len(order)):
            same = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not len(same):
                break
            yield order[same], order[same + step]


def drop_duplicates(
    folder: epath.Path, specs: Sequence[ShardSpec], duplicates: Sequence[Duplicate]
) -> None:
    """Takes these images out of their shards: out of training, and out of validation where they
    are in test. Records are copied as they are.
    """
    given_up = {duplicate.position: duplicate for duplicate in duplicates}
    for spec in specs:
        part = _read_index(folder, spec)
        kept = np.array([p not in given_up for p in part["position"].tolist()], bool)
        if kept.all():
            continue
        path = folder / folder_layout.shard_name(spec.name, spec.split, spec.shard, spec.shards)
        data, digest, file_bytes = path.read_bytes(), hashlib.sha256(), 0
        with folder_layout.write_aside(path) as partial, partial.open("wb") as file:
            for start, size in zip(part["start"][kept], part["size"][kept], strict=True):
                framed = data[start - HEADER : start + size + FOOTER]
                file.write(framed)
                digest.update(framed)
                file_bytes += len(framed)
        dropped = [
            [d.position, d.of, SPLITS.index(d.of_split), d.distance]
            for d in (given_up[p] for p in part["position"][~kept].tolist())
        ]
        part |= {name: part[name][kept] for name in (*_OF_EXAMPLES, "image_hash")}
        part |= {
            "start": np.cumsum(HEADER + part["size"] + FOOTER) - (part["size"] + FOOTER),
            "bytes": np.array(file_bytes, np.int64),
            "sha256": np.array(digest.hexdigest()),
            "dropped": np.concatenate([part["dropped"], np.array(dropped, np.int64)]),
        }
        folder_layout.write_arrays(_index_path(folder, spec), **part)


def write_list(folder: epath.Path, duplicates: Sequence[Duplicate], keys: Sequence[Key]) -> Counter:
    """Writes duplicates.jsonl, with the identifiers that records have. Counts by pair of splits."""
    lines = []
    for d in duplicates:
        entry = {"split": d.split, "of_split": d.of_split, "distance": d.distance}
        for prefix, position in (("", d.position), ("of_", d.of)):
            entry |= {f"{prefix}image_id": keys[position].image_id, f"{prefix}position": position}
            if keys[position].line is not None:
                entry[f"{prefix}line"] = keys[position].line
        lines.append(json.dumps(entry) + "\n")
    folder_layout.write_bytes(folder / "duplicates.jsonl", "".join(lines).encode())
    return Counter(f"{d.split} of {d.of_split}" for d in duplicates)


def _index_path(folder: epath.Path, spec: ShardSpec) -> epath.Path:
    return folder_layout.shard_index_path(folder, spec.name, spec.split, spec.shard, spec.shards)


def _read_index(folder: epath.Path, spec: ShardSpec) -> dict[str, np.ndarray]:
    return folder_layout.read_arrays(_index_path(folder, spec))
