"""Reads .safetensors files, which hold arrays and nothing that could run."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors
from etils import epath

from place_jax.training.workdir import is_remote

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a .safetensors file, or of a Hugging Face model folder.

    Args:
      path: the file, or a folder with model.safetensors or with its shards
        (model-00001-of-00002.safetensors, ...); local or in a bucket, which it is copied from.

    Raises:
      ValueError: there is no such file, it is cut short, or it is a torch pickle.
    """
    tensors = {}
    for file in find_files(path):
        try:
            # Through jax, since numpy alone has no bfloat16.
            with _local(file) as copy, safetensors.safe_open(copy, framework="flax") as opened:
                tensors |= {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{file} is no whole safetensors file ({error}): copy or download it again"
            ) from None
    return tensors


def read_hugging_face_config(path: str | Path) -> dict:
    """config.json beside the weights; empty where there is none."""
    path = epath.Path(path)
    file = (path if path.is_dir() else path.parent) / "config.json"
    return json.loads(file.read_text()) if file.exists() else {}


def find_files(path: str | Path) -> list[epath.Path]:
    """The .safetensors files that `read_tensors` reads, none of them opened.

    Raises:
      ValueError: there is none, or it is a torch pickle.
    """
    path = epath.Path(path)
    if path.is_dir():
        files = sorted(path.glob("model*.safetensors"))
        if files:
            return files
        pickles = sorted(file for file in path.iterdir() if file.suffix in _PICKLES)
        if not pickles:
            raise ValueError(f"{path} holds no model.safetensors: give the folder that does")
        path = pickles[0]
    if path.suffix in _PICKLES:
        raise ValueError(
            f"{path} is a torch pickle, which can run code when opened: convert it to safetensors "
            "with transformers, AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        )
    if not path.exists():
        raise ValueError(f"{path} does not exist: give a model folder or a .safetensors file")
    return [path]


@contextlib.contextmanager
def _local(file: epath.Path) -> Iterator[str]:
    """Where the file is on this machine; of one in a bucket a copy, for as long as it is open."""
    if not is_remote(file):
        yield os.fspath(file)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield os.fspath(file.copy(epath.Path(folder) / file.name))
