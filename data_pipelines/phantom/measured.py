"""Scores that the data card states, by config. Written by benchmarks/phantom_card.py."""

MEASURED: dict[str, dict[str, float | str]] = {
    "easy": {
        "version": "3.1.0",
        "macro_auroc": 0.934,
        "macro_dice": 0.5536,
        "macro_ap50": 0.2914,
        "linear_probe_16x16_auroc": 0.9201,
        "nearest_neighbour_16x16_auroc": 0.8006,
        "bag_of_words_recall_at_1": 0.1289,
        "nearest_neighbour_recall_at_1": 0.0195,
        "text_alone_auroc": 0.5652,
    },
    "default": {
        "version": "3.1.0",
        "linear_probe_16x16_auroc": 0.7566,
        "nearest_neighbour_16x16_auroc": 0.5755,
        "bag_of_words_recall_at_1": 0.0508,
        "nearest_neighbour_recall_at_1": 0.0039,
        "text_alone_auroc": 0.5311,
    },
}
