"""The data card that goes into a prepared folder: what the phantoms are, what they are not, and
between which scores a method may be expected to fall.
"""

from data_pipelines.phantom import VERSION
from data_pipelines.phantom.difficulty import DIFFICULTY, Shift
from data_pipelines.phantom.kinds import LABEL_OF
from data_pipelines.phantom.measured import MEASURED

_SHIFTS = {
    Shift.NONE: "The test split is like training.",
    Shift.SCANNER: "The test pictures are another scanner's; their findings and words are not.",
    Shift.AUTHOR: "The test reports are by an author whom training does not hear.",
    Shift.LABELS: "In the test split findings are as common as in an outpatient clinic.",
}
_ABOUT = {
    "easy": "Six large findings, independent of each other; one author with few phrasings.",
    "default": "All thirteen labels but No Finding, from small to large and in the company they "
    "keep in life; five kinds of authors, one of whom training never hears.",
    "hard": "As default, smaller, with mimics and clutter, careless authors whose impression "
    "sometimes contradicts the findings, and a shortcut: outside of the test split a central line "
    "goes with pneumothorax, in the test split it does not.",
}


def write_card(config: str, *, size: int, seed: int, shift: Shift, views: str) -> str:
    """The card of one source, in Markdown."""
    own = DIFFICULTY[config]
    shares: dict[str, list[str]] = {}
    for kind, share in own.prevalence.items():
        shares.setdefault(LABEL_OF[kind], []).append(f"{kind.value} {share:.0%}")
    lines = [
        f"# PhantomCXR `{config}`: synthetic chest radiographs and reports",
        "",
        "**SYNTHETIC.** Every picture is drawn and every report written by a program. Nothing here",
        "is a patient or was made from one. It is for trying and comparing methods; no score on it",
        "says anything of radiographs, and nothing trained on it is fit for clinical use.",
        "",
        f"- Version {VERSION}, seed {seed}, {size} pixels a side, views: {views}. The same",
        "  version, seed and patient give the same bytes on any machine.",
        f"- {_ABOUT[config]}",
        f"- Shift: {shift.value}. {_SHIFTS[shift]}",
        "- Split by patient: of every 25, 20 train, 2 validation, 3 test. A quarter of the",
        "  patients come twice.",
        "- Exact truth of every image: labels, masks and boxes of each finding, and which sentence",
        "  speaks of which box (`sentence_box`). A label is missing where the picture neither",
        "  confirms nor denies it.",
        "- Findings by chance in a PA view, before the company they keep: "
        + "; ".join(f"{label} ({', '.join(kinds)})" for label, kinds in shares.items())
        + ".",
        "",
        "## Between which scores a method falls",
        "",
        *_scores(config),
        "",
        "## What it is not",
        "",
        "The pictures are simple: one shape of chest, bent and stretched; no disease but what is",
        "listed; reports by a grammar, which says far fewer things than radiologists do.",
        "Methods that differ here need not differ on patients, nor the other way round.",
        "",
    ]
    return "\n".join(lines)


def _scores(config: str) -> list[str]:
    own = MEASURED.get(config)
    if own is None:
        return ["Not measured for this version."]
    rows = [
        ("classification, macro AUROC: a small supervised network", "macro_auroc"),
        ("segmentation, macro Dice: the same network", "macro_dice"),
        ("detection, macro AP at IoU 0.5: the same network's masks", "macro_ap50"),
        ("a linear probe on 16x16 pixels, macro AUROC", "linear_probe_16x16_auroc"),
        ("nearest neighbours on 16x16 pixels, macro AUROC", "nearest_neighbour_16x16_auroc"),
        ("retrieval among 256 by predicted bag of words, recall@1", "bag_of_words_recall_at_1"),
        ("retrieval among 256 by nearest neighbour, recall@1", "nearest_neighbour_recall_at_1"),
        ("labels that a report leaves out, from its words, macro AUROC", "text_alone_auroc"),
    ]
    table = ["| | |", "|---|---|"]
    table += [f"| {words} | {own[name]:.3f} |" for words, name in rows if name in own]
    return [
        f"Measured with version {own['version']} by `benchmarks/phantom_ceilings.py` and",
        "`benchmarks/phantom_triviality.py`, whose results hold every label's own score:",
        "",
        *table,
    ]
