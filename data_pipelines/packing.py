"""The text side of a batch: packs token sidecars into rows, many reports at a time."""

import enum
import hashlib
from collections.abc import Mapping

import numpy as np

from data_pipelines.tokenizer import Tokenizer, pack


class Sections(enum.Enum):
    """Which of a report's sections are read."""

    BOTH = "both"
    FINDINGS = "findings"
    IMPRESSION = "impression"


def of_sections(sidecar: Mapping[str, np.ndarray], sections: Sections) -> dict[str, np.ndarray]:
    """The sidecar of reports cut down to some sections; whole where a report has none of those.

    Reports are equal where what is left of them makes the same statements in the same order.
    """
    if sections is Sections.BOTH:
        return dict(sidecar)
    count = sidecar["sentences"].astype(np.int64)
    report = np.repeat(np.arange(len(count)), count)
    wanted = sidecar["section"] == (0 if sections is Sections.FINDINGS else 1)
    has_some = np.bincount(report, weights=wanted, minlength=len(count)) > 0
    keep = wanted | ~has_some[report]
    statement = sidecar["statement"][keep]
    left = np.bincount(report[keep], minlength=len(count))
    identity = [
        np.frombuffer(hashlib.blake2b(part.tobytes(), digest_size=8).digest(), np.uint32)
        for part in np.split(statement, np.cumsum(left)[:-1])
    ]
    return {
        "tokens": sidecar["tokens"][np.repeat(keep, sidecar["sentence_length"])],
        "sentence_length": sidecar["sentence_length"][keep],
        "sentences": left.astype(sidecar["sentences"].dtype),
        "statement": statement,
        "report_statement": np.array(identity, np.uint32).reshape(len(count), 2),
        "section": sidecar["section"][keep],
    }


class PackedTexts:
    """A split's reports in memory, ready to be packed.

    Args:
      sidecar: the arrays of `token_sidecar.load_split`.
      tokenizer: of the same vocabulary.
      max_tokens: L.
      max_sentences: S.
    """

    def __init__(
        self,
        sidecar: Mapping[str, np.ndarray],
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        max_sentences: int,
    ):
        self._tokens = sidecar["tokens"]
        self._length = sidecar["sentence_length"]
        self._start = np.cumsum(self._length, dtype=np.int64) - self._length
        self._sentences = sidecar["sentences"]
        self._first = np.cumsum(self._sentences, dtype=np.int64) - self._sentences
        self._statement = sidecar["statement"]
        self._report_statement = sidecar["report_statement"]
        self._tokenizer = tokenizer
        self._max_tokens, self._max_sentences = max_tokens, max_sentences
        with_ends = np.concatenate([[0], np.cumsum(self._length + 1, dtype=np.int64)])
        total = 1 + with_ends[self._first + self._sentences] - with_ends[self._first]
        self._fits = (total <= max_tokens) & (self._sentences <= max_sentences)

    def pack(self, reports: np.ndarray, rngs=None) -> dict[str, np.ndarray]:
        """The text fields of a batch.

        Args:
          reports: [B] positions in the split; -1 gives an empty row, its report token alone.
          rngs: row -> generator that samples the sentences of a report that is too long; None
            keeps the first that fit.

        Returns:
          tokens, sentence_of_token [B, L], statement [B, S, 2], sentence_mask [B, S] and
          report_statement [B, 2].
        """
        size = len(reports)
        kept = [self._kept(int(report), row, rngs) for row, report in enumerate(reports)]
        row = np.repeat(np.arange(size), [len(k) for k in kept])
        sentence = np.concatenate([np.zeros(0, np.int64), *kept])
        slot = np.arange(len(row)) - np.repeat(
            np.cumsum([len(k) for k in kept]) - [len(k) for k in kept], [len(k) for k in kept]
        )
        # Only a sentence longer than a whole row is cut.
        length = np.minimum(self._length[sentence], self._max_tokens - 2).astype(np.int64)
        end = np.cumsum(length + 1)
        before_row = np.concatenate([[0], end])[np.searchsorted(row, row)]
        position = 1 + end - (length + 1) - before_row  # of each sentence's first piece

        tokens = np.full((size, self._max_tokens), self._tokenizer.pad_id, np.int32)
        sentence_of_token = np.zeros((size, self._max_tokens), np.int32)
        tokens[:, 0] = self._tokenizer.cls_id
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        at = np.repeat(row, length), np.repeat(position, length) + within
        tokens[at] = self._tokens[np.repeat(self._start[sentence], length) + within]
        sentence_of_token[at] = np.repeat(slot, length) + 1
        tokens[row, position + length] = self._tokenizer.sep_id
        sentence_of_token[row, position + length] = slot + 1

        statement = np.zeros((size, self._max_sentences, 2), np.uint32)
        statement[row, slot] = self._statement[sentence]
        sentence_mask = np.zeros((size, self._max_sentences), np.bool_)
        sentence_mask[row, slot] = True
        report_statement = self._report_statement[np.maximum(reports, 0)].copy()
        report_statement[reports < 0] = 0
        return {
            "tokens": tokens,
            "sentence_of_token": sentence_of_token,
            "statement": statement,
            "sentence_mask": sentence_mask,
            "report_statement": report_statement,
        }

    def _kept(self, report: int, row: int, rngs) -> np.ndarray:
        """[kept] sentences of a report, by their place in the sidecar."""
        if report < 0:
            return np.zeros(0, np.int64)
        first, count = self._first[report], self._sentences[report]
        everything = np.arange(first, first + count)
        if self._fits[report]:
            return everything
        ids = [
            self._tokens[self._start[s] : self._start[s] + self._length[s]].tolist()
            for s in everything
        ]
        rng = None if rngs is None else rngs(row)
        kept = pack(ids, self._tokenizer, self._max_tokens, self._max_sentences, rng=rng)[2]
        return first + np.asarray(kept, np.int64)
