"""The objectives once more, in float64 NumPy loops written from their formulas, and slow."""

import math

import numpy as np


def _log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def info_nce(logits, positives):
    """(loss, floor, top-1) averaged over both directions of a square table without masked rows."""
    loss, floor, hits, anchors = 0.0, 0.0, 0, 0
    for table, hit_table in ((logits, positives), (logits.T, positives.T)):
        for row, hit in zip(table, hit_table, strict=True):
            log_total = _log_sum_exp(list(row))
            own = [value - log_total for value, positive in zip(row, hit, strict=True) if positive]
            loss -= sum(own) / len(own)
            floor += math.log(len(own))
            others = [value for value, positive in zip(row, hit, strict=True) if not positive]
            hits += max(own) + log_total > max(others, default=-math.inf)
            anchors += 1
    return loss / anchors, floor / anchors, hits / anchors


def instance(image, report, report_statement, example_mask, scale):
    keep = np.flatnonzero(example_mask)
    image, report = np.float64(image)[keep], np.float64(report)[keep]
    names = [tuple(row) for row in report_statement[keep]]
    positives = np.array([[one == other for other in names] for one in names])
    return info_nce(scale * image @ report.T, positives)


def clip(image, report, example_mask, scale):
    keep = np.flatnonzero(example_mask)
    image, report = np.float64(image)[keep], np.float64(report)[keep]
    loss, _, top1 = info_nce(scale * image @ report.T, np.eye(len(keep), dtype=bool))
    return loss, top1


def siglip(image, report, example_mask, scale, bias):
    keep = np.flatnonzero(example_mask)
    loss = 0.0
    for i in keep:
        for j in keep:
            logit = scale * float(np.dot(np.float64(image[i]), np.float64(report[j]))) + bias
            loss += math.log1p(math.exp(-logit if i == j else logit)) / len(keep)
    return loss


def convirt(image, report, example_mask, temperature, image_weight):
    keep = np.flatnonzero(example_mask)
    loss = 0.0
    for i in keep:
        products = {j: np.float64(image[i]) @ np.float64(report[j]) / temperature for j in keep}
        loss += image_weight * (_log_sum_exp(list(products.values())) - products[i]) / len(keep)
        products = {j: np.float64(image[j]) @ np.float64(report[i]) / temperature for j in keep}
        loss += (
            (1 - image_weight) * (_log_sum_exp(list(products.values())) - products[i]) / len(keep)
        )
    return loss


def patch_correlation(image, patch_size):
    """One image [H, W] -> np.corrcoef of its patches' pixels [N, N], and which are flat [N]."""
    patches = [
        np.float64(image[y : y + patch_size, x : x + patch_size]).ravel()
        for y in range(0, image.shape[0], patch_size)
        for x in range(0, image.shape[1], patch_size)
    ]
    flat = np.array([patch.std() < 1.0 for patch in patches])
    correlation = np.zeros((len(patches), len(patches)))
    for n, one in enumerate(patches):
        for m, other in enumerate(patches):
            if not flat[n] and not flat[m]:
                correlation[n, m] = np.corrcoef(one, other)[0, 1]
    return correlation, flat


def patch_vectors(image, patch_size, centre):
    """One image [H, W] -> pixels [N, P], less the mean of the patch or of the image, flat [N]."""
    patches = [
        np.float64(image[y : y + patch_size, x : x + patch_size]).ravel()
        for y in range(0, image.shape[0], patch_size)
        for x in range(0, image.shape[1], patch_size)
    ]
    flat = np.array([patch.std() < 1.0 for patch in patches])
    kept = [patch for patch, is_flat in zip(patches, flat, strict=True) if not is_flat]
    if centre == "image":
        return [patch - (np.mean(kept) if kept else 0) for patch in patches], flat
    return [patch - patch.mean() for patch in patches], flat


def patch_moments(vectors, flat, statistic):
    """Vectors [N, P] of one image -> [N, N] by pairs."""
    energy = [vector @ vector for vector, is_flat in zip(vectors, flat, strict=True) if not is_flat]
    moments = np.zeros((len(vectors), len(vectors)))
    for n, one in enumerate(vectors):
        for m, other in enumerate(vectors):
            if flat[n] or flat[m]:
                continue
            if statistic == "covariance":
                moments[n, m] = one @ other / np.mean(energy)
            else:
                moments[n, m] = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return moments


def correlation(factors, targets, hidden, example_mask, *, pairs="hidden"):
    """(loss, [(n, m, target, predicted)]) over the scored pairs.

    `targets` has for each example its matrix [N, N] and its flat patches [N].
    """
    scored = []
    for i in np.flatnonzero(example_mask):
        target, flat = targets[i]
        for n in range(len(flat)):
            for m in range(len(flat)):
                unseen = int(hidden[i, n]) + int(hidden[i, m])
                enough = unseen >= {"hidden": 1, "both_hidden": 2, "all": 0}[pairs]
                if enough and not flat[n] and not flat[m] and n != m:
                    predicted = float(np.dot(np.float64(factors[i, n]), np.float64(factors[i, m])))
                    scored.append((n, m, target[n, m], predicted))
    errors = [abs(predicted - target) for _, _, target, predicted in scored]
    losses = [error**2 / 2 if error < 1 else error - 0.5 for error in errors]
    return (sum(losses) / len(losses) if losses else 0.0), scored


def numeric_gradient(function, values, step=1e-6):
    """Central differences of a scalar function at float64 `values`, entry by entry."""
    values = np.array(values, np.float64)
    gradient = np.zeros_like(values)
    for where in np.ndindex(values.shape):
        here = values[where]
        values[where] = here + step
        above = function(values)
        values[where] = here - step
        below = function(values)
        values[where] = here
        gradient[where] = (above - below) / (2 * step)
    return gradient


def assert_slopes(found, function, values, *, step=1e-6, atol=1e-8, err_msg=""):
    """A gradient against central differences along three drawn directions: quick, of any shape."""
    values = np.array(values, np.float64)
    rng = np.random.default_rng(values.size)
    for _ in range(3):
        direction = rng.normal(size=values.shape)
        above, below = (function(values + way * step * direction) for way in (1, -1))
        slope = np.sum(direction * np.asarray(found))
        np.testing.assert_allclose(slope, (above - below) / (2 * step), atol=atol, err_msg=err_msg)
