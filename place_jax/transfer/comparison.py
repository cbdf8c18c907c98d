"""Paired tests: two sets of scores of the same patients, replicate by replicate."""

from collections.abc import Callable, Mapping

import numpy as np

from place_jax.metrics.scores import Scores

# What two checkpoints must share for their replicates to be of the same examples.
_COUNTS = ("sentences", "pool_size", "examples")


def compare(
    ours: Scores,
    theirs: Scores,
    rename: Callable[[str], str],
    keep: Callable[[str], bool] = lambda name: True,
) -> Scores:
    """Differences of the scores that both have, with their intervals and p-values.

    Both must come of `resample` with the same seed and the same patients.

    Args:
      ours: what it is subtracted from.
      theirs: what is subtracted.
      rename: from a score's name to that of the difference.
      keep: which scores to compare.

    Returns:
      `NAME`, its interval, and `NAME_p`: twice the share of replicates on the other side of zero
      (a two-sided bootstrap test), at least 2 / (R + 1).

    Raises:
      ValueError: they are not of the same examples.
    """
    for name in sorted(ours.keys() & theirs.keys()):
        if name.rpartition("/")[2] in _COUNTS and ours[name] != theirs[name]:
            raise ValueError(
                f"{name} is {ours[name]:g} for one checkpoint and {theirs[name]:g} for the other: "
                "a paired test needs the same examples; train both with the same data.max_tokens "
                "and data.max_sentences"
            )
    out = Scores()
    for name, replicates in ours.replicates.items():
        other = theirs.replicates.get(name)
        if other is None or not keep(name):
            continue
        difference = replicates - other
        out.add(rename(name), ours[name] - theirs[name], difference)
        out[f"{rename(name)}_p"] = two_sided_p(difference)
    return out


def two_sided_p(difference: np.ndarray) -> float:
    """Of replicates [R] of a difference; 1 where none has a value."""
    difference = difference[~np.isnan(difference)]
    rarer = min(np.count_nonzero(difference <= 0), np.count_nonzero(difference >= 0))
    return float(min(1.0, 2 * (rarer + 1) / (len(difference) + 1)))


def over_untrained(trained: Scores, untrained: Scores) -> Mapping[str, float]:
    """The untrained scores, named so, and how far the macro means are above them."""
    out = untrained.prefixed("untrained")
    out.details.clear()  # pictures are of what was trained
    out |= compare(
        trained,
        untrained,
        rename=lambda name: f"{name}_over_untrained",
        keep=lambda name: "macro_" in name,
    )
    return out
