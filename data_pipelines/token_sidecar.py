"""The token sidecar: a split's reports as word pieces of one vocabulary, beside the records.

Another vocabulary is another sidecar; images are not encoded again.
"""

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from etils import epath

from data_pipelines import manifest as folder_layout
from data_pipelines.progress import progress
from data_pipelines.record_codec import decode_record
from data_pipelines.record_reader import RecordReader
from data_pipelines.records import BadInput
from data_pipelines.tokenizer import Tokenizer

_SECTIONS = ("findings", "impression")
_READ = 64  # records held at once
_CACHED = 1 << 16  # sentences: most of a radiologist's come many times
_MAX_UNKNOWN = 0.5  # of the tokens: beyond, the vocabulary is of something else


def read_texts(folder: epath.Path, name: str, split: str) -> Iterator[dict]:
    """The text fields of every record of a split, in order."""
    index = folder_layout.read_arrays(folder_layout.split_index_path(folder, split))
    reader = RecordReader(folder, name, split, index)
    examples = len(index["start"])
    for first in range(0, examples, _READ):
        for data in reader.read(range(first, min(first + _READ, examples))):
            yield decode_record(data, ("sentences", "section", "statement", "report_statement"))


def halves(fingerprints: np.ndarray) -> np.ndarray:
    """[..., 2] uint32 (high, low) of signed 64-bit fingerprints: JAX has no int64."""
    unsigned = np.asarray(fingerprints, np.int64).view(np.uint64)
    low = unsigned & np.uint64(0xFFFFFFFF)
    return np.stack([unsigned >> np.uint64(32), low], axis=-1).astype(np.uint32)


def write_split(folder: epath.Path, name: str, split: str, tokenizer: Tokenizer) -> None:
    """Writes tokens/<hash>/<split>.npz: flat arrays, and how many belong to each record."""
    tokens, lengths, sentences = [], [], []
    statements, reports, sections = [], [], []
    encode = functools.lru_cache(_CACHED)(lambda s: np.array(tokenizer.encode(s), np.int32))
    total = len(folder_layout.read_arrays(folder_layout.split_index_path(folder, split))["start"])
    with progress(f"tokenize {split}", "reports", total, lambda: len(sentences)):
        for text in read_texts(folder, name, split):
            encoded = [encode(sentence) for sentence in text["sentences"]]
            tokens += encoded
            lengths += map(len, encoded)
            sentences.append(len(encoded))
            statements.append(text["statement"])
            reports.append(int(text["report_statement"]))
            sections += [_SECTIONS.index(section) for section in text["section"]]
    flat = np.concatenate([np.zeros(0, np.int32), *tokens])
    _check_known(flat, tokenizer, split)
    folder_layout.write_arrays(
        folder_layout.tokens_dir(folder, tokenizer.hash) / f"{split}.npz",
        tokens=flat,
        sentence_length=np.array(lengths, np.int32),
        sentences=np.array(sentences, np.int32),
        statement=halves(np.concatenate([np.zeros(0, np.int64), *statements])),
        report_statement=halves(np.array(reports, np.int64)),
        section=np.array(sections, np.uint8),
    )


def _check_known(tokens: np.ndarray, tokenizer: Tokenizer, split: str) -> None:
    unknown = float(np.mean(tokens == tokenizer.unk_id)) if len(tokens) else 0.0
    if unknown > _MAX_UNKNOWN:
        raise BadInput(
            "vocabulary_mismatch",
            f"{unknown:.0%} of the {split} texts' words are unknown to this vocabulary of "
            f"{tokenizer.size} pieces, more than {_MAX_UNKNOWN:.0%}: give the vocab.txt of a model "
            "in the reports' language and script",
        )


def write_vocabulary(folder: epath.Path, tokenizer: Tokenizer) -> None:
    """Writes vocab.txt beside the tokens it made."""
    text = "".join(piece + "\n" for piece in tokenizer.vocab)
    path = folder_layout.tokens_dir(folder, tokenizer.hash) / "vocab.txt"
    folder_layout.write_bytes(path, text.encode())


def tokenize(folder: os.PathLike | str, vocab: os.PathLike | str | Tokenizer) -> str:
    """Tokenises a prepared folder with another vocabulary, which becomes the folder's own.

    Args:
      folder: a finished prepared folder.
      vocab: a WordPiece vocab.txt, or a tokenizer.

    Returns:
      The vocabulary's hash.

    Raises:
      BadInput: for a folder that is not finished, or a file that is no vocabulary.
    """
    folder = epath.Path(folder)
    manifest = folder_layout.read_manifest(folder)
    tokenizer = vocab if isinstance(vocab, Tokenizer) else Tokenizer.from_file(Path(vocab))
    write_vocabulary(folder, tokenizer)
    for split in manifest["splits"]:
        write_split(folder, manifest["name"], split, tokenizer)
    set_vocabulary(folder, tokenizer)
    manifest |= {"vocab_hash": tokenizer.hash, "vocab_size": tokenizer.size}
    folder_layout.write_json(folder / "manifest.json", manifest)
    return tokenizer.hash


def set_vocabulary(folder: epath.Path, tokenizer: Tokenizer) -> None:
    """Puts the folder's own vocabulary where a user looks for it."""
    text = "".join(piece + "\n" for piece in tokenizer.vocab)
    folder_layout.write_bytes(folder / "vocab.txt", text.encode())


def load_vocabulary(folder: epath.Path, vocab_hash: str) -> Tokenizer:
    """The tokenizer of a sidecar. Raises BadInput where there is none of this vocabulary."""
    path = folder_layout.tokens_dir(folder, vocab_hash) / "vocab.txt"
    if not path.exists():
        tokens = folder / "tokens"
        have = [p.name for p in tokens.iterdir()] if tokens.exists() else []
        raise BadInput(
            "other_vocabulary",
            f"{os.fspath(folder)!r} has no tokens of vocabulary {vocab_hash} (it has "
            f"{', '.join(sorted(have)) or 'none'}): run `place tokenize {os.fspath(folder)} "
            "--vocab VOCAB` with that vocabulary's vocab.txt, or with the checkpoint that was "
            "trained on it",
        )
    # Not splitlines: that would cut at rarer characters, which are pieces of some vocabularies.
    return Tokenizer(path.read_text().removesuffix("\n").split("\n"))


def load_split(folder: epath.Path, split: str, vocab_hash: str) -> dict[str, np.ndarray]:
    """The arrays of `write_split`."""
    path = folder_layout.tokens_dir(folder, vocab_hash) / f"{split}.npz"
    if not path.exists():
        raise BadInput(
            "no_tokens",
            f"{path} is missing: run `place tokenize {os.fspath(folder)} --vocab "
            f"{path.parent / 'vocab.txt'}`",
        )
    return folder_layout.read_arrays(path)


def read_prompts(folder: epath.Path) -> dict | None:
    """The source's zero-shot prompts, where it had some."""
    path = folder / "prompts.json"
    return json.loads(path.read_text()) if path.exists() else None
