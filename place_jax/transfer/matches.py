"""How well V-PORs match sentences, in NumPy, as PCMA scores them; a null V-POR takes no part."""

import numpy as np


def match(v_por: np.ndarray, t_por: np.ndarray, *, tau_m: float) -> np.ndarray:
    """[n, Q, E] and [s, E] to PCMA's scores [n, s], softly, or at tau_m 0 by the best query."""
    cosine = np.einsum("nqe,se->nqs", v_por, t_por).astype(np.float64)
    if tau_m == 0:
        return cosine.max(axis=1)
    cosine /= tau_m
    top = cosine.max(axis=1)
    return tau_m * (top + np.log(np.exp(cosine - top[:, None]).sum(axis=1)))
