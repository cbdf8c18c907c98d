"""Where in an image its V-PORs find what a text says: patches are hidden from them, and it is seen
how the match falls.

Attention tells where queries looked, and not whether what they saw speaks for the text. RISE
(Petsiuk et al., arXiv 1806.07421) asks that of any model by hiding parts of its input; [ours] here
patches are hidden from the queries, the image being encoded once. Where the queries read tokens
that have each seen the whole image, hiding one hides little.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping

import cv2
import jax
import numpy as np
from ml_collections import ConfigDict

from place_jax.models.functional import Model
from place_jax.transfer.features import to_numpy
from place_jax.transfer.matches import match
from place_jax.transfer.texts import EncodedTexts

VIEWS = 512  # [ours] of validation: 128 point at 0.72, 256 at 0.77, 384 at 0.78
_CELLS = (2, 3, 4, 5)  # a side of the crop has as many, so that what is hidden is of several sizes


@functools.cache
def draw_views(side: int, count: int = VIEWS, seed: int = 0) -> np.ndarray:
    """Which patches each view leaves visible, [count, N] bool, N = side².

    As in RISE a coarse grid of random numbers is enlarged and shifted; the higher half of it is
    visible. View 2 i + 1 is what view 2 i hides, so that no patch is seen more often than another.
    """
    rng = np.random.default_rng(seed)
    views = []
    for number in range(count // 2):
        cells = _CELLS[number % len(_CELLS)]
        coarse = rng.random((cells + 1, cells + 1), np.float32)
        long = -(-side * (cells + 1) // cells)
        smooth = cv2.resize(coarse, (long, long), interpolation=cv2.INTER_LINEAR)
        top, left = rng.integers(0, long - side + 1, 2)
        drawn = smooth[top : top + side, left : left + side].ravel()
        views += [drawn > np.median(drawn), drawn <= np.median(drawn)]
    return np.array(views)


def evidence(matches: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """[N]: mean match of the views that show a patch, less that of those that hide it.

    Args:
      matches: [M] of a text with each view of an image.
      visible: [M, N] of `draw_views`.
    """
    shown = visible.astype(np.float64)
    hidden = 1 - shown
    with_it = matches @ shown / np.maximum(shown.sum(axis=0), 1)
    without = matches @ hidden / np.maximum(hidden.sum(axis=0), 1)
    return (with_it - without).astype(np.float32)


def gather_evidence(
    weights: tuple[Model, dict, dict],
    images: Iterable[tuple[np.ndarray, np.ndarray]],
    pairs: Iterable[tuple[int, int]],
    texts: EncodedTexts,
    config: ConfigDict,
) -> dict[tuple[int, int], np.ndarray]:
    """The evidence of many images for some of many texts.

    Args:
      weights: the model, its parameters and its state.
      images: batches of uint8 [B, H, W, 1], and which of their rows are examples [B] bool; rows are
        counted over those alone.
      pairs: (row of the images, row of the texts) that are wanted.
      texts: of one sentence or several: evidence is the mean over them.
      config: the whole config.

    Returns:
      pair -> [N] of the patches.
    """
    asked: dict[int, set[int]] = {}
    for row, text in pairs:
        asked.setdefault(row, set()).add(text)
    return dict(_of_pairs(weights, images, asked, texts, config))


def _of_pairs(
    weights, images, asked: Mapping[int, set[int]], texts, config: ConfigDict
) -> Iterator:
    model, params, model_state = weights
    side = config.data.crop_size // config.model.image.patch_size
    visible = draw_views(side)
    # Of one sentence, the other matching rules are the best query.
    tau_m = config.loss.tau_m if config.loss.match == "softmax" else 0.0
    first = 0
    for batch, present in images:
        rows = np.flatnonzero(np.asarray(to_numpy(present), bool))
        if any(first + k in asked for k in range(len(rows))):
            v_por = to_numpy(_observe(model, params, model_state, batch, visible))
        for number, row in enumerate(rows, start=first):
            for text in asked.get(number, ()):
                sentences = texts.t_por[text][texts.sentence_mask[text]]
                found = match(v_por[row], sentences, tau_m=tau_m).mean(axis=1)
                yield (number, text), evidence(found, visible)
        first += len(rows)


@functools.partial(jax.jit, static_argnames="model")
def _observe(model: Model, params, model_state, images, visible):
    return model.observe_views(params, model_state, images, visible)
