"""Texts that are in no record, such as prompts, as embeddings. Imports no TensorFlow."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.records import BadInput
from data_pipelines.tokenizer import Tokenizer, pack
from place_jax.models.functional import Model
from place_jax.transfer.features import to_numpy

# Rows encoded at once: few enough that six prompts cost little, and always as many, so that one
# compilation serves texts of any number.
_ROWS = 32


@dataclasses.dataclass(frozen=True)
class EncodedTexts:
    """Embeddings of n texts.

    Attributes:
      report_embedding: [n, E] unit rows.
      t_por: [n, S, E] unit rows, a row a sentence; None for a model without observations.
      sentence_mask: [n, S] bool.
    """

    report_embedding: np.ndarray
    t_por: np.ndarray | None
    sentence_mask: np.ndarray


def encode_texts(
    model: Model,
    params: dict,
    model_state: dict,
    texts: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    *,
    config: ConfigDict,
) -> EncodedTexts:
    """Embeds texts, each a sequence of sentences; a prompt is a text of one sentence.

    Args:
      model: the model, and its parameters and state.
      params: see `model`.
      model_state: see `model`.
      texts: n of them.
      tokenizer: of the vocabulary that the model was trained with.
      config: data.max_tokens and data.max_sentences; sentences beyond them are left out.

    Raises:
      BadInput: for a text without a word, or without any that the vocabulary knows.
    """
    if not texts:
        raise BadInput("no_text", "no text was given: give at least one")
    tokens, sentence_of_token = _tokenise(texts, tokenizer, config)
    reports, observations = [], []
    for start in range(0, len(texts), _ROWS):
        rows = slice(start, start + _ROWS)
        report, observation = _encode(
            model,
            params,
            model_state,
            _pad(tokens[rows]),
            _pad(sentence_of_token[rows]),
            config.data.max_sentences,
        )
        count = len(tokens[rows])
        reports.append(to_numpy(report)[:count])
        if observation is not None:
            observations.append(to_numpy(observation)[:count])
    t_por = np.concatenate(observations) if observations else None
    present = sentence_of_token[:, :, None] == np.arange(1, config.data.max_sentences + 1)
    return EncodedTexts(np.concatenate(reports), t_por, present.any(axis=1))


def _tokenise(
    texts: Sequence[Sequence[str]], tokenizer: Tokenizer, config: ConfigDict
) -> tuple[np.ndarray, np.ndarray]:
    """[n, L] tokens and [n, L] sentence_of_token, as a report's are."""
    packed = []
    for sentences in texts:
        pieces = [ids for ids in map(tokenizer.encode, sentences) if ids]
        if not pieces:
            raise BadInput("no_text", f"text {' '.join(sentences)!r} has no word: give a sentence")
        if all(piece == tokenizer.unk_id for ids in pieces for piece in ids):
            raise BadInput(
                "unknown_words",
                f"text {' '.join(sentences)!r} has no word of the checkpoint's vocabulary "
                f"({tokenizer.size} pieces): say it in the words of its reports",
            )
        packed.append(pack(pieces, tokenizer, config.data.max_tokens, config.data.max_sentences))
    return np.stack([p[0] for p in packed]), np.stack([p[1] for p in packed])


def _pad(rows: np.ndarray) -> np.ndarray:
    """Repeats the last row up to _ROWS rows."""
    return np.concatenate([rows, np.repeat(rows[-1:], _ROWS - len(rows), axis=0)])


@functools.partial(jax.jit, static_argnames=("model", "num_sentences"))
def _encode(model: Model, params, model_state, tokens, sentence_of_token, num_sentences: int):
    outputs = model.encode_texts(
        params, model_state, tokens, sentence_of_token, num_sentences=num_sentences
    )
    return outputs.report_embedding, outputs.t_por
