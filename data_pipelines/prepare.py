"""A source to a prepared folder: shards, their index, tokens, tfds metadata, and the manifest last.

A bad image never stops a build: it is left out, counted, and its reason kept. What is finished is
skipped when the same command runs again, and the bytes do not depend on the number of workers.
"""

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from data_pipelines import duplicates, token_sidecar
from data_pipelines import manifest as folder_layout
from data_pipelines.dicom import Window
from data_pipelines.manifest import Manifest
from data_pipelines.progress import progress
from data_pipelines.records import BadInput, Source, label_names
from data_pipelines.reports import NORMALISER_VERSION
from data_pipelines.shards import ShardSpec, is_finished, plan_shards
from data_pipelines.token_sidecar import tokenize
from data_pipelines.tokenizer import Tokenizer
from data_pipelines.vocabulary import train_vocabulary

__all__ = ["prepare", "tokenize"]

_EXAMPLE_ARRAYS = ("start", "size", "position", "labels", "sentences", "study_id", "patient_id")
_MIN_PER_WORKER = 100  # images; with fewer, starting a process takes longer than it saves


def prepare(
    source: Source,
    out_dir: os.PathLike | str,
    *,
    image_size: int = 256,
    vocab: os.PathLike | str | None = None,
    vocab_size: int = 2000,
    shards: int | None = None,
    workers: int = 2,
    limit: int | None = None,
    max_bad_fraction: float = 0.01,
    dicom_window: Window = Window.HEADER,
    drop_duplicates: bool = False,
    beam_options: Sequence[str] = (),
) -> Manifest:
    """Prepares a data set for training.

    Args:
      source: the data set in its owner's files.
      out_dir: local, or gs://.
      image_size: long side of the stored images, in pixels.
      vocab: a WordPiece vocab.txt; None trains one on the training texts.
      vocab_size: its size then.
      shards: of the training split; None chooses. Hosts of a training run share them out.
      workers: processes on this machine, at most; small data uses fewer.
      limit: at most so many images, of all splits together.
      max_bad_fraction: the build fails when more of the images than this are unusable.
      dicom_window: how the values of DICOM files become grey levels.
      drop_duplicates: leaves out of training what looks the same as an image of validation or
        test, and out of validation what looks the same as one of test.
      beam_options: for another Beam runner, such as `--runner=DataflowRunner`.

    Returns:
      The manifest, as manifest.json holds it.

    Raises:
      BadInput: one line each for a folder of other settings, too many unusable images, a full
        disk. The folder then holds no manifest and does not pass for finished.
    """
    _check(image_size=image_size, shards=shards, workers=workers, limit=limit)
    folder_layout.check_scheme(out_dir)
    folder = epath.Path(out_dir)
    tokenizer = None if vocab is None else Tokenizer.from_file(Path(vocab))
    keys = source.keys()
    specs = plan_shards(
        keys,
        name=source.name,
        version=source.version,
        image_size=image_size,
        dicom_window=dicom_window.value,
        train_shards=shards,
        limit=limit,
    )
    if tokenizer is None:
        _check_training_texts(specs)
    settings = {
        "format": folder_layout.FORMAT,
        "name": source.name,
        "version": source.version,
        "image_size": image_size,
        "limit": limit,
        "dicom_window": dicom_window.value,
        "drop_duplicates": drop_duplicates,
        "shards": {spec.split: spec.shards for spec in specs},
    }
    _take_folder(folder, settings)
    missing = [spec for spec in specs if not is_finished(spec, folder)]
    if missing:
        beam_encode = _import_beam()
        images = sum(len(spec.keys) for spec in missing)
        with progress("prepare", "shards", len(specs), lambda: _count_shards(folder, specs)):
            beam_encode.run(
                source,
                missing,
                os.fspath(folder),
                workers=min(workers, max(1, images // _MIN_PER_WORKER)),
                beam_options=beam_options,
            )
    repeated = duplicates.find_duplicates(folder, specs)
    if drop_duplicates:
        duplicates.drop_duplicates(folder, specs, repeated)
    reasons = _close_splits(folder, specs, [key.line for key in keys])
    _check_bad(reasons, sum(len(spec.keys) for spec in specs), max_bad_fraction, folder)
    if tokenizer is None:
        tokenizer = _learn_vocabulary(folder, specs, vocab_size)
    token_sidecar.write_vocabulary(folder, tokenizer)
    for split in _splits(specs):
        token_sidecar.write_split(folder, source.name, split, tokenizer)
    token_sidecar.set_vocabulary(folder, tokenizer)
    prompts = source.prompts()
    if prompts is not None:
        folder_layout.write_json(folder / "prompts.json", prompts)
    if hasattr(source, "card"):
        (folder / "CARD.md").write_text(source.card())
    manifest = {
        "format": folder_layout.FORMAT,
        "name": source.name,
        "source": source.name,
        "version": source.version,
        "code_version": folder_layout.code_version(),
        "shareable": source.shareable,
        "image_size": image_size,
        "limit": limit,
        "dicom_window": dicom_window.value,
        "split_rule": source.split_rule,
        "split_ids": folder_layout.split_hashes(keys),
        "label_names": list(label_names(source)),
        "has_reports": source.has_reports,
        "published_counts": dict(source.published_counts),
        "left_out": dict(source.left_out),
        "normaliser_version": NORMALISER_VERSION,
        "splits": {split: _describe_split(folder, specs, split) for split in _splits(specs)},
        "duplicates": dict(sorted(duplicates.write_list(folder, repeated, keys).items())),
        "duplicates_dropped": drop_duplicates,
        "quarantined": dict(sorted(reasons.items())),
        "vocab_hash": tokenizer.hash,
        "vocab_size": tokenizer.size,
    }
    _write_tfds_metadata(folder, manifest)
    folder_layout.write_json(folder / "manifest.json", manifest)
    _report(manifest, folder)
    return manifest


def _import_beam():
    """The pipeline, without Beam's warnings of Google Cloud packages that are not installed."""
    logging.disable(logging.WARNING)
    try:
        from data_pipelines import beam_encode
    finally:
        logging.disable(logging.NOTSET)
    return beam_encode


def _check(**settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None and value < 1:
            raise BadInput(f"bad_{name}", f"{name}={value} must be at least 1")


def _take_folder(folder: epath.Path, settings: Mapping[str, Any]) -> None:
    """Marks the folder as ours and as unfinished. Raises BadInput if it holds something else."""
    path = folder / "settings.json"
    if path.exists():
        before = json.loads(path.read_text())
        for name, value in settings.items():
            if before.get(name) != value:
                raise BadInput(
                    "other_settings",
                    f"{os.fspath(folder)!r} was prepared with {name}={before.get(name)!r}, not "
                    f"{value!r}: choose another --out-dir, or delete this one",
                )
        for name in ("manifest.json", "dataset_info.json"):  # ours and tfds's
            (folder / name).unlink(missing_ok=True)
        folder_layout.remove_partials(folder)
        return
    folder_layout.remove_partials(folder)  # of the very first file
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(
            "folder_not_empty",
            f"{os.fspath(folder)!r} holds files that `place prepare` did not write: choose "
            "another --out-dir",
        )
    folder_layout.write_json(path, settings)


def _splits(specs: Sequence[ShardSpec]) -> list[str]:
    return list(dict.fromkeys(spec.split for spec in specs))


def _close_splits(
    folder: epath.Path, specs: Sequence[ShardSpec], lines: Sequence[int | None]
) -> Counter:
    """Writes every split's index and the list of what was left out; counts that by reason."""
    reasons: Counter = Counter()
    quarantined = []
    for split in _splits(specs):
        parts = [
            folder_layout.read_arrays(
                folder_layout.shard_index_path(folder, spec.name, split, spec.shard, spec.shards)
            )
            for spec in specs
            if spec.split == split
        ]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in _EXAMPLE_ARRAYS}
        folder_layout.write_arrays(
            folder_layout.split_index_path(folder, split),
            shard_examples=np.array([len(part["start"]) for part in parts], np.int64),
            shard_bytes=np.array([part["bytes"] for part in parts], np.int64),
            sha256=np.array([str(part["sha256"]) for part in parts]),
            **joined,
        )
        for part in parts:
            for image, position, reason in zip(
                part["quarantined_id"].tolist(),
                part["quarantined_position"].tolist(),
                part["quarantined_reason"].tolist(),
                strict=True,
            ):
                reasons[reason] += 1
                entry = {"image_id": image, "position": position, "split": split, "reason": reason}
                if lines[position] is not None:
                    entry["line"] = lines[position]
                quarantined.append(entry)
    quarantined.sort(key=lambda entry: entry["position"])
    text = "".join(json.dumps(entry) + "\n" for entry in quarantined)
    folder_layout.write_bytes(folder / "quarantine.jsonl", text.encode())
    return reasons


def _check_bad(reasons: Counter, images: int, max_bad_fraction: float, folder: epath.Path) -> None:
    bad = sum(reasons.values())
    if bad <= max_bad_fraction * images and bad < images:
        return
    top = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(5))
    raise BadInput(
        "too_many_bad",
        f"{bad} of {images} images cannot be used ({top}), more than "
        f"max_bad_fraction={max_bad_fraction}: see {folder / 'quarantine.jsonl'}, repair them and "
        "prepare into another folder, or raise --max-bad-fraction",
    )


def _check_training_texts(specs: Sequence[ShardSpec]) -> None:
    if "train" not in _splits(specs):
        raise BadInput(
            "no_training_texts",
            "there is no training split to learn a vocabulary from: give --vocab vocab.txt, such "
            "as that of the checkpoint to be tested",
        )


def _learn_vocabulary(folder: epath.Path, specs: Sequence[ShardSpec], vocab_size: int) -> Tokenizer:
    split, name = "train", specs[0].name
    texts = (
        sentence
        for text in token_sidecar.read_texts(folder, name, split)
        for sentence in text["sentences"]
    )
    return Tokenizer(train_vocabulary(texts, vocab_size))


def _describe_split(folder: epath.Path, specs: Sequence[ShardSpec], split: str) -> dict:
    index = folder_layout.read_arrays(folder_layout.split_index_path(folder, split))
    return {
        "examples": len(index["start"]),
        "listed": sum(len(spec.keys) for spec in specs if spec.split == split),
        "studies": len(np.unique(index["study_id"])),
        "patients": len(np.unique(index["patient_id"])),
        "sentences": int(index["sentences"].sum()),
        "shards": len(index["shard_bytes"]),
        "bytes": int(index["shard_bytes"].sum()),
        "sha256": index["sha256"].tolist(),
    }


def _write_tfds_metadata(folder: epath.Path, manifest: Manifest) -> None:
    """Writes features.json and dataset_info.json: tfds then opens the folder by itself."""
    import tensorflow_datasets as tfds

    from data_pipelines.record_codec import tfds_features

    infos = []
    for split, described in manifest["splits"].items():
        index = folder_layout.read_arrays(folder_layout.split_index_path(folder, split))
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=index["shard_examples"].tolist(),
                num_bytes=described["bytes"],
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=folder,
                    dataset_name=manifest["name"],
                    split=split,
                    filetype_suffix="tfrecord",
                    template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                ),
            )
        )
    with folder_layout.disk_full_is_bad_input(folder):
        tfds.folder_dataset.write_metadata(
            data_dir=folder,
            features=tfds_features(),
            split_infos=infos,
            version="1.0.0",
            check_data=False,
            description=f"{manifest['source']} {manifest['version']}, prepared for place_jax.",
        )


def _count_shards(folder: epath.Path, specs: Sequence[ShardSpec]) -> int:
    """Shards that are there, here or written by workers elsewhere."""
    index = folder / "index"
    there = {path.name for path in index.iterdir()} if index.exists() else set()
    return sum(
        folder_layout.shard_index_path(folder, s.name, s.split, s.shard, s.shards).name in there
        for s in specs
    )


def _report(manifest: Manifest, folder: epath.Path) -> None:
    published = manifest["published_counts"]
    counts = ", ".join(
        f"{split} {described['examples']}"
        + (f" (published: {published[split]})" if split in published else "")
        for split, described in manifest["splits"].items()
    )
    print(f"prepared {manifest['source']} in {os.fspath(folder)}: {counts}", file=sys.stderr)
    if manifest["left_out"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in manifest["left_out"].items())
        print(f"not taken: {reasons}", file=sys.stderr)
    bad = manifest["quarantined"]
    if manifest["duplicates"]:
        pairs = ", ".join(f"{pair} {count}" for pair, count in manifest["duplicates"].items())
        fate = "left out" if manifest["duplicates_dropped"] else "--drop-duplicates leaves them out"
        print(
            f"images that look the same as one of another split: {pairs} ({fate}); see "
            f"{folder / 'duplicates.jsonl'}",
            file=sys.stderr,
        )
    if bad:
        reasons = ", ".join(f"{reason} {count}" for reason, count in bad.items())
        print(
            f"left out {sum(bad.values())} images ({reasons}); see {folder / 'quarantine.jsonl'}",
            file=sys.stderr,
        )
