"""Typing errors that leave a reader in no doubt of what was meant."""

import re

import numpy as np

# A slip in one of these would change what is said, or how much, or where.
_SPARED = {
    "right", "lower", "upper", "middle", "small", "minor", "large", "slight", "marked", "severe",
    "three", "nodule", "nodules", "without", "neither", "cannot", "absent", "excluded",
}  # fmt: skip
_WORD = re.compile(r"\b[a-z]{5,}\b")  # abbreviations are short or in capitals, names of none occur


def with_typing_errors(text: str, rate: float, rng: np.random.Generator) -> str:
    """`text` with `rate` of its words hit, were all of them long enough to be.

    Two letters are swapped, one left out or one doubled, never the first or the last, so that no
    word becomes its own plural.
    """
    words = list(_WORD.finditer(text))
    hits = rng.random(len(words)) < rate
    for word, hit in reversed(list(zip(words, hits, strict=True))):
        if hit and word.group() not in _SPARED:
            text = text[: word.start()] + _slip(word.group(), rng) + text[word.end() :]
    return text


def _slip(word: str, rng: np.random.Generator) -> str:
    at = 1 + int(rng.integers(len(word) - 3))  # at and at + 1 are both inside
    way = int(rng.integers(3))
    if way == 0 and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if way == 1:
        return word[:at] + word[at + 1 :]
    return word[: at + 1] + word[at:]
