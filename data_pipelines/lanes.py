"""Which example stands in which row of which training batch: a pure function of (seed, step).

A batch is cut into lanes of equal, contiguous rows. Each lane owns some shards and walks through
their studies epoch by epoch, in a seeded order, one image a study. Hosts own whole lanes, so the
global batch is the same whatever their number.
"""

import functools
import math
from collections.abc import Mapping

import numpy as np

from data_pipelines.record_reader import shard_of_example
from data_pipelines.records import BadInput

MAX_LANES = 64
# Shards a batch draws from at once, over all lanes: fewer lanes mix several shards each.
_OPEN_SHARDS = 64
_MASK = (1 << 64) - 1


def hash64(*words: int | np.ndarray) -> np.ndarray:
    """[...] uint64, well mixed, of whole numbers that broadcast together.

    splitmix64's finaliser (Steele et al., OOPSLA 2014), chained. NumPy's generators may change
    their streams between versions, and a run must resume under another one.
    """
    state = np.uint64(0x243F6A8885A308D3)
    with np.errstate(over="ignore"):
        for word in words:
            if isinstance(word, int):
                word = np.uint64(word & _MASK)
            state = (state ^ np.asarray(word).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def permutation(size: int, *words: int) -> np.ndarray:
    """[size] a permutation that `words` seed."""
    return np.argsort(hash64(*words, np.arange(size)), kind="stable")


def count_lanes(batch_size: int, shards: int) -> int:
    """The largest number up to 64 that divides both, so that lanes are equal in rows and shards.

    A function of data and batch size alone, never of the hosts.
    """
    common = math.gcd(batch_size, shards)
    return max(d for d in range(1, min(common, MAX_LANES) + 1) if common % d == 0)


class LanePlan:
    """The rows of one host.

    Args:
      index: the split's index: shard_examples, study_id.
      batch_size: of the global batch.
      seed: of the run.
      host: this host's number.
      num_hosts: how many share the batch.

    Raises:
      BadInput: where the hosts do not share the lanes evenly, or a batch would hold two images
        of one study.
    """

    def __init__(
        self,
        index: Mapping[str, np.ndarray],
        *,
        batch_size: int,
        seed: int,
        host: int = 0,
        num_hosts: int = 1,
    ):
        counts = index["shard_examples"]
        filled = np.flatnonzero(counts)
        if not len(filled):
            raise BadInput("empty_split", "the split holds no examples: prepare some")
        self.num_lanes = count_lanes(batch_size, len(filled))
        if self.num_lanes % num_hosts:
            raise BadInput(
                "too_few_shards",
                f"{num_hosts} hosts cannot share {self.num_lanes} lanes evenly (batch_size="
                f"{batch_size}, {len(filled)} shards): make the batch size a multiple of "
                f"{num_hosts} and prepare with --shards {_next_power_of_two(num_hosts)} or more",
            )
        self._seed = seed
        self._rows = batch_size // self.num_lanes
        per_host = self.num_lanes // num_hosts
        self._lanes = range(host * per_host, (host + 1) * per_host)
        self.first_row = self._lanes.start * self._rows
        self._window = max(1, _OPEN_SHARDS // self.num_lanes)
        self.open_shards = per_host * min(self._window, len(filled) // self.num_lanes)
        self._group_studies(index, filled)
        for studies in self._studies_in_lane:
            if studies < self._rows:
                raise BadInput(
                    "batch_too_large",
                    f"batch_size={batch_size} wants {self._rows} studies from each of "
                    f"{self.num_lanes} lanes and one has {studies}: use a batch size of at most "
                    f"{studies * self.num_lanes}, or prepare more data",
                )
        self._epoch = functools.lru_cache(maxsize=3 * per_host)(self._make_epoch)

    def _group_studies(self, index: Mapping[str, np.ndarray], filled: np.ndarray) -> None:
        _, study = np.unique(index["study_id"], return_inverse=True)
        self._images = np.argsort(study, kind="stable")  # grouped by study
        self._images_of = np.bincount(study)
        self._first_image = np.cumsum(self._images_of) - self._images_of
        shard = shard_of_example(index)[self._images[self._first_image]]
        by_shard = np.argsort(shard, kind="stable")
        ends = np.cumsum(np.bincount(shard, minlength=filled[-1] + 1))
        every = np.split(by_shard, ends[:-1])
        shards = [every[s] for s in filled]
        self._lane_shards = [shards[lane :: self.num_lanes] for lane in range(self.num_lanes)]
        self._studies_in_lane = [sum(map(len, shards)) for shards in self._lane_shards]

    def _shuffled(self, lane: int, epoch: int) -> np.ndarray:
        """[studies of the lane] in this epoch's order: some shards at a time, mixed."""
        shards = self._lane_shards[lane]
        order = permutation(len(shards), self._seed, 1, lane, epoch)
        parts = []
        for first in range(0, len(shards), self._window):
            part = np.concatenate([shards[s] for s in order[first : first + self._window]])
            parts.append(part[permutation(len(part), self._seed, 2, lane, epoch, first)])
        return np.concatenate(parts)

    def _epoch_length(self, lane: int) -> int:
        """Studies a lane shows in an epoch: all, unless two batches would take more than all."""
        studies = self._studies_in_lane[lane]
        return studies if studies >= 2 * self._rows else self._rows

    def _make_epoch(self, lane: int, epoch: int) -> np.ndarray:
        """[epoch length] examples, in order."""
        length = self._epoch_length(lane)
        studies = self._shuffled(lane, epoch)[:length]
        begun = epoch * length % self._rows  # rows of this epoch's first batch already taken
        if begun:
            # A study that ended the last epoch must not stand in the same batch again. The last
            # rows of an epoch never move, so the last epoch's end is known without its start.
            movable, end = studies[: length - self._rows], studies[length - self._rows :]
            seen = np.isin(movable, self._shuffled(lane, epoch - 1)[:length][length - begun :])
            head = np.flatnonzero(~seen)[: self._rows - begun]
            rest = np.setdiff1d(np.arange(len(movable)), head)
            studies = np.concatenate([movable[head], movable[rest], end])
        choice = hash64(self._seed, 3, epoch, studies) % self._images_of[studies].astype(np.uint64)
        return self._images[self._first_image[studies] + choice.astype(np.int64)]

    def examples(self, step: int) -> np.ndarray:
        """[rows of this host] positions in the split. Any step costs the same."""
        parts = []
        for lane in self._lanes:
            length = self._epoch_length(lane)
            at, end = step * self._rows, (step + 1) * self._rows
            while at < end:
                epoch, within = divmod(at, length)
                take = min(end - at, length - within)
                parts.append(self._epoch(lane, epoch)[within : within + take])
                at += take
        return np.concatenate(parts)


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def partners(
    patient: np.ndarray, examples: np.ndarray, seed: int, numbers: np.ndarray
) -> np.ndarray:
    """[n] for each example a random one of another patient, drawn anew for each number.

    Args:
      patient: [examples of the split] number of each one's patient; at least two differ.
      examples: [n] positions in the split.
      seed: of the run.
      numbers: [n] global number of each row: step * batch size + row.
    """
    count = np.uint64(len(patient))
    other = examples.copy()
    attempt = 0
    while (same := patient[other] == patient[examples]).any():
        drawn = hash64(seed, 4, attempt, numbers[same]) % count
        other[same] = drawn.astype(other.dtype)
        attempt += 1
    return other
