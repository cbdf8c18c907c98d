"""Random access to the records of one split, through its index."""

import concurrent.futures
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.records import BadInput

_OPEN_FILES = 128  # local shards kept open
_CONNECTIONS = 8  # remote shards fetched at once


class _LocalShard:
    """Reads by position, so that only what is asked for is read and nothing is kept."""

    def __init__(self, path: str):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed with the cache)
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, start)


class _RemoteShard:
    """Holds a shard whole: an object store serves few large reads better than many small ones."""

    def __init__(self, path: epath.Path):
        self._data = path.read_bytes()
        self.size = len(self._data)

    def read(self, start: int, size: int) -> bytes:
        return self._data[start : start + size]


class RecordReader:
    """Reads records of a split by their index, keeping some shards at hand.

    Args:
      folder: the prepared folder.
      name: of the data set.
      split: train, validation or test.
      index: the split's index arrays.
      remote_shards: how many shards of a remote folder are held in memory.
    """

    def __init__(
        self,
        folder: epath.Path,
        name: str,
        split: str,
        index: Mapping[str, np.ndarray],
        *,
        remote_shards: int = 2,
    ):
        self.folder, self.split, self._name = folder, split, name
        self._start, self._size = index["start"], index["size"]
        self._shard = shard_of_example(index)
        self._bytes = index["shard_bytes"]
        self._remote = "://" in os.fspath(folder)
        self._kept = remote_shards if self._remote else _OPEN_FILES
        self._shards: OrderedDict[int, _LocalShard | _RemoteShard] = OrderedDict()

    def read(self, examples: Sequence[int] | np.ndarray) -> list[bytes]:
        """The serialised records of these positions in the split.

        Raises:
          BadInput: for a shard that is missing or cut short.
        """
        examples = np.asarray(examples)
        shards = self._shard[examples]
        missing = [shard for shard in np.unique(shards).tolist() if shard not in self._shards]
        if self._remote and len(missing) > 1:
            with concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as pool:
                opened = list(pool.map(self._open, missing))
        else:
            opened = [self._open(shard) for shard in missing]
        held = dict(zip(missing, opened, strict=True))
        records = []
        for example, shard in zip(examples.tolist(), shards.tolist(), strict=True):
            source = held.get(shard) or self._shards[shard]
            records.append(source.read(int(self._start[example]), int(self._size[example])))
        for shard in np.unique(shards).tolist():
            if shard in held:
                self._shards[shard] = held[shard]
            self._shards.move_to_end(shard)
        while len(self._shards) > self._kept:
            self._shards.popitem(last=False)
        return records

    def _open(self, shard: int) -> _LocalShard | _RemoteShard:
        name = folder_layout.shard_name(self._name, self.split, shard, len(self._bytes))
        path = self.folder / name
        try:
            opened = _RemoteShard(path) if self._remote else _LocalShard(os.fspath(path))
        except FileNotFoundError:
            raise BadInput(
                "missing_shard", f"{path} is missing: run the same `place prepare` again"
            ) from None
        if opened.size != self._bytes[shard]:
            raise BadInput(
                "truncated_shard",
                f"{path} has {opened.size} bytes and was written with {self._bytes[shard]}: copy "
                "it again, or run the same `place prepare` again",
            )
        return opened


def shard_of_example(index: Mapping[str, np.ndarray]) -> np.ndarray:
    """[n] shard of every example of a split."""
    counts = index["shard_examples"]
    return np.repeat(np.arange(len(counts)), counts)
