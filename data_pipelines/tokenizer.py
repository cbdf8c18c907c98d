"""WordPiece over a vocab.txt, and the packing of a report's sentences into one row of tokens."""

import functools
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from data_pipelines.records import BadInput

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class Tokenizer:
    """Sentences to word pieces, as BERT's own tokenizer cuts them.

    Attributes:
      vocab: the pieces, by id.
      cased: whether capitals are kept: where the vocabulary has any.
      pad_id, unk_id, cls_id, sep_id: of the special tokens.
      size: number of pieces.
    """

    def __init__(self, vocab: Sequence[str]):
        self.vocab = list(vocab)
        self.size = len(self.vocab)
        self._ids = {piece: i for i, piece in enumerate(self.vocab)}
        if len(self._ids) < self.size:
            twice = next(piece for i, piece in enumerate(self.vocab) if self._ids[piece] != i)
            raise BadInput(
                "bad_vocabulary",
                f"the vocabulary of {self.size} pieces has {twice!r} twice: give a WordPiece "
                "vocab.txt, every piece once",
            )
        for special in SPECIAL:
            if special not in self._ids:
                raise BadInput(
                    "bad_vocabulary",
                    f"the vocabulary of {self.size} pieces has no {special}: give a WordPiece "
                    "vocab.txt, one piece a line",
                )
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (self._ids[s] for s in SPECIAL)
        self.cased = any(piece != piece.lower() for piece in self.vocab if piece[:1] != "[")

    @classmethod
    def from_file(cls, path: str | pathlib.Path) -> "Tokenizer":
        """Reads a vocab.txt. Raises BadInput where there is none, or something else."""
        path = pathlib.Path(path)
        if not path.is_file():
            raise BadInput(
                "no_vocabulary", f"vocabulary {path} is not a file: give a WordPiece vocab.txt"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(
                "bad_vocabulary",
                f"vocabulary {path} is not UTF-8 text (byte {error.start}): give a WordPiece "
                "vocab.txt, one piece a line",
            ) from None
        # Not splitlines: that would cut at rarer characters, which are pieces of some vocabularies.
        return cls(text.rstrip("\n").split("\n"))

    @functools.cached_property
    def hash(self) -> str:
        """Names the vocabulary: 16 hex digits."""
        return hashlib.blake2b("\n".join(self.vocab).encode(), digest_size=8).hexdigest()

    @functools.cached_property
    def _wordpiece(self):
        from tokenizers import BertWordPieceTokenizer

        return BertWordPieceTokenizer(vocab=self._ids, lowercase=not self.cased)

    def encode(self, sentence: str) -> list[int]:
        """The word pieces of one sentence, without special tokens."""
        return self._wordpiece.encode(sentence, add_special_tokens=False).ids


def pack(
    sentence_ids: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    max_tokens: int,
    max_sentences: int,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """[CLS], then the pieces of each sentence and a [SEP]. A prompt is a report of one sentence.

    What does not fit is dropped by whole sentences: those that `rng` puts last, or without it the
    last ones. Only a report whose every sentence is longer than max_tokens is cut, to its first.

    Args:
      sentence_ids: word pieces of each sentence.
      tokenizer: for the special tokens.
      max_tokens: L.
      max_sentences: S.
      rng: draws which sentences are kept; their order in the report stays.

    Returns:
      tokens [L] int32, sentence_of_token [L] int32, and the positions of the kept sentences.
    """
    order = range(len(sentence_ids)) if rng is None else rng.permutation(len(sentence_ids))
    room, kept = max_tokens - 1, []
    for i in order:
        if len(kept) < max_sentences and len(sentence_ids[i]) + 1 <= room:
            kept.append(int(i))
            room -= len(sentence_ids[i]) + 1
    kept.sort()
    pieces = {i: list(sentence_ids[i]) for i in kept}
    if not kept and len(sentence_ids):
        kept, pieces = [0], {0: list(sentence_ids[0])[: max_tokens - 2]}
    tokens = np.full(max_tokens, tokenizer.pad_id, np.int32)
    sentence_of_token = np.zeros(max_tokens, np.int32)
    tokens[0], at = tokenizer.cls_id, 1
    for number, i in enumerate(kept, 1):
        ids = [*pieces[i], tokenizer.sep_id]
        tokens[at : at + len(ids)] = ids
        sentence_of_token[at : at + len(ids)] = number
        at += len(ids)
    return tokens, sentence_of_token, kept
