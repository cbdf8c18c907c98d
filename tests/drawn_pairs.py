"""Random pairs of tiny images and reports, for tests that read no data."""

import numpy as np

VOCABULARY = 50


def draw_pairs(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """4 sentences of up to 4 tokens, padded to 20; the last quarter of the pairs has 2."""
    sentence = np.zeros((count, 20), np.int32)
    for row in range(count):
        sentences = 4 if row < count * 3 // 4 else 2
        numbers = np.repeat(np.arange(1, sentences + 1), rng.integers(2, 5, sentences))
        sentence[row, 1 : 1 + len(numbers)] = numbers
    tokens = np.where(sentence > 0, rng.integers(4, VOCABULARY, sentence.shape), 0)
    tokens[:, 0] = 2
    return {
        "image": rng.integers(0, 256, (count, 32, 32, 1), dtype=np.uint8),
        "tokens": tokens.astype(np.int32),
        "sentence_of_token": sentence,
        "sentence_mask": np.arange(1, 5)[None] <= sentence.max(1)[:, None],
        "example_mask": np.ones(count, bool),
    }
