"""`place prepare` as a user types it, and what every folder that it writes has to allow."""

import os

import tensorflow_datasets as tfds

from data_pipelines.manifest import Manifest, read_manifest
from place_jax import cli


def prepare(source: str, raw_dir: os.PathLike, out_dir: os.PathLike, *options: str) -> Manifest:
    """Prepares a data set, and opens it with TensorFlow Datasets and with no code of ours."""
    command = ["prepare", source, "--raw-dir", str(raw_dir), "--out-dir", str(out_dir)]
    assert cli.main([*command, "--workers", "1", *options]) == 0
    manifest = read_manifest(out_dir)
    builder = tfds.builder_from_directory(str(out_dir))
    for split, described in manifest["splits"].items():
        assert builder.info.splits[split].num_examples == described["examples"]
        example = next(iter(tfds.as_numpy(builder.as_dataset(split=split))))
        assert example["labels"].shape == (len(manifest["label_names"]),)
    return manifest
