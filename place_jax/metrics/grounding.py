"""A map against the region that it should show: pointing, contrast to noise, overlap.

A map of one value shows nothing: it scores 0 in each.
"""

import numpy as np

# BioViL's thresholds on its cosine maps (Boecking et al., arXiv 2204.09817).
IOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


def pointing_hit(found: np.ndarray, mask: np.ndarray) -> float:
    """1.0 where the map's maximum lies in the region, without tolerance.

    The pointing game of Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016. Of
    several equal maxima the share that lies inside counts.

    Args:
      found: [h, w] float.
      mask: [h, w] bool.
    """
    if found.max() == found.min():
        return 0.0
    return float(mask[found == found.max()].mean())


def contrast_to_noise(found: np.ndarray, mask: np.ndarray) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside).

    BioViL takes the absolute value of it; with its sign, a map that is low in the region is no
    success [ours]. NaN where the region is nothing or everything.

    Args:
      found: [h, w] float.
      mask: [h, w] bool.
    """
    inside, outside = found[mask].astype(np.float64), found[~mask].astype(np.float64)
    if not len(inside) or not len(outside):
        return float("nan")
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else 0.0


def mean_iou(found: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of the region with the map above a threshold, mean over thresholds.

    The map is scaled to 0..1 first [ours: attention has no fixed range as BioViL's cosine has].

    Args:
      found: [h, w] float.
      mask: [h, w] bool.
    """
    low, high = float(found.min()), float(found.max())
    if high == low:
        return 0.0
    scaled = (found - low) / (high - low)
    size, overlaps = np.count_nonzero(mask), []
    for threshold in IOU_THRESHOLDS:
        above = scaled > threshold
        both = np.count_nonzero(above & mask)
        overlaps.append(both / max(np.count_nonzero(above) + size - both, 1))
    return float(np.mean(overlaps))
