"""Where in an image a text is: maps over the crop that the model saw, of one kind or another."""

import dataclasses
import enum

import numpy as np

from place_jax.transfer.geometry import enlarge


class MapKind(enum.Enum):
    """What a map shows."""

    ATTENTION = "attention"  # of the V-POR that the text matches best: where it looked
    SIMILARITY = "similarity"  # each patch's share of the cosine of image and text
    EVIDENCE = "evidence"  # how much better V-PORs match the text where they may read a patch


@dataclasses.dataclass(frozen=True)
class Observed:
    """What maps of n images are made of.

    Attributes:
      v_por: [n, Q, E] unit rows.
      v_por_attention: [n, Q, N].
      patch_embedding: [n, N, E] of `Model.patch_embeddings`.
    """

    v_por: np.ndarray | None
    v_por_attention: np.ndarray | None
    patch_embedding: np.ndarray | None


def matched_attention(
    t_por: np.ndarray, v_por: np.ndarray, attention: np.ndarray, crop: int
) -> np.ndarray:
    """The attention of the V-POR that a sentence matches best, enlarged to the crop.

    Args:
      t_por: [E] the sentence.
      v_por: [Q, E] of the image.
      attention: [Q, N] likewise; N patches of a square grid.
      crop: side of the map, in pixels.

    Returns:
      [crop, crop] float32, bilinear between the centres of patches.
    """
    return enlarge(attention[int(np.argmax(v_por @ t_por))], crop)


def patch_similarity(text: np.ndarray, patches: np.ndarray, crop: int) -> np.ndarray:
    """Each patch's share of the cosine of image and text, enlarged to the crop.

    Args:
      text: [E] unit, as a report.
      patches: [N, E] of `Model.patch_embeddings`.
      crop: side of the map, in pixels.

    Returns:
      [crop, crop] float32; before it is enlarged its mean is the cosine.
    """
    return enlarge(patches @ text, crop)
