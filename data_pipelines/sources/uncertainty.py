"""What an uncertain label counts as. Sources keep it as it is; an evaluation chooses."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.records import BadInput, Label

# The best policy of each class on validation (Irvin et al., arXiv 1901.07031); the code of MGCA,
# which tables of that line come from, has the same.
UNCERTAIN_AS: Mapping[str, Label] = {
    "Atelectasis": Label.POSITIVE,
    "Cardiomegaly": Label.NEGATIVE,
    "Consolidation": Label.NEGATIVE,
    "Edema": Label.POSITIVE,
    "Pleural Effusion": Label.POSITIVE,
}
POLICIES = ("by_class", "zeros", "ones", "ignore")


def apply_uncertain_policy(
    labels: np.ndarray, label_names: Sequence[str], policy: str = "by_class"
) -> np.ndarray:
    """[n, K] labels without an uncertain one.

    Args:
      labels: [n, K] of `records.Label`; left as it is.
      label_names: K.
      policy: by_class follows UNCERTAIN_AS, and leaves out other classes' uncertain labels; zeros
        and ones count all as absent or present; ignore leaves all out (U-Zeros, U-Ones and U-Ignore
        of the paper). What is left out is MISSING.

    Raises:
      BadInput: unknown_policy.
    """
    if policy not in POLICIES:
        raise BadInput("unknown_policy", f"policy={policy!r} is none of {', '.join(POLICIES)}")
    every = {"zeros": Label.NEGATIVE, "ones": Label.POSITIVE}.get(policy, Label.MISSING)
    by_class = UNCERTAIN_AS if policy == "by_class" else {}
    instead = np.array([by_class.get(name, every) for name in label_names], labels.dtype)
    return np.where(labels == Label.UNCERTAIN, instead, labels)
