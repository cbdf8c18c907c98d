"""A prepared folder: where its files lie, how they are written, and the manifest that closes it.

    <name>-<split>.tfrecord-00000-of-00016   records, named as tfds names them
    index/<name>-<split>-00000-of-00016.npz  written after its shard: the shard is finished
    index/<split>.npz                        where every record of a split lies, and whose it is
    tokens/<vocabulary hash>/<split>.npz     token sidecar, beside its vocab.txt
    settings.json manifest.json quarantine.jsonl duplicates.jsonl prompts.json vocab.txt
    CARD.md                                  what the data is, where its source says so

The manifest is written last, after tfds's own metadata: a folder without it is not finished.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_pipelines.records import SPLITS, BadInput, Key

FORMAT = 2  # of the folder; raised when older code could not read it
# Keys of the manifest that may change while the records stay the same.
_NOT_DATA = ("vocab_hash", "vocab_size", "code_version")

_PARTIAL = ".partial"

Manifest = dict[str, Any]


def check_scheme(path: epath.PathLike) -> None:
    """Raises BadInput: no_s3, where TensorFlow, which knows no s3://, would be asked for it."""
    off = os.environ.get("EPATH_USE_TF", "").lower() in ("0", "f", "false", "no")
    if os.fspath(path).startswith("s3://") and not off and importlib.util.find_spec("tensorflow"):
        raise BadInput(
            "no_s3",
            f"{os.fspath(path)!r}: s3:// is read through s3fs: `pip install s3fs`, and set "
            "EPATH_USE_TF=0 before the command",
        )


def shard_name(name: str, split: str, shard: int, shards: int) -> str:
    """File name of one shard, as tfds has it."""
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def shard_index_path(folder: epath.Path, name: str, split: str, shard: int, shards: int):
    """The small file beside a finished shard."""
    return folder / "index" / f"{name}-{split}-{shard:05d}-of-{shards:05d}.npz"


def split_index_path(folder: epath.Path, split: str) -> epath.Path:
    """The index of a whole split."""
    return folder / "index" / f"{split}.npz"


def tokens_dir(folder: epath.Path, vocab_hash: str) -> epath.Path:
    """The folder of one vocabulary's token sidecar."""
    return folder / "tokens" / vocab_hash


def code_version() -> str:
    """Version of the code that writes the folder."""
    try:
        return importlib.metadata.version("place_jax")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@contextlib.contextmanager
def disk_full_is_bad_input(path: epath.PathLike) -> Iterator[None]:
    """Turns a full disk, from Python or from TensorFlow, into one clear line."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and "No space left" not in str(error):
            raise
        raise BadInput(
            "disk_full",
            f"the disk of {os.fspath(path)} is full: free some space or choose another folder, "
            "then run the same command again; finished shards are kept",
        ) from None


def partial_path(path: epath.Path) -> epath.Path:
    """Where a file is written before it takes its name: a place of this process alone, since a
    cluster may run the same work twice at once.
    """
    return path.parent / f".{path.name}.{socket.gethostname()}-{os.getpid()}{_PARTIAL}"


def remove_partials(folder: epath.Path) -> None:
    """Removes what a process that was killed had half written."""
    tokens = folder / "tokens"
    parts = list(tokens.iterdir()) if tokens.exists() else []
    for part in (folder, folder / "index", *parts):
        if part.exists():
            for path in part.iterdir():
                if path.name.startswith(".") and path.name.endswith(_PARTIAL):
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def write_aside(path: epath.Path) -> Iterator[epath.Path]:
    """Yields a path to write to; it takes its name when all went well and goes away otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    with disk_full_is_bad_input(path.parent):
        try:
            yield partial
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_bytes(path: epath.Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with write_aside(path) as partial:
        partial.write_bytes(data)


def write_json(path: epath.Path, value: Any) -> None:
    """Writes JSON a person can read, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def write_arrays(path: epath.Path, **arrays: np.ndarray) -> None:
    """Writes an npz, whole or not at all; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: epath.Path) -> dict[str, np.ndarray]:
    """Reads an npz into memory. Raises BadInput if it is cut short."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise BadInput(
            "damaged_index",
            f"{path} cannot be read ({error}): delete it and run `place prepare` again",
        ) from None


def read_manifest(folder: epath.PathLike) -> Manifest:
    """Reads the manifest. Raises BadInput where the folder is not a finished one."""
    check_scheme(folder)
    path = epath.Path(folder) / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadInput(
            "not_prepared",
            f"{os.fspath(folder)!r} holds no manifest.json, so it is not a finished prepared "
            "folder: run `place prepare SOURCE --out-dir` on it, again if that was interrupted",
        ) from None
    except json.JSONDecodeError as error:
        raise BadInput(
            "damaged_manifest", f"{path} is not JSON ({error}): run `place prepare` again"
        ) from None
    if manifest.get("format") != FORMAT:
        raise BadInput(
            "other_format",
            f"{path} has format {manifest.get('format')!r} and this code reads {FORMAT}: "
            "prepare the data again, or use the code that wrote it",
        )
    return manifest


def split_hashes(keys: Sequence[Key]) -> dict[str, str]:
    """Split -> sha256 of its images' identifiers, one a line in their order by name: two people
    know by it that they split alike. `limit` and unusable images do not change it.
    """
    hashes = {}
    for split in SPLITS:
        ids = sorted(key.image_id for key in keys if key.split == split)
        if ids:
            hashes[split] = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return hashes


def manifest_hash(manifest: Manifest) -> str:
    """Names the records: equal whatever the vocabulary and the code's version."""
    kept = {key: value for key, value in manifest.items() if key not in _NOT_DATA}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
