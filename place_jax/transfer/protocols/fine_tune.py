"""How the image encoder is trained on labels together with its head."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class FineTuneRecipe:
    """From the linear probe on: AdamW with warm-up and cosine, at a rate that falls to the input.

    All values are ours but for the layer decay, which is that of BEiT (arXiv 2106.08254) and MAE
    (arXiv 2111.06377); as in them biases, norms, positions and tokens do not decay.

    Attributes:
      learning_rate: of the head, at its peak.
      layer_decay: the learning rate of a block as a fraction of the one above it; 1 for no fall.
      weight_decay: of kernels alone.
      batch_size: of the whole mesh.
      epochs: over the subset.
      min_steps: more epochs where they would be fewer steps.
      warmup: share of the steps.
      clip_norm: of the gradient.
      rounds: evaluations on the validation split, of which the best by macro AUROC is kept; the
        probe itself, before any step, is one more.
    """

    learning_rate: float = 3e-4
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    batch_size: int = 48
    epochs: int = 10
    min_steps: int = 200
    warmup: float = 0.1
    clip_norm: float = 1.0
    rounds: int = 10

    def __post_init__(self):
        for name, low, high in (
            ("learning_rate", 0, 1),
            ("layer_decay", 0, 1),
            ("batch_size", 0, 1e6),
            ("epochs", 0, 1e6),
        ):
            value = getattr(self, name)
            if not low < value <= high:
                raise ValueError(f"{name}={value:g} must be above {low} and at most {high:g}")

    def describe(self) -> str:
        """One sentence for whoever reads the number."""
        return (
            f"head from the linear probe (LP-FT), AdamW {self.learning_rate:g} with warm-up and "
            f"cosine, layer-wise decay {self.layer_decay:g}, weight decay {self.weight_decay:g} of "
            f"kernels, batch {self.batch_size}, {self.epochs} epochs and at least "
            f"{self.min_steps} steps, random crops, best of {self.rounds} rounds by validation "
            "macro AUROC"
        )
