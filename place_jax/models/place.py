"""PLACE: both towers, the observation extractor, the correlation decoder, the projections."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.bert import Bert, sentence_means
from place_jax.models.correlation_decoder import CorrelationDecoder
from place_jax.models.hiding import draw_hiding
from place_jax.models.layers import Numerics, Remat, at_least_float32, option, unit_norm
from place_jax.models.observation_extractor import Null, ObservationExtractor, Reads
from place_jax.models.projection import (
    LOGIT_SCALE_INIT,
    SIGLIP_BIAS_INIT,
    SIGLIP_SCALE_INIT,
    LogitBiases,
    LogitScales,
    Projection,
)
from place_jax.models.vision_transformer import VisionTransformer


class Place(nnx.Module):
    """All that is trained. `config` is config.model."""

    def __init__(
        self, config: FrozenConfigDict, image_size: int, vocab_size: int, *, rngs: nnx.Rngs
    ):
        numerics = Numerics(config.dtype, config.param_dtype, option(Remat, "remat", config.remat))
        image, text = config.image, config.text
        observation, correlation = config.observation, config.correlation
        side = image_size // image.patch_size
        self.mask_ratio = correlation.mask_ratio
        self.patch_size = image.patch_size
        self.reads = option(Reads, "observation.reads", observation.reads)
        self.image = VisionTransformer(image, image_size, numerics, rngs=rngs)
        self.text = Bert(text, vocab_size, numerics, rngs=rngs)
        self.observation = ObservationExtractor(observation, image.width, numerics, rngs=rngs)
        self.correlation = CorrelationDecoder(
            correlation, image.width, text.width, (side, side), numerics, rngs=rngs
        )
        joint = config.joint_dim
        self.image_projection = Projection(image.width, joint, numerics, rngs=rngs)
        self.v_por_projection = Projection(
            observation.width, joint, numerics, rngs=rngs, positions=observation.num_queries
        )
        self.has_null = option(Null, "observation.null", observation.null) is Null.LEARNED
        if self.has_null:
            self.null_v_por = nnx.Param(
                nnx.initializers.normal(joint**-0.5)(rngs.params(), (joint,), numerics.param_dtype)
            )
        self.report_projection = Projection(text.width, joint, numerics, rngs=rngs)
        self.t_por_projection = Projection(text.width, joint, numerics, rngs=rngs)
        scales = {"instance": LOGIT_SCALE_INIT, "pathological": LOGIT_SCALE_INIT}
        biases = {}
        if config.get("logits", "scale") == "scale_and_bias":
            scales["siglip"], biases["siglip"] = SIGLIP_SCALE_INIT, SIGLIP_BIAS_INIT
        self.logit_scale = LogitScales(scales, numerics)
        self.logit_bias = LogitBiases(biases, numerics)

    def image_features(self, image: Array) -> dict[str, Array]:
        """Of normalised pixels [B, H, W, 1], before projection.

        Returns:
          patch_tokens [B, N, D], image [B, D], v_por [B, Q, D], v_por_attention [B, Q, N].
        """
        local = self.image.local_tokens(image)
        tokens = self.image.mix(local)
        v_por, attention = self.observation(local if self.reads is Reads.STEM else tokens)
        return {
            "patch_tokens": tokens,
            "image": jnp.mean(at_least_float32(tokens), axis=1),
            "v_por": v_por,
            "v_por_attention": attention,
        }

    def null_observation(self) -> Array | None:
        """The null V-POR [E] of unit length, or None."""
        return unit_norm(self.null_v_por[...]) if self.has_null else None

    def text_features(
        self, tokens: Array, sentence_of_token: Array, num_sentences: int
    ) -> dict[str, Array]:
        """Of tokens [B, L], before projection.

        Returns:
          token_states [B, L, D], report [B, D], t_por [B, S, D].
        """
        states = self.text(tokens, sentence_of_token)
        return {
            "token_states": states,
            "report": states[:, 0],
            "t_por": sentence_means(states, sentence_of_token, num_sentences),
        }

    def correlation_factors(
        self, image: Array, token_states: Array, sentence_of_token: Array, key: Array
    ) -> tuple[Array, Array]:
        """Hides patches of the normalised image [B, H, W, 1] and predicts all correlations.

        Returns:
          Factors [B, N, r] with unit rows, and which patches were hidden [B, N] bool.
        """
        grid = (image.shape[1] // self.patch_size, image.shape[2] // self.patch_size)
        hiding = draw_hiding(key, image.shape[0], grid[0] * grid[1], self.mask_ratio)
        visible = self.image(image, hiding)
        factors = self.correlation(visible, hiding, token_states, sentence_of_token, grid)
        return factors, hiding.hidden
