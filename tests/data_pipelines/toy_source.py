"""A small source of random pixels, for tests of what prepare and batches make of any source."""

import dataclasses
import errno
import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from data_pipelines.records import BadInput, Key, Label, Study

SIDES = ("left", "right", "small left", "small right", "large bilateral")


@dataclasses.dataclass(frozen=True)
class ToySource:
    """Image i belongs to study i // 2 where i is of the first ten of twenty, else to one of its
    own; every patient has four images. `fault` says what becomes of the images in `bad`.
    """

    images: int = 240
    bad: tuple[int, ...] = ()
    fault: str = "bad_input"
    version: str = "1"
    shareable: bool = True

    name = "toy"
    has_reports = True
    published_counts: ClassVar[Mapping[str, int]] = {}
    left_out: ClassVar[Mapping[str, int]] = {}
    split_rule = "by patient number"

    def keys(self):
        keys = []
        for i in range(self.images):
            patient = i // 4
            study = f"pair{i // 2}" if i % 20 < 10 else f"single{i}"
            split = ("train",) * 8 + ("validation", "test")
            keys.append(Key(f"image{i}", study, f"patient{patient}", split[patient % 10]))
        return keys

    def load(self, key):
        i = int(key.image_id.removeprefix("image"))
        if i in self.bad:
            fail(self.fault, i)
        labels = np.full(14, Label.MISSING, np.int8)
        labels[i % 14] = Label.POSITIVE
        side = SIDES[i % len(SIDES)]
        return Study(
            pixels=pixels(i),
            findings=f"There is a {side} pleural effusion. The heart is normal in size.",
            impression=f"Effusion, {side}, image {i}." if i % 3 else "",
            view=("PA", "AP")[i % 2],
            labels=labels,
            boxes=np.array([[4, 8, 40, 60]], np.float32),
            box_label=np.array([10], np.int32),
            mask=(pixels(i) > 128).astype(np.uint8) * 11 if i % 2 else None,
            sentence_box=np.array([[0, 0]], np.int32),
        )

    def prompts(self):
        return {"Pleural Effusion": {"positive": ["Pleural effusion."], "negative": ["Clear."]}}


def pixels(i: int) -> np.ndarray:
    """[96, 60..79] uint8 of image i."""
    rng = np.random.default_rng(i)
    return rng.integers(0, 256, (96, 60 + i % 20), np.uint8)


def fail(fault: str, i: int):
    if fault == "bad_input":
        raise BadInput("truncated_pixels", f"/records/SMITH_JOHN_{i}.dcm is cut short")
    if fault == "decoder":
        raise ArithmeticError("something within a decoder")
    if fault == "outage":
        raise OSError(errno.ESTALE, "Stale file handle")
    raise MemoryError("stands for whatever stops a build half-way")


class KilledElsewhere(ToySource):
    """Ends any other process that receives it, as a system short of memory does."""

    def __getstate__(self):
        return {"parent": os.getpid()} | self.__dict__

    def __setstate__(self, state):
        if os.getpid() != state.pop("parent"):
            os._exit(9)
        self.__dict__.update(state)
