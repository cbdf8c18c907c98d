"""Reads .safetensors files, which hold arrays and nothing that could run."""

import json
from pathlib import Path

import numpy as np
import safetensors

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a .safetensors file, or of a Hugging Face model folder.

    Args:
      path: the file, or a folder with model.safetensors or with its shards
        (model-00001-of-00002.safetensors, ...).

    Raises:
      ValueError: there is no such file, it is cut short, or it is a torch pickle.
    """
    tensors = {}
    for file in _files(Path(path)):
        try:
            # Through jax, since numpy alone has no bfloat16.
            with safetensors.safe_open(file, framework="flax") as opened:
                tensors |= {name: np.asarray(opened.get_tensor(name)) for name in opened.keys()}
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{file} is no whole safetensors file ({error}): copy or download it again"
            ) from None
    return tensors


def read_hugging_face_config(path: str | Path) -> dict:
    """config.json beside the weights; empty where there is none."""
    path = Path(path)
    file = (path if path.is_dir() else path.parent) / "config.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def _files(path: Path) -> list[Path]:
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
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a model folder or a .safetensors file")
    return [path]
