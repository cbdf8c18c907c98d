"""What a model hands to the objectives. An objective never sees a module, a model never a loss."""

import dataclasses

import jax
from jax import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outputs:
    """Activations of one forward pass over B pairs.

    B pairs, N patches, L text tokens, S sentences, Q queries, D width, E joint width, r rank.

    Attributes:
      image_embedding: [B, E] L2-normalised.
      patch_tokens: [B, N, D] of the image encoder, of the whole image.
      v_por: [B, Q, E] L2-normalised visual pathology observation representations.
      null_v_por: [E] L2-normalised, the same for every image, for sentences that speak of nothing
        visible; None where the model has none.
      v_por_attention: [B, Q, N] cross-attention of the extractor's last layer, mean over heads;
        rows sum to 1.
      report_embedding: [B, E] L2-normalised.
      t_por: [B, S, E] L2-normalised textual pathology observation representations; rows of
        absent sentences are arbitrary but finite.
      token_states: [B, L, D] of the text encoder.
      correlation_factors: [B, N, r] rows z, so that z z^T is, off the diagonal, the predicted
        correlation or covariance; None where the correlation decoder was not run.
      hidden_patches: [B, N] bool, patches that the encoder did not see when it made
        correlation_factors; None likewise.
      target_tokens: [B, N, D] of a moving average of the image encoder, no gradient; None where
        the correlations of pixels are the target.
      patch_embedding: [B, N, E] local projection of patch tokens, not normalised; None where the
        model has no local projections (model.local), as are the next four.
      patch_attention: [B, N] of the image's class token to patches, last block, mean over heads;
        uniform where there is no class token.
      word_embedding: [B, L, E] local projection of token states, not normalised.
      word_attention: [B, L] of the report token, last block, mean over heads.
      word_mask: [B, L] bool, word pieces: neither the report token, nor [SEP], nor padding.
      prototypes: [K, E] unit rows; None unless model.local is "prototypes".
      logit_scales: objective name -> scalar, already exponentiated and clamped.
      logit_biases: objective name -> scalar that is added to its logits.
    """

    image_embedding: Array | None = None
    patch_tokens: Array | None = None
    v_por: Array | None = None
    null_v_por: Array | None = None
    v_por_attention: Array | None = None
    report_embedding: Array | None = None
    t_por: Array | None = None
    token_states: Array | None = None
    correlation_factors: Array | None = None
    hidden_patches: Array | None = None
    target_tokens: Array | None = None
    patch_embedding: Array | None = None
    patch_attention: Array | None = None
    word_embedding: Array | None = None
    word_attention: Array | None = None
    word_mask: Array | None = None
    prototypes: Array | None = None
    logit_scales: dict[str, Array] = dataclasses.field(default_factory=dict)
    logit_biases: dict[str, Array] = dataclasses.field(default_factory=dict)
