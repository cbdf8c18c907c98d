"""Zero-shot prompts for data that bring none: CheXzero's pair of templates for a label."""

from collections.abc import Sequence

# Tiu et al., "Expert-level detection of pathologies from unannotated chest X-ray images via
# self-supervised learning", Nature Biomedical Engineering 2022: "{label}" against "no {label}".
POSITIVE = "{label}"
NEGATIVE = "no {label}"
# "no no finding" says nothing: CheXzero leaves this label out of its means too.
NOT_PROMPTED = ("No Finding",)


def template_prompts(
    labels: Sequence[str], *, every: bool = False
) -> dict[str, dict[str, list[str]]]:
    """{label: {"positive": ["pneumothorax"], "negative": ["no pneumothorax"]}} of each label.

    With `every`, also of those that cannot be denied: a choice of classes takes positives alone.
    """
    return {
        label: {
            "positive": [POSITIVE.format(label=label.lower())],
            "negative": [NEGATIVE.format(label=label.lower())],
        }
        for label in labels
        if every or label not in NOT_PROMPTED
    }
