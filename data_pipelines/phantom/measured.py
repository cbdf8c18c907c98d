"""Scores that the data card states, by config. Written by benchmarks/phantom_card.py."""

MEASURED: dict[str, dict[str, float | str]] = {
    "easy": {
        "version": "3.3.0",
        "macro_auroc": 0.9977,
        "macro_dice": 0.8056,
        "macro_ap50": 0.7547,
        "linear_probe_16x16_auroc": 0.9201,
        "nearest_neighbour_16x16_auroc": 0.8006,
        "bag_of_words_recall_at_1": 0.1289,
        "nearest_neighbour_recall_at_1": 0.0195,
        "text_alone_auroc": 0.5652,
    },
    "default": {
        "version": "3.3.0",
        "macro_auroc": 0.9044,
        "macro_dice": 0.5095,
        "macro_ap50": 0.4373,
        "linear_probe_16x16_auroc": 0.6552,
        "nearest_neighbour_16x16_auroc": 0.539,
        "bag_of_words_recall_at_1": 0.0117,
        "nearest_neighbour_recall_at_1": 0.0039,
        "text_alone_auroc": 0.5233,
    },
    "hard": {
        "version": "3.3.0",
        "macro_auroc": 0.8387,
        "macro_dice": 0.4074,
        "macro_ap50": 0.3386,
        "linear_probe_16x16_auroc": 0.6307,
        "nearest_neighbour_16x16_auroc": 0.5253,
        "bag_of_words_recall_at_1": 0.0156,
        "nearest_neighbour_recall_at_1": 0.0039,
        "text_alone_auroc": 0.5359,
    },
}
