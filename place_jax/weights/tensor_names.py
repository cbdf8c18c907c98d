"""Fills a tree of parameters from named tensors, and says plainly what does not fit."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

Params = dict[str, Any]
_SHOWN = 4  # names in a message; the rest are counted


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where one of our parameters comes from.

    Attributes:
      path: ours, as in "blocks/mlp/up/kernel".
      names: theirs; "{layer}" in a name means one tensor per layer, stacked here.
      convert: from their tensors, in the order of `names`, to ours; of one layer.
    """

    path: str
    names: tuple[str, ...]
    convert: Callable[..., np.ndarray] = lambda tensor: tensor


def linear_entries(path: str, name: str) -> list[Entry]:
    """A torch Linear: its weight is [outputs, inputs], ours [inputs, outputs]."""
    return [
        Entry(f"{path}/kernel", (f"{name}.weight",), np.transpose),
        Entry(f"{path}/bias", (f"{name}.bias",)),
    ]


def layer_norm_entries(path: str, name: str) -> list[Entry]:
    """A torch LayerNorm."""
    return [Entry(f"{path}/scale", (f"{name}.weight",)), Entry(f"{path}/bias", (f"{name}.bias",))]


def strip_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Removes "bert." or "vit.", which models with a head put before the encoder's names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def fill(
    params: Params,
    tensors: Mapping[str, np.ndarray],
    entries: Sequence[Entry],
    *,
    source: str,
    ignored: str,
) -> Params:
    """Replaces the parameters that `entries` name; the others stay.

    Args:
      params: of one encoder. Dtypes and shardings stay as they are.
      tensors: by their names.
      entries: what goes where.
      source: the file or folder, for messages.
      ignored: regular expression of names that have no place here, such as heads.

    Raises:
      ValueError: names that are missing or left over, or a shape that does not fit. All names are
        checked before anything is replaced.
    """
    flat = {
        "/".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    sources = {entry.path: _names(entry, flat[entry.path].shape) for entry in entries}
    needed = {name for layers in sources.values() for layer in layers for name in layer}
    missing = needed - set(tensors)
    unexpected = {n for n in tensors if n not in needed and not re.fullmatch(ignored, n)}
    if missing or unexpected:
        said = [
            f"{what} {_show(names)}"
            for what, names in (("misses", missing), ("has besides", unexpected))
            if names
        ]
        raise ValueError(
            f"{source} {' and '.join(said)}: set the model's depth and sizes as its config.json "
            "has them, or give the weights of another model"
        )
    for entry in entries:
        old = flat[entry.path]
        layers = [
            entry.convert(*(tensors[name] for name in names)) for names in sources[entry.path]
        ]
        new = np.stack(layers) if "{layer}" in entry.names[0] else layers[0]
        if new.shape != old.shape:
            raise ValueError(
                f"{source}: {entry.names[0]} makes {entry.path} {new.shape}, the model has "
                f"{old.shape}: set the model's sizes as its config.json has them"
            )
        flat[entry.path] = jax.device_put(new.astype(old.dtype), old.sharding)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: flat["/".join(key.key for key in path)], params
    )


def _names(entry: Entry, shape: tuple[int, ...]) -> list[list[str]]:
    layers = range(shape[0]) if "{layer}" in entry.names[0] else range(1)
    return [[name.format(layer=layer) for name in entry.names] for layer in layers]


def _show(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def check_settings(source: str, theirs: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compares what no tensor's shape shows, such as the number of heads, with config.json.

    Raises:
      ValueError: a setting differs. A setting that config.json does not have is not checked.
    """
    for name, value in wanted.items():
        if name in theirs and theirs[name] != value:
            raise ValueError(
                f"{source}: its config.json has {name}={theirs[name]!r}, the model {value!r}: "
                "set the model as the weights were trained"
            )
