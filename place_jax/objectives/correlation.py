"""CCE, cross-modal correlation exploration: how an image's patches correlate, given its report.

The targets are ours: correlations or covariances of the patches' pixels, or of the features that a
moving average of the image encoder has for them.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive
from place_jax.outputs import Outputs

# Grey levels out of 255. Rounding to 8 bits alone spreads a patch by 0.29: below one level, what
# correlates is noise. Padding is exactly flat.
FLAT_SPREAD = 1.0
# Of features, whose scale is about 1.
FLAT_FEATURES = 1e-3
# Huber's delta. Errors of correlations are at most 2, and nearly always below 1: there the loss is
# half the squared error, whose best predictor is the conditional mean that R^2 is about.
HUBER_DELTA = 1.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CorrelationPairs:
    """Targets, predictions and which pairs are scored, all [B, N, N]."""

    target: Array
    predicted: Array
    scored: Array


def pixel_vectors(
    image: Array, patch_size: int, centre: str, dtype: jnp.dtype = jnp.float32
) -> tuple[Array, Array]:
    """One vector of pixels for each patch, row by row.

    Args:
      image: [B, H, W, 1] uint8, H and W multiples of `patch_size`.
      patch_size: pixels.
      centre: "patch": less the patch's own mean, so that texture is compared. "image": less the
        mean over the image's textured patches, so that brightness is compared too, which is what
        an opacity changes, and reports speak of.
      dtype: of the computation.

    Returns:
      [B, N, patch_size^2]; and [B, N] bool, flat: the patch's pixels spread by less than
      FLAT_SPREAD.
    """
    examples, height, width = image.shape[:3]
    rows, columns = height // patch_size, width // patch_size
    patches = image.astype(dtype).reshape(examples, rows, patch_size, columns, patch_size)
    patches = patches.transpose(0, 1, 3, 2, 4).reshape(examples, rows * columns, -1)
    own = jnp.mean(patches, axis=-1, keepdims=True)
    flat = jnp.mean(jnp.square(patches - own), axis=-1, keepdims=True) < FLAT_SPREAD**2
    if centre == "image":
        textured = jnp.maximum(jnp.sum(~flat, axis=1, keepdims=True), 1)
        own = jnp.sum(jnp.where(flat, 0, own), axis=1, keepdims=True) / textured
    return patches - own, flat[..., 0]


def feature_vectors(tokens: Array, present: Array) -> tuple[Array, Array]:
    """Tokens less what all images have at that patch, their mean over the batch.

    Ours, because without it anatomy, the same in all, is nearly all that features have in common.

    Args:
      tokens: [B, N, D].
      present: [B] bool, the examples that count.

    Returns:
      [B, N, D]; and [B, N] bool, flat: nothing is left but rounding.
    """
    tokens = contrastive.at_least_float32(tokens)
    weight = present.astype(tokens.dtype)[:, None, None]
    mean = jnp.sum(tokens * weight, axis=0) / jnp.maximum(jnp.sum(weight), 1)
    vectors = tokens - mean
    return vectors, jnp.mean(jnp.square(vectors), axis=-1) < FLAT_FEATURES**2


def second_moments(vectors: Array, flat: Array, statistic: str) -> Array:
    """How the patches' vectors go together, pair by pair.

    Of "correlation" the cosine <x_n, x_m> / (|x_n| |x_m|); of "covariance" <x_n, x_m> over the mean
    of |x|^2 over the image's patches, so that exposure cancels and the diagonal is 1 on average.

    Args:
      vectors: [B, N, P], centred.
      flat: [B, N] bool.
      statistic: "correlation" or "covariance".

    Returns:
      [B, N, N], 0 in the rows and columns of flat patches.
    """
    flat = flat[..., None]
    square = jnp.where(flat, 0, jnp.sum(jnp.square(vectors), axis=-1, keepdims=True))
    if statistic == "covariance":
        textured = jnp.maximum(jnp.sum(~flat, axis=1, keepdims=True), 1)
        square = jnp.sum(square, axis=1, keepdims=True) / textured
    vectors = jnp.where(flat, 0, vectors * jax.lax.rsqrt(jnp.where(square > 0, square, 1)))
    return jnp.einsum("bnp,bmp->bnm", vectors, vectors, precision=contrastive.HIGHEST)


def correlation_targets(outputs: Outputs, batch: dict, config: ConfigDict) -> tuple[Array, Array]:
    """How an image's patches go together, in its pixels or in target_tokens.

    Returns:
      [B, N, N]; and [B, N] bool, flat, whose rows and columns are 0.
    """
    settings = config.model.correlation
    if settings.target == "pixels":
        dtype = contrastive.at_least_float32(outputs.correlation_factors).dtype
        patch_size = config.model.image.patch_size
        vectors, flat = pixel_vectors(batch["image"], patch_size, settings.centre, dtype)
    else:
        vectors, flat = feature_vectors(outputs.target_tokens, contrastive.example_mask(batch))
    return second_moments(vectors, flat, settings.statistic), flat


def mean_matrix(outputs: Outputs, batch: dict, config: ConfigDict) -> Array:
    """The batch's mean target [N, N], of each pair over the images where neither patch is flat."""
    target, flat = correlation_targets(outputs, batch, config)
    counts = ~flat[:, :, None] & ~flat[:, None, :]
    counts &= contrastive.example_mask(batch)[:, None, None]
    number = jnp.sum(counts, axis=0)
    return jnp.sum(jnp.where(counts, target, 0), axis=0) / jnp.maximum(number, 1)


def correlation_pairs(outputs: Outputs, batch: dict, config: ConfigDict) -> CorrelationPairs:
    """Sets the predicted correlations against the image's, or against those of target_tokens.

    Scored are pairs of two different patches, neither flat, by loss.correlation_pairs: "hidden"
    those of which the encoder did not see one or both, "both_hidden", or "all". Of two patches that
    it saw, the target is a function of its input, and the report has nothing to add.
    """
    factors = contrastive.at_least_float32(outputs.correlation_factors)
    target, flat = correlation_targets(outputs, batch, config)
    if target.shape[1] != factors.shape[1]:
        raise ValueError(
            f"correlation_factors of {factors.shape[1]} patches, but an image of "
            f"{batch['image'].shape[1]} x {batch['image'].shape[2]} pixels has {target.shape[1]}: "
            f"set model.image.patch_size={config.model.image.patch_size} to the encoder's"
        )
    predicted = jnp.einsum("bnr,bmr->bnm", factors, factors, precision=contrastive.HIGHEST)
    scored = ~flat[:, :, None] & ~flat[:, None, :]
    hidden = outputs.hidden_patches.astype(bool)
    if config.loss.correlation_pairs == "hidden":
        scored &= hidden[:, :, None] | hidden[:, None, :]
    elif config.loss.correlation_pairs == "both_hidden":
        scored &= hidden[:, :, None] & hidden[:, None, :]
    scored &= ~jnp.eye(target.shape[1], dtype=bool)
    scored &= contrastive.example_mask(batch)[:, None, None]
    return CorrelationPairs(target, predicted, scored)


def smooth_l1(error: Array) -> Array:
    """Huber's loss: half the square up to HUBER_DELTA, linear beyond."""
    size = jnp.abs(error)
    return jnp.where(size <= HUBER_DELTA, size * size / 2, HUBER_DELTA * (size - HUBER_DELTA / 2))


def correlation_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Smooth-L1 between z z^T and its target, a global sum over a global count.

    Args:
      outputs: correlation_factors [B, N, r], hidden_patches [B, N], target_tokens [B, N, D].
      batch: image [B, H, W, 1] uint8, example_mask [B].
      config: model.image.patch_size, model.correlation.target, .centre and .statistic,
        loss.correlation_pairs.
      step: unused.
    """
    del step
    pairs = correlation_pairs(outputs, batch, config)
    error = pairs.predicted - pairs.target
    loss = contrastive.weighted_mean(smooth_l1(error), pairs.scored)
    squared_error = contrastive.weighted_mean(jnp.square(error), pairs.scored)
    energy = contrastive.weighted_mean(jnp.square(pairs.target), pairs.scored)
    return loss, {
        "correlation/loss": loss,
        "correlation/r2_over_zero": 1 - squared_error / jnp.where(energy > 0, energy, 1),
    }


def correlation_statistics(outputs: Outputs, batch: dict, config: ConfigDict) -> dict[str, Array]:
    """Sums over a batch, to be added up over a split and given to `summarize_correlation`.

    Returns:
      Of the scored pairs: `loss`, `squared_error`, `squared_target` (scalars), `target` and
      `count` ([N, N], per pair of positions).
    """
    pairs = correlation_pairs(outputs, batch, config)
    error = pairs.predicted - pairs.target
    scored = pairs.scored.astype(error.dtype)
    return {
        "loss": jnp.sum(smooth_l1(error) * scored),
        "squared_error": jnp.sum(jnp.square(error) * scored),
        "squared_target": jnp.sum(jnp.square(pairs.target) * scored),
        "target": jnp.sum(pairs.target * scored, axis=0),
        "count": jnp.sum(scored, axis=0),
    }


def summarize_correlation(statistics: dict) -> dict[str, float]:
    """Turns summed statistics into the loss and R^2 over the mean matrix of the same split.

    R^2 is 1 - sum (C^ - C)^2 / sum (C - C_mean)^2, C_mean the mean at that pair of positions: what
    is known of anatomy at large explains nothing here. NaN where nothing was scored.
    """
    count, target = statistics["count"], statistics["target"]
    total = float(count.sum())
    if total == 0:
        return {"correlation/loss": float("nan"), "correlation/r2_over_mean": float("nan")}
    explained_by_mean = float((target**2 / count.clip(min=1)).sum())
    spread = float(statistics["squared_target"]) - explained_by_mean
    return {
        "correlation/loss": float(statistics["loss"]) / total,
        "correlation/r2_over_mean": (
            1 - float(statistics["squared_error"]) / spread if spread > 0 else float("nan")
        ),
    }
