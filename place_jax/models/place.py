"""PLACE: both towers, the observation extractor, the correlation decoder, the projections."""

import dataclasses
import enum

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.bert import Bert, sentence_means
from place_jax.models.correlation_decoder import CorrelationDecoder
from place_jax.models.hiding import HideAt, Layout, draw_hiding, keep_visible
from place_jax.models.layers import (
    GradientSum,
    Numerics,
    Remat,
    at_least_float32,
    linear,
    option,
    unit_norm,
)
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

HIGHEST = jax.lax.Precision.HIGHEST


class CorrelationTarget(enum.Enum):
    """Of what in the patches the correlations are predicted."""

    PIXELS = "pixels"
    EMA_FEATURES = "ema_features"  # the image encoder's tokens, by a moving average of it


class Local(enum.Enum):
    """What the model learns for objectives that compare words and patches."""

    NONE = "none"
    PROJECTIONS = "projections"  # of words and of patches: gloria
    PROTOTYPES = "prototypes"  # and vectors in the joint space that stand for diseases: mgca


class Place(nnx.Module):
    """All that is trained. `config` is config.model."""

    def __init__(
        self, config: FrozenConfigDict, image_size: int, vocab_size: int, *, rngs: nnx.Rngs
    ):
        numerics = Numerics(
            config.dtype,
            config.param_dtype,
            option(Remat, "remat", config.remat),
            option(GradientSum, "gradient_sum", config.get("gradient_sum", "compute")),
        )
        image, text = config.image, config.text
        observation, correlation = config.observation, config.correlation
        side = image_size // image.patch_size
        self.mask_ratio = correlation.mask_ratio
        self.hide_layout = option(Layout, "correlation.hide_layout", correlation.hide_layout)
        self.hide_at = option(HideAt, "correlation.hide_at", correlation.hide_at)
        self.target = option(CorrelationTarget, "correlation.target", correlation.target)
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
        self.local = option(Local, "local", config.local)
        if self.local is not Local.NONE:
            wide = dataclasses.replace(
                numerics, dtype=jnp.promote_types(numerics.dtype, jnp.float32).name
            )
            self.patch_projection = linear(image.width, joint, wide, rngs=rngs)
            self.word_projection = linear(text.width, joint, wide, rngs=rngs)
            self.patch_projection.precision = self.word_projection.precision = HIGHEST
        if self.local is Local.PROTOTYPES:
            drawn = nnx.initializers.normal(1.0)(
                rngs.params(), (config.num_prototypes, joint), numerics.param_dtype
            )
            self.prototypes = nnx.Param(drawn)
        scales = {"instance": LOGIT_SCALE_INIT, "pathological": LOGIT_SCALE_INIT}
        biases = {}
        if config.get("logits", "scale") == "scale_and_bias":
            scales["siglip"], biases["siglip"] = SIGLIP_SCALE_INIT, SIGLIP_BIAS_INIT
        self.logit_scale = LogitScales(scales, numerics)
        self.logit_bias = LogitBiases(biases, numerics)

    def image_features(self, image: Array) -> dict[str, Array]:
        """Of normalised pixels [B, H, W, 1], before projection.

        Returns:
          patch_tokens [B, N, D], image [B, D], v_por [B, Q, D], v_por_attention [B, Q, N]; with
          local projections patch_attention [B, N].
        """
        features = {}
        local = self.image.local_tokens(image)
        if self.local is Local.NONE:
            tokens = self.image.mix(local)
        else:
            tokens, features["patch_attention"] = self.image.mix_watched(local)
        v_por, attention = self.observation(local if self.reads is Reads.STEM else tokens)
        return features | {
            "patch_tokens": tokens,
            "image": jnp.mean(at_least_float32(tokens), axis=1),
            "v_por": v_por,
            "v_por_attention": attention,
        }

    def observations_of_views(self, image: Array, visible: Array) -> Array:
        """V-PORs [M, B, Q, E] where queries may read some patches alone.

        Args:
          image: [B, H, W, 1], normalised; encoded once, and whole.
          visible: [M, N] bool, M views.
        """
        local = self.image.local_tokens(image)
        tokens = local if self.reads is Reads.STEM else self.image.mix(local)

        def one(seen: Array) -> Array:
            return self.v_por_projection(self.observation(tokens, seen)[0])

        # All views at once would be M times the memory.
        return jax.lax.map(one, visible, batch_size=16)

    def null_observation(self) -> Array | None:
        """The null V-POR [E] of unit length, or None."""
        return unit_norm(self.null_v_por[...]) if self.has_null else None

    def text_features(
        self, tokens: Array, sentence_of_token: Array, num_sentences: int
    ) -> dict[str, Array]:
        """Of tokens [B, L], before projection.

        Returns:
          token_states [B, L, D], report [B, D], t_por [B, S, D]; with local projections
          word_attention [B, L].
        """
        features = {}
        if self.local is Local.NONE:
            states = self.text(tokens, sentence_of_token)
        else:
            states, features["word_attention"] = self.text.with_attention(tokens, sentence_of_token)
        return features | {
            "token_states": states,
            "report": states[:, 0],
            "t_por": sentence_means(states, sentence_of_token, num_sentences),
        }

    def correlation_factors(
        self,
        image: Array,
        token_states: Array,
        sentence_of_token: Array,
        key: Array,
        patch_tokens: Array | None = None,
    ) -> tuple[Array, Array]:
        """Hides patches of the normalised image [B, H, W, 1] and predicts all correlations.

        Args:
          image: [B, H, W, 1].
          token_states: [B, L, D].
          sentence_of_token: [B, L].
          key: draws the patches.
          patch_tokens: [B, N, D] of the whole image, where the caller has them: with
            HideAt.BLOCKS the encoder is then not run again.

        Returns:
          Factors [B, N, r], and which patches were hidden [B, N] bool.
        """
        grid = (image.shape[1] // self.patch_size, image.shape[2] // self.patch_size)
        hiding = draw_hiding(key, image.shape[0], grid, self.mask_ratio, self.hide_layout)
        if hiding.visible.shape[1] == 0:
            visible = jnp.zeros((image.shape[0], 0, self.image.width), self.image.numerics.dtype)
        elif self.hide_at is HideAt.BLOCKS and patch_tokens is not None:
            visible = keep_visible(patch_tokens, hiding)
        else:
            visible = self.image(image, hiding, self.hide_at)
        factors = self.correlation(visible, hiding, token_states, sentence_of_token, grid)
        return factors, hiding.hidden
