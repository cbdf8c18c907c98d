"""Learns a WordPiece vocabulary from texts: the same texts, in any order, give the same pieces.

The trainer of `tokenizers` breaks ties by the order of a randomly seeded table, so that two runs
over the same texts differ (measured: in pieces, not only in their order); a prepared folder must
be equal byte for byte. This one merges the most frequent pair of neighbours, as it does (Sennrich
et al., arXiv 1508.07909), and ties go to the pair that sorts first.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable

from data_pipelines.tokenizer import SPECIAL

_CONTINUES = "##"
_MIN_COUNT = 2  # of a merged pair
_MAX_ALPHABET = 1000

Pair = tuple[str, str]


def train_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """A lower-case vocabulary of at most `size` pieces, and at least the letters of the texts.

    Args:
      texts: sentences.
      size: most pieces, with the special ones.
    """
    counts = _count_words(texts)
    letters = Counter()
    for word, count in counts.items():
        for symbol in _symbols(word):
            letters[symbol] += count
    ranked = sorted(letters, key=lambda s: (-letters[s], s))
    alphabet = sorted(ranked[: min(_MAX_ALPHABET, max(0, size - len(SPECIAL)))])
    vocabulary = [*SPECIAL, *alphabet]
    known = set(vocabulary)
    for piece in _merges([(_symbols(word), count) for word, count in sorted(counts.items())]):
        if len(vocabulary) >= size:
            break
        if piece not in known:  # two pairs may make one piece
            vocabulary.append(piece)
            known.add(piece)
    return vocabulary


def _count_words(texts: Iterable[str]) -> Counter:
    """Words as a lower-case WordPiece tokenizer cuts them, with their counts."""
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, cutter = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts: Counter = Counter()
    for text, count in Counter(texts).items():  # most sentences of reports come many times
        for word, _ in cutter.pre_tokenize_str(normalizer.normalize_str(text)):
            counts[word] += count
    return counts


def _symbols(word: str) -> list[str]:
    return [word[0], *(_CONTINUES + letter for letter in word[1:])]


def _merges(words: list[tuple[list[str], int]]) -> Iterable[str]:
    """Yields the pieces that merging makes, most frequent first."""
    pairs: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for number, (symbols, count) in enumerate(words):
        for pair in zip(symbols, symbols[1:], strict=False):
            pairs[pair] += count
            holders[pair].add(number)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap:
        negative, pair = heapq.heappop(heap)
        if -negative != pairs[pair]:
            continue  # counted anew since; the right entry is in the heap too
        if pairs[pair] < _MIN_COUNT:
            return
        merged = pair[0] + pair[1].removeprefix(_CONTINUES)
        changed = set()
        for number in holders.pop(pair):
            symbols, count = words[number]
            joined = _join(symbols, pair, merged)
            for old in zip(symbols, symbols[1:], strict=False):
                pairs[old] -= count
                holders[old].discard(number)
                changed.add(old)
            for new in zip(joined, joined[1:], strict=False):
                pairs[new] += count
                holders[new].add(number)
                changed.add(new)
            words[number] = joined, count
        for touched in changed:
            if pairs[touched] > 0:
                heapq.heappush(heap, (-pairs[touched], touched))
        yield merged


def _join(symbols: list[str], pair: Pair, merged: str) -> list[str]:
    joined, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            joined.append(merged)
            i += 2
        else:
            joined.append(symbols[i])
            i += 1
    return joined
