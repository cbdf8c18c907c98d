"""GLoRIA, a baseline: images and reports contrasted as wholes, and word by word."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from place_jax.objectives import contrastive, instance
from place_jax.outputs import Outputs

# Every image attends with every report's words: B x B x L x N similarities. They are never in
# memory together, but at ViT-B/16's 196 patches and 128 tokens, 256 pairs are 0.4 TFLOP of losses a
# step, as much as the image encoder takes for 12 of them. The paper's batch is 48.
LARGEST_BATCH = 256
GLOBAL_TAU = 0.1
_REGION_SCALE, _WORD_SCALE, _MATCH_SCALE = 4.0, 5.0, 10.0  # 1 / tau_1, 1 / tau_2, 1 / tau_3


def gloria_loss(
    outputs: Outputs, batch: dict, config: ConfigDict, step: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """The loss of GLoRIA (Huang et al., ICCV 2021) over the global batch.

    With CE the cross entropy of a row's own column, Z from `word_match`:

      L = CE(10 <u_i, w_j>) + CE of its transpose + CE(10 Z_ij) + CE of its transpose

    loss.protocol "strict" is the paper's; "mgca_compat" its code's, where two things differ: see
    `word_match`; and [CLS], the report token, counts as a word, as the slice of tokens that is
    taken begins with it (gloria_loss.py, local_loss). No [SEP] takes part in either. Ours: a word
    is a word piece (the code adds the pieces of a word up).

    Args:
      outputs: image_embedding [B, E], report_embedding [B, E], patch_embedding [B, N, E],
        word_embedding [B, L, E], word_mask [B, L].
      batch: example_mask [B]; masked rows are neither rows nor columns. A report without words
        takes part as a whole and not word by word.
      config: loss.protocol, loss.contrast, loss.memory_bytes.
      step: unused.

    Raises:
      ValueError: the batch is over LARGEST_BATCH.
    """
    del step
    contrastive.check_batch("gloria", outputs.image_embedding.shape[0], LARGEST_BATCH)
    compat = config.loss.protocol == "mgca_compat"
    present = contrastive.example_mask(batch)
    image = contrastive.at_least_float32(outputs.image_embedding)
    report = contrastive.at_least_float32(outputs.report_embedding)
    identity = instance.own_identity(image)
    scale = jnp.asarray(1 / GLOBAL_TAU, image.dtype)
    whole = contrastive.both_ways(
        *instance.contrast_embeddings(image, report, identity, present, scale, config)
    )
    words = outputs.word_mask.astype(bool)
    if compat:
        words = words | (jnp.arange(words.shape[1]) == 0)
    match = word_match(
        contrastive.at_least_float32(outputs.patch_embedding),
        contrastive.at_least_float32(outputs.word_embedding),
        words,
        compat=compat,
    )
    readable = present & jnp.any(outputs.word_mask, axis=1)
    local = contrastive.symmetric_terms(
        _MATCH_SCALE * match, jnp.eye(len(image), dtype=bool), readable
    )
    loss = 2 * whole.loss + 2 * local.loss
    return loss, {
        "loss": loss,
        "gloria/loss": loss,
        "gloria/loss_global": 2 * whole.loss,
        "gloria/loss_local": 2 * local.loss,
        "gloria/top1": whole.hit,
        "gloria/top1_local": local.hit,
    }


def word_match(patches: Array, words: Array, word_mask: Array, *, compat: bool) -> Array:
    """Z_ij = 1/5 log sum_m exp(5 cos(c_m, w_m)) over the words m of report j, [B, B].

    c_m = sum_n a_mn p_n is what image i shows of the word, a = softmax over regions n of 4 <w_m,
    p_n> (the paper's equations 3 to 5; its taus divide, and its values 4, 5 and 10 multiply in its
    code, as here). In the code, which `compat` follows, a is the softmax over regions of 4 A_mn
    with A the softmax over the words m of <w_m, p_n>, and Z lacks its factor 1/5.

    Reports are taken one at a time and computed again in the backward pass.

    Args:
      patches: [B, N, E], not normalised.
      words: [B, L, E], not normalised.
      word_mask: [B, L] bool.
      compat: as the code has it.
    """

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def against_all_images(patches: Array, words: Array, mask: Array) -> Array:
        similarity = jnp.einsum("me,bne->bmn", words, patches, precision=contrastive.HIGHEST)
        if compat:
            masked = jnp.where(mask[:, None], similarity, jnp.finfo(similarity.dtype).min)
            similarity = jax.nn.softmax(masked, axis=1)
        attention = jax.nn.softmax(_REGION_SCALE * similarity, axis=2)
        shown = jnp.einsum("bmn,bne->bme", attention, patches, precision=contrastive.HIGHEST)
        cosine = contrastive.cosine(shown, words)
        logits = jnp.where(mask, _WORD_SCALE * cosine, -jnp.inf)
        match = jax.nn.logsumexp(logits, axis=1, where=mask)
        match = jnp.where(jnp.any(mask), match, 0)
        return match if compat else match / _WORD_SCALE

    _, columns = jax.lax.scan(
        lambda carry, report: (carry, against_all_images(patches, *report)),
        None,
        (words, word_mask),
    )
    return columns.T
