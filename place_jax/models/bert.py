"""BERT (arXiv 1810.04805), numerically that of Hugging Face, with a second way to read a report."""

import enum

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from ml_collections import FrozenConfigDict

from place_jax.models.layers import Numerics, at_least_float32, layer_norm, option
from place_jax.models.transformer import BlockShape, Norm, run_blocks, stack_blocks


class TextContext(enum.Enum):
    """What a token may look at.

    SENTENCE [ours, default]: its own sentence; positions restart in each. The report token looks at
    all and none looks at it. So a sentence's states do not carry its report's identity, equal
    sentences are equal vectors, and a prompt of one sentence is nothing new.
    REPORT: the whole report, as in plain BERT.
    """

    SENTENCE = "sentence"
    REPORT = "report"


class Bert(nnx.Module):
    """Token ids to token states."""

    def __init__(
        self, config: FrozenConfigDict, vocab_size: int, numerics: Numerics, *, rngs: nnx.Rngs
    ):
        self.context = option(TextContext, "text.context", config.context)
        self.max_positions = config.max_positions
        self.numerics = numerics

        def embedding(count: int) -> nnx.Embed:
            return nnx.Embed(
                count,
                config.width,
                dtype=numerics.dtype,
                param_dtype=numerics.param_dtype,
                embedding_init=nnx.initializers.truncated_normal(0.02),
                rngs=rngs,
            )

        self.word_embedding = embedding(vocab_size)
        self.position_embedding = embedding(config.max_positions)
        self.type_embedding = embedding(2)
        self.embedding_norm = layer_norm(config.width, numerics, rngs=rngs)
        shape = BlockShape(config.width, config.heads, config.mlp_dim, norm=Norm.POST)
        self.blocks = stack_blocks(config.depth, shape, numerics, rngs=rngs)

    def __call__(self, tokens: Array, sentence_of_token: Array) -> Array:
        """Encodes [B, L] token ids to [B, L, D]; states of padding are arbitrary but finite.

        Raises:
          ValueError: L is over max_positions.
        """
        return self._encode(tokens, sentence_of_token, watch_first=False)[0]

    def with_attention(self, tokens: Array, sentence_of_token: Array) -> tuple[Array, Array]:
        """The same, and what the report token attends to [B, L]: last block, mean over heads."""
        states, attention = self._encode(tokens, sentence_of_token, watch_first=True)
        return states, attention[:, 0]

    def _encode(
        self, tokens: Array, sentence_of_token: Array, *, watch_first: bool
    ) -> tuple[Array, Array | None]:
        length = tokens.shape[1]
        if length > self.max_positions:
            raise ValueError(
                f"{length} tokens, but the text encoder has max_positions={self.max_positions}: "
                "lower data.max_tokens"
            )
        if self.context is TextContext.SENTENCE:
            positions = sentence_positions(sentence_of_token)
            if length == self.max_positions:
                # After a report token alone, padding counts to L, which is one too many.
                positions = jnp.minimum(positions, length - 1)
            mask = sentence_mask(sentence_of_token)
        else:
            positions = jnp.arange(length)[None]
            mask = token_mask(sentence_of_token)[:, None, :]
        x = self.word_embedding(tokens) + self.position_embedding(positions)
        x = self.embedding_norm(x + self.type_embedding(jnp.zeros((1, 1), jnp.int32)))
        return run_blocks(self.blocks, x, self.numerics, mask=mask, watch_first=watch_first)


def token_mask(sentence_of_token: Array) -> Array:
    """[B, L] bool: the report token, at position 0, and all tokens that are no padding."""
    return (sentence_of_token > 0) | (jnp.arange(sentence_of_token.shape[1]) == 0)


def sentence_mask(sentence_of_token: Array) -> Array:
    """[B, L, L] bool, True where row may look at column, for TextContext.SENTENCE."""
    length = sentence_of_token.shape[1]
    present = token_mask(sentence_of_token)
    same = sentence_of_token[:, :, None] == sentence_of_token[:, None, :]
    same &= (sentence_of_token > 0)[:, None, :]
    is_report_token = (jnp.arange(length) == 0)[None, :, None]
    # Each token sees itself, so that padding has something to normalise over.
    return same | (is_report_token & present[:, None, :]) | jnp.eye(length, dtype=bool)


def sentence_positions(sentence_of_token: Array) -> Array:
    """[B, L] int32: 1, 2, ... from the start of each sentence; 0 for the report token."""
    index = jnp.arange(sentence_of_token.shape[1], dtype=jnp.int32)[None]
    before = jnp.pad(sentence_of_token[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
    starts = jnp.where(sentence_of_token != before, index, 0)
    return jnp.where(index == 0, 0, index - jax.lax.cummax(starts, axis=1) + 1)


def sentence_means(token_states: Array, sentence_of_token: Array, num_sentences: int) -> Array:
    """[B, S, D] mean of each sentence's token states, in at least float32; absent ones are 0."""
    states = at_least_float32(token_states)
    numbers = jnp.arange(1, num_sentences + 1)[None, :, None]
    member = (sentence_of_token[:, None, :] == numbers).astype(states.dtype)
    total = jnp.einsum("bsl,bld->bsd", member, states, precision=jax.lax.Precision.HIGHEST)
    return total / jnp.maximum(jnp.sum(member, axis=-1, keepdims=True), 1)
