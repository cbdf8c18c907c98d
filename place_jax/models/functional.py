"""The only door to the modules: a `Model` of pure functions over plain dictionaries of arrays."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import ConfigDict, FrozenConfigDict

from place_jax.models.correlation_decoder import Form, rows_of_mean
from place_jax.models.layers import at_least_float32, unit_norm
from place_jax.models.place import CorrelationTarget, Local, Place
from place_jax.models.projection import LOGIT_SCALE_LIMITS, directions, standardisation
from place_jax.outputs import Outputs

Params = dict[str, Any]  # nested dictionaries of arrays


@dataclasses.dataclass(frozen=True)
class Model:
    """A PLACE model without its parameters: static, hashable, safe to close over in jit.

    Images are uint8 [B, H, W, 1] and are normalised here to -1..1. `params` holds everything that
    is trained, `model_state` what is not (nothing yet; batch statistics later).

    Attributes:
      config: config.model.
      image_size: the crop that positions are stored for; other sizes are interpolated to.
      vocab_size: number of token ids.
      graphdef: the modules' static part.
    """

    config: FrozenConfigDict
    image_size: int
    vocab_size: int
    graphdef: nnx.GraphDef

    @classmethod
    def from_config(cls, model_config: ConfigDict, *, image_size: int, vocab_size: int) -> "Model":
        """Checks config.model and makes the model. No array is made.

        Raises:
          ValueError: sizes that do not fit one another, or an unknown option.
        """
        config = FrozenConfigDict(model_config)
        if vocab_size < 1:
            raise ValueError(f"vocab_size={vocab_size}: give the size of the vocabulary, 1 or more")
        abstract = nnx.eval_shape(lambda: Place(config, image_size, vocab_size, rngs=nnx.Rngs(0)))
        return cls(config, image_size, vocab_size, nnx.graphdef(abstract))

    def init(self, key: Array) -> tuple[Params, Params]:
        """Draws parameters. Can be jitted, with shardings for what it returns."""
        place = Place(self.config, self.image_size, self.vocab_size, rngs=nnx.Rngs(key))
        _, params, model_state = nnx.split(place, nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(model_state)

    def apply(
        self,
        params: Params,
        model_state: Params,
        batch: Mapping[str, Array],
        *,
        key: Array | None = None,
        target_params: Params | None = None,
    ) -> Outputs:
        """The whole forward pass. Under jit, what the caller does not use is not computed.

        Args:
          params: from `init`.
          model_state: from `init`.
          batch: image, tokens, sentence_of_token, sentence_mask of data_pipelines.records.
          key: draws the patches hidden from the correlation pass; None leaves that pass out.
          target_params: the moving average that makes CCE's target where that is features; None
            takes `params`, as at evaluation, where they are the moving average.
        """
        place = self._merge(params, model_state)
        images = _encode_images(place, batch["image"])
        texts = _encode_texts(
            place, batch["tokens"], batch["sentence_of_token"], batch["sentence_mask"].shape[1]
        )
        factors = hidden = target = None
        if key is not None:
            pixels = normalise_pixels(batch["image"])
            factors, hidden = place.correlation_factors(
                pixels,
                texts["token_states"],
                batch["sentence_of_token"],
                key,
                images["patch_tokens"],
            )
            if place.target is CorrelationTarget.EMA_FEATURES:
                target = images["patch_tokens"]
                if target_params is not None:
                    target = self._merge(target_params, model_state).image(pixels)
                target = jax.lax.stop_gradient(target)
        return Outputs(
            **images,
            **texts,
            correlation_factors=factors,
            hidden_patches=hidden,
            target_tokens=target,
            prototypes=_prototypes(place),
            logit_scales=place.logit_scale(),
            logit_biases=place.logit_bias(),
        )

    def encode_images(self, params: Params, model_state: Params, image: Array) -> Outputs:
        """The image fields of `Outputs`, of image [B, H, W, 1] uint8."""
        place = self._merge(params, model_state)
        return Outputs(**_encode_images(place, image), logit_scales=place.logit_scale())

    def patch_embeddings(self, params: Params, model_state: Params, patch_tokens: Array) -> Array:
        """What each patch adds to the image embedding, [B, N, E], of `patch_tokens` [B, N, D].

        Their mean is `image_embedding`, so that the cosine of an image to a text is the mean over
        patches of <patch, text>: an exact share of it for each place.
        """
        place = self._merge(params, model_state)
        patches = place.image_projection.affine(patch_tokens)
        length = jnp.linalg.norm(jnp.mean(patches, axis=1), axis=-1)
        return patches / jnp.maximum(length, 1e-12)[:, None, None]

    def observe_views(
        self, params: Params, model_state: Params, image: Array, visible: Array
    ) -> Array:
        """V-PORs [B, M, Q, E] of M views of each image [B, H, W, 1] uint8.

        A view is the patches that queries may read, [M, N] bool; the encoder has seen all.
        """
        place = self._merge(params, model_state)
        observed = place.observations_of_views(normalise_pixels(image), visible)
        return jnp.swapaxes(observed, 0, 1)

    def encode_texts(
        self,
        params: Params,
        model_state: Params,
        tokens: Array,
        sentence_of_token: Array,
        *,
        num_sentences: int | None = None,
    ) -> Outputs:
        """The text fields of `Outputs`, of tokens and sentence_of_token [B, L].

        num_sentences is S of `t_por`; None takes L - 1, which no report of L tokens passes.
        """
        place = self._merge(params, model_state)
        if num_sentences is None:
            num_sentences = tokens.shape[1] - 1
        texts = _encode_texts(place, tokens, sentence_of_token, num_sentences)
        return Outputs(**texts, logit_scales=place.logit_scale())

    def predict_correlation(
        self,
        params: Params,
        model_state: Params,
        image: Array,
        token_states: Array,
        sentence_of_token: Array,
        *,
        key: Array,
    ) -> tuple[Array, Array]:
        """The correlation pass alone, to give it another image's report.

        Returns:
          correlation_factors [B, N, r] and hidden_patches [B, N], as in `Outputs`.
        """
        place = self._merge(params, model_state)
        return place.correlation_factors(
            normalise_pixels(image), token_states, sentence_of_token, key
        )

    def calibrate(self, params: Params, model_state: Params, batch: Mapping[str, Array]) -> Params:
        """Sets every projection's shift and scale from the features of one batch.

        Image and report features are centred and get unit variance in each dimension; so do
        T-PORs over sentences, and V-PORs, where each query is centred on its own mean over images,
        so that what is left tells images apart. But what is left may be the same for all queries:
        `model.observation.separation` then moves each along a direction of its own.
        """
        place = self._merge(params, model_state)
        features = place.image_features(normalise_pixels(batch["image"]))
        num_sentences = batch["sentence_mask"].shape[1]
        features |= place.text_features(batch["tokens"], batch["sentence_of_token"], num_sentences)
        example = at_least_float32(batch["example_mask"])
        weights = {
            "image": example,
            "report": example,
            "v_por": jnp.broadcast_to(example[:, None], features["v_por"].shape[:2]),
            "t_por": example[:, None] * batch["sentence_mask"],
        }
        params = dict(params)
        for name, weight in weights.items():
            head = dict(params[f"{name}_projection"])
            shift, scale = standardisation(features[name], weight, head["shift"].shape)
            if name == "v_por":
                shift = (
                    shift - self.config.observation.separation * directions(*shift.shape) / scale
                )
            head["shift"] = shift.astype(head["shift"].dtype)
            head["scale"] = scale.astype(head["scale"].dtype)
            params[f"{name}_projection"] = head
        return params

    def start_correlation(self, params: Params, mean: Array) -> Params:
        """Makes a mean matrix [N, N] what CCE predicts first, where correlation.start is "mean"."""
        decoder = dict(params["correlation"])
        like = decoder["mean_rows"]
        rows = rows_of_mean(mean, Form(self.config.correlation.form), like.shape[-1])
        decoder["mean_rows"] = rows.reshape(like.shape).astype(like.dtype)
        return params | {"correlation": decoder}

    def _merge(self, params: Params, model_state: Params) -> Place:
        return nnx.merge(self.graphdef, params, model_state)


def learned_temperature(params: Params, name: str) -> float:
    """One over the logit scale of that name, "instance" or "siglip", that training ended with."""
    low, high = (math.log(limit) for limit in LOGIT_SCALE_LIMITS)
    return math.exp(-min(max(float(params["logit_scale"][name]), low), high))


def normalise_pixels(image: Array) -> Array:
    """uint8 grey levels 0..255 to float32 -1..1, as ViT weights expect."""
    return (image.astype(jnp.float32) / 255 - 0.5) / 0.5


def _encode_images(place: Place, image: Array) -> dict[str, Array]:
    features = place.image_features(normalise_pixels(image))
    outputs = {
        "image_embedding": place.image_projection(features["image"]),
        "patch_tokens": features["patch_tokens"],
        "v_por": place.v_por_projection(features["v_por"]),
        "v_por_attention": features["v_por_attention"],
        "null_v_por": place.null_observation(),
    }
    if place.local is not Local.NONE:
        outputs["patch_embedding"] = place.patch_projection(features["patch_tokens"])
        outputs["patch_attention"] = features["patch_attention"]
    return outputs


def _encode_texts(
    place: Place, tokens: Array, sentence_of_token: Array, num_sentences: int
) -> dict[str, Array]:
    features = place.text_features(tokens, sentence_of_token, num_sentences)
    outputs = {
        "report_embedding": place.report_projection(features["report"]),
        "t_por": place.t_por_projection(features["t_por"]),
        "token_states": features["token_states"],
    }
    if place.local is not Local.NONE:
        outputs["word_embedding"] = place.word_projection(features["token_states"])
        outputs["word_attention"] = features["word_attention"]
        # The last token of a sentence is its [SEP], which is no word.
        next_sentence = jnp.pad(sentence_of_token[:, 1:], ((0, 0), (0, 1)))
        outputs["word_mask"] = (sentence_of_token > 0) & (sentence_of_token == next_sentence)
    return outputs


def _prototypes(place: Place) -> Array | None:
    """[K, E] unit rows: normalised when used, which is what normalising them after each step is."""
    return unit_norm(place.prototypes[...]) if place.local is Local.PROTOTYPES else None


def count_params(params: Params) -> int:
    """Number of trained numbers."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
