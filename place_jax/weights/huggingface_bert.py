"""BERT weights of Hugging Face (BERT-base, BioClinicalBERT and their kin) into our text encoder."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from place_jax.weights.safetensors_reader import read_hugging_face_config, read_tensors
from place_jax.weights.tensor_names import (
    Entry,
    Params,
    check_settings,
    fill,
    layer_norm_entries,
    linear_entries,
    strip_prefix,
)

# Heads of other tasks, and a constant that older files carry.
IGNORED = r"(pooler|cls|classifier|qa_outputs)\..*|embeddings\.position_ids"


def load_bert(params: Params, text_config: ConfigDict, path: str | Path) -> Params:
    """Returns the text encoder's parameters with the weights of `path` in place.

    Args:
      params: params["text"] of a model.
      text_config: config.model.text.
      path: a model folder or a .safetensors file.

    Raises:
      ValueError: the file cannot be read, or belongs to another model or vocabulary.
    """
    source = str(path)
    theirs = read_hugging_face_config(path)
    check_settings(
        source,
        theirs,
        {
            "num_attention_heads": text_config.heads,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute",
        },
    )
    tensors = {
        name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor
        for name, tensor in strip_prefix(read_tensors(path), "bert.").items()
    }
    words, ours = tensors.get("embeddings.word_embeddings.weight"), params["word_embedding"]
    if words is not None and len(words) != len(ours["embedding"]):
        raise ValueError(
            f"{source} has a vocabulary of {len(words)}, the data one of {len(ours['embedding'])}: "
            "run place tokenize on the data with the vocab.txt of these weights"
        )
    return fill(
        params,
        tensors,
        bert_entries(len(params["position_embedding"]["embedding"])),
        source=source,
        ignored=IGNORED,
    )


def bert_entries(max_positions: int) -> list[Entry]:
    """Our names from theirs. Positions past the first `max_positions` are left out."""

    def first_positions(positions: np.ndarray) -> np.ndarray:
        return positions[:max_positions]

    layer = "encoder.layer.{layer}"
    return [
        Entry("word_embedding/embedding", ("embeddings.word_embeddings.weight",)),
        Entry(
            "position_embedding/embedding",
            ("embeddings.position_embeddings.weight",),
            first_positions,
        ),
        Entry("type_embedding/embedding", ("embeddings.token_type_embeddings.weight",)),
        *layer_norm_entries("embedding_norm", "embeddings.LayerNorm"),
        *linear_entries("blocks/attention/query", f"{layer}.attention.self.query"),
        *linear_entries("blocks/attention/key", f"{layer}.attention.self.key"),
        *linear_entries("blocks/attention/value", f"{layer}.attention.self.value"),
        *linear_entries("blocks/attention/out", f"{layer}.attention.output.dense"),
        *layer_norm_entries("blocks/attention_norm", f"{layer}.attention.output.LayerNorm"),
        *linear_entries("blocks/mlp/up", f"{layer}.intermediate.dense"),
        *linear_entries("blocks/mlp/down", f"{layer}.output.dense"),
        *layer_norm_entries("blocks/mlp_norm", f"{layer}.output.LayerNorm"),
    ]
