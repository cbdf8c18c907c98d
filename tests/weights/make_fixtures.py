"""Makes tests/data/{bert_tiny,vit_tiny}: small models of the original library and what they say.

Run where torch and transformers are installed: python tests/weights/make_fixtures.py
"""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, ViTConfig, ViTForImageClassification

DATA = Path(__file__).parent.parent / "data"
SIZES = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    initializer_range=0.2,  # the default 0.02 leaves a small model all but linear
)


def randomise_flat_parameters(model: torch.nn.Module) -> None:
    """Biases and norms start at constants, which would hide a wrong assignment."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)


def make_bert() -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(vocab_size=40, max_position_embeddings=20, **SIZES)).eval()
    randomise_flat_parameters(model)
    tokens = torch.randint(0, 40, (3, 12))
    attention_mask = torch.arange(12)[None] < torch.tensor([12, 7, 2])[:, None]
    with torch.no_grad():
        states = model.bert(tokens, attention_mask=attention_mask.long()).last_hidden_state
    folder = DATA / "bert_tiny"
    model.save_pretrained(folder)
    np.savez_compressed(
        folder / "expected.npz",
        tokens=tokens.numpy().astype(np.int32),
        mask=attention_mask.numpy(),
        states=states.numpy(),
    )


def make_vit() -> None:
    torch.manual_seed(1)
    model = ViTForImageClassification(ViTConfig(image_size=24, patch_size=8, **SIZES)).eval()
    randomise_flat_parameters(model)
    grey = torch.randint(0, 256, (2, 24, 24))
    pixels = ((grey / 255 - 0.5) / 0.5)[:, None].expand(-1, 3, -1, -1)
    with torch.no_grad():
        states = model.vit(pixels).last_hidden_state
    folder = DATA / "vit_tiny"
    model.save_pretrained(folder)
    np.savez_compressed(
        folder / "expected.npz",
        image=grey.numpy().astype(np.uint8)[..., None],
        patch_tokens=states[:, 1:].numpy(),
    )


if __name__ == "__main__":
    make_bert()
    make_vit()
