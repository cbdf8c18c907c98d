"""MGCA, a baseline: reports as wholes, tokens within a pair, and prototypes across the batch."""

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, instance
from place_jax.outputs import Outputs

# Its tokens meet within their own pair and its prototypes one by one: nothing grows faster than
# B x B scalars, as in CLIP. The paper's batch is 144.
LARGEST_BATCH = 16384
# Published runs contrast and balance within each of two GPUs (when the code chooses its Sinkhorn,
# no process group is there yet); mgca_compat does so in groups of this many.
COMPAT_GROUP = 72
GLOBAL_TAU, _LOCAL_TAU, _PROTOTYPE_TAU = 0.07, 0.1, 0.2
_SINKHORN_EPSILON, _SINKHORN_ITERATIONS = 0.05, 3
# Below any logit. Of a report without words all are absent, and what weighs 0 must be finite: two
# of the lowest floats sum to minus infinity, and 0 times that is no number.
_ABSENT = -1e30
_CLIPPED = (0.1, 0.9)  # quantiles between which attention weights are kept


def mgca_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of MGCA (Wang et al., NeurIPS 2022, arXiv 2210.06044): ITA + CTA + CPA.

    loss.protocol "strict" is the paper's; "mgca_compat" its code's, which differs so:
      - ITA is the sum of both directions, not their mean;
      - where the batch is larger than COMPAT_GROUP, ITA contrasts and CPA balances within groups of
        that many pairs (within each GPU);
      - in CTA the report's last [SEP] and padding stay in the denominators, patches attend to that
        [SEP] as well, and what they attend to is not normalised (for a ViT).

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], patch_embedding [B, N, E],
        word_embedding [B, L, E], word_mask [B, L], patch_attention [B, N], word_attention [B, L],
        prototypes [K, E] unit rows.
      batch: example_mask [B].
      config: loss.protocol, loss.prototype_freeze_steps: for so many steps the prototypes are not
        trained (in the peers' recipe, one epoch); loss.contrast, loss.memory_bytes.
      step: of training; None trains them.

    Raises:
      ValueError: the batch is over LARGEST_BATCH, or under mgca_compat no multiple of its group.
    """
    contrastive.check_batch("mgca", outputs.image_embedding.shape[0], LARGEST_BATCH)
    compat = config.loss.protocol == "mgca_compat"
    present = contrastive.example_mask(batch)
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    group = compat_group(len(image)) if compat else len(image)
    if compat:
        whole = _grouped_terms(image, report, present, group)
    else:
        scale = jnp.asarray(1 / GLOBAL_TAU, image.dtype)
        identity = instance.own_identity(image)
        whole = contrastive.both_ways(
            *instance.contrast_embeddings(image, report, identity, present, scale, config)
        )
    tokens = token_loss(outputs, present, compat=compat)
    prototypes = contrastive.at_least_float32(outputs.prototypes)
    if step is not None and config.loss.prototype_freeze_steps > 0:
        frozen = step < config.loss.prototype_freeze_steps
        prototypes = jnp.where(frozen, jax.lax.stop_gradient(prototypes), prototypes)
    diseases = prototype_loss(image, report, prototypes, present, group=group)
    alignment = 2 * whole.loss if compat else whole.loss
    loss = alignment + tokens + diseases
    return loss, {
        "loss": loss,
        "mgca/loss": loss,
        "mgca/loss_instance": alignment,
        "mgca/loss_tokens": tokens,
        "mgca/loss_prototypes": diseases,
        "mgca/top1": whole.hit,
    }


def compat_group(size: int, key: str = "batch_size") -> int:
    """How many pairs of a batch mgca_compat contrasts together.

    Raises:
      ValueError: the batch is over COMPAT_GROUP and no multiple of it.
    """
    group = min(COMPAT_GROUP, size)
    if size % group:
        raise ValueError(
            f"{key}={size} does not split into the groups of {group} that "
            f"loss.protocol=mgca_compat contrasts within: use a multiple of {group}, or fewer"
        )
    return group


def _grouped(x: Array, group: int) -> Array:
    """[B, ...] to [B / group, group, ...]."""
    return x.reshape(-1, group, *x.shape[1:])


def _grouped_terms(
    image: Array, report: Array, present: Array, group: int
) -> contrastive.AnchorTerms:
    """InfoNCE within each run of `group` pairs, the mean over all pairs that are present."""

    def terms(image: Array, report: Array, present: Array) -> tuple:
        logits = jnp.matmul(image, report.T, precision=contrastive.HIGHEST) / GLOBAL_TAU
        own = jnp.eye(group, dtype=bool)
        return contrastive.symmetric_terms(logits, own, present), jnp.sum(present)

    found, weight = jax.vmap(terms)(*(_grouped(x, group) for x in (image, report, present)))
    return contrastive.mean_terms(found, weight)


def token_loss(outputs: Outputs, present: Array, *, compat: bool) -> Array:
    """CTA: within a pair, each word against what the image shows of it, and each patch likewise.

    With o_m = norm(sum_n softmax_n(<w_m, p_n> / tau) p_n) for word m, G = <w_m, o_k> / tau and
    weights omega_m summing to 1 over the report's words,

      L_words = 1/2 sum_m omega_m [CE(G)_m + CE(G^T)_m],

    L_patches the same with the parts exchanged, CTA = L_words + L_patches, a mean over reports
    that have words. Weights are the attention of [CLS] in each encoder's last block, clipped
    between quantiles, without gradient. By `compat` other tokens take part beside words, and
    weigh nothing: see `_with_ending`.
    """
    words, patches = (
        contrastive.unit(contrastive.at_least_float32(x))
        for x in (outputs.word_embedding, outputs.patch_embedding)
    )
    mask = outputs.word_mask.astype(bool)
    every_patch = jnp.ones(patches.shape[:2], bool)
    similarity = _products("bme,bne->bmn", words, patches) / _LOCAL_TAU
    shown = _products("bmn,bne->bme", jax.nn.softmax(similarity, axis=2), patches)
    read, candidates = _with_ending(mask) if compat else (mask, mask)
    over_text = jnp.where(read[:, :, None], similarity, jnp.finfo(similarity.dtype).min)
    said = _products("bmn,bme->bne", jax.nn.softmax(over_text, axis=1), words)
    if not compat:
        said = contrastive.unit(said)
    loss_words = _matched(
        words, contrastive.unit(shown), candidates, _weights(outputs.word_attention, mask)
    )
    loss_patches = _matched(
        patches, said, every_patch, _weights(outputs.patch_attention, every_patch)
    )
    return contrastive.weighted_mean(loss_words + loss_patches, present & jnp.any(mask, axis=1))


def _with_ending(words: Array) -> tuple[Array, Array]:
    """Which tokens patches attend to, and which are in the denominators; both [B, L] bool.

    The peers' code drops [CLS] (encoder.py, all_feat[:, 1:]) and masks what is "[PAD]" where
    patches attend, and nothing elsewhere. Its reports have one [SEP], at their end: here the last
    sentence's stands for it, and those of the sentences before take no part.
    """
    later = jnp.cumsum(words[:, ::-1], axis=1)[:, ::-1]
    ending = later == 0  # the last [SEP], then padding
    last_sep = ending & jnp.pad(words[:, :-1], ((0, 0), (1, 0)))
    return words | last_sep, words | ending


def _matched(own: Array, context: Array, candidates: Array, weights: Array) -> Array:
    """[B]: 1/2 sum_m weights_m [CE_row + CE_column]_m of <own_m, context_k> / tau."""
    table = _products("bme,bke->bmk", own, context) / _LOCAL_TAU
    diagonal = jnp.diagonal(table, axis1=1, axis2=2)
    rows = jax.nn.logsumexp(jnp.where(candidates[:, None, :], table, _ABSENT), axis=2)
    columns = jax.nn.logsumexp(jnp.where(candidates[:, :, None], table, _ABSENT), axis=1)
    return jnp.sum(weights * (rows + columns - 2 * diagonal), axis=1) / 2


def _weights(attention: Array, mask: Array) -> Array:
    """Attention clipped between two quantiles of its non-zero entries, summing to 1 over `mask`."""
    attention = jax.lax.stop_gradient(contrastive.at_least_float32(attention))
    nonzero = mask & (attention > 0)
    entries = jnp.where(nonzero, attention, jnp.nan)
    low, high = (jnp.nanquantile(entries, q, axis=1, keepdims=True) for q in _CLIPPED)
    clipped = jnp.where(nonzero, jnp.clip(attention, low, high), 0)
    total = jnp.sum(clipped, axis=1, keepdims=True)
    return clipped / jnp.where(total > 0, total, 1)


def prototype_loss(
    image: Array, report: Array, prototypes: Array, present: Array, *, group: int
) -> Array:
    """CPA: each modality predicts the other's assignment to prototypes (after SwAV).

    With q = Sinkhorn(exp(<z, c> / 0.05)), no gradient, and p = softmax over prototypes of
    <z, c> / 0.2, the mean over pairs of -1/2 [sum q_image log p_report + sum q_report log p_image].
    Each run of `group` pairs is balanced by itself.
    """
    scores = [_products("be,ke->bk", z, prototypes) for z in (image, report)]
    targets = [
        jax.vmap(balanced_assignment)(_grouped(s, group), _grouped(present, group))
        for s in jax.lax.stop_gradient(scores)
    ]
    targets = [q.reshape(s.shape) for q, s in zip(targets, scores, strict=True)]
    log_p = [jax.nn.log_softmax(s / _PROTOTYPE_TAU, axis=1) for s in scores]
    crossed = jnp.sum(targets[0] * log_p[1] + targets[1] * log_p[0], axis=1)
    return contrastive.weighted_mean(-crossed / 2, present)


def balanced_assignment(scores: Array, present: Array) -> Array:
    """Three rounds of Sinkhorn: rows [B, K] that sum to 1 and use all prototypes about equally.

    In logarithms, which change nothing but the range. Absent examples count for nothing.
    """
    log_q = jnp.where(present[:, None], scores / _SINKHORN_EPSILON, -jnp.inf)
    for _ in range(_SINKHORN_ITERATIONS):
        log_q = log_q - jax.nn.logsumexp(log_q, axis=0, keepdims=True)
        rows = jax.nn.logsumexp(log_q, axis=1, keepdims=True)
        log_q = jnp.where(present[:, None], log_q - rows, -jnp.inf)
    return jnp.exp(log_q)


def _products(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(equation, a, b, precision=contrastive.HIGHEST)
