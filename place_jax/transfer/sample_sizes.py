"""What a score was taken on: how many examples and patients, and how often each label is there."""

from collections.abc import Sequence

import numpy as np

from data_pipelines.records import Label
from place_jax.metrics.scores import Scores
from place_jax.transfer.names import snake_case

FEW_PATIENTS = 100  # [ours] below, an interval is wide and the bootstrap itself is rough


def sample_sizes(
    patient_id: Sequence[str], labels: np.ndarray | None = None, label_names: Sequence[str] = ()
) -> Scores:
    """`examples`, `patients`, and `positives/LABEL` of labels [n, K], whether scored or not."""
    out = Scores({"examples": float(len(patient_id)), "patients": float(len(set(patient_id)))})
    for k, name in enumerate(label_names):
        out[f"positives/{snake_case(name)}"] = float((labels[:, k] == Label.POSITIVE).sum())
    return out
