"""What PhantomCXR gives away without an encoder worth the name: baselines that ought to be poor.

    python benchmarks/phantom_triviality.py --config default

Prints, and writes to benchmarks/results/phantom_triviality.json, a row a config:

- macro AUROC of a linear probe, and of the nearest training images, on 16x16 pixels;
- recall among 256 distinct test reports of two retrievals without training of an encoder: the words
  (bag of words, TF-IDF) that a linear map predicts from 16x16 pixels, and the report of the nearest
  training image, each compared with the candidates by cosine;
- text alone: how well the words of a report tell the labels that it leaves out, beside how well
  the image's other labels tell them. What is above chance in the former should be in the latter:
  findings keep company, as in life;
- on `hard`: how well the device tells the finding that it goes with, in training and in the test.

Intervals: none; the test split's size is stated.
"""

import argparse
import json
import pathlib

import numpy as np
from phantom_draws import draw, drawn_labels
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from data_pipelines.phantom import VERSION
from data_pipelines.phantom.findings import LABEL_OF, Kind
from data_pipelines.sources.phantom import PhantomSource, split_of

RESULT = pathlib.Path(__file__).parent / "results" / "phantom_triviality.json"
POOL = 256
_COARSE = 16
_PIXELS = {"easy": 64, "default": 96, "hard": 96}  # drawn at, before they are made coarse


def coarse(pixels: np.ndarray) -> np.ndarray:
    """[n, size, size] -> [n, 256] means of 16x16 fields, each image set to mean 0, variance 1."""
    n, size, _ = pixels.shape
    field = size // _COARSE
    means = pixels.reshape(n, _COARSE, field, _COARSE, field).mean((2, 4)).reshape(n, -1)
    return (means - means.mean(1, keepdims=True)) / (means.std(1, keepdims=True) + 1e-6)


def probe_auroc(x, labels, test_x, test_labels) -> float:
    """Macro AUROC of a logistic regression a label, the best of three strengths on the test."""
    scaler = StandardScaler().fit(x)
    x, test_x = scaler.transform(x), scaler.transform(test_x)
    best = 0.0
    for strength in (0.001, 0.01, 0.1):
        scores = []
        for k in range(labels.shape[1]):
            known, asked = labels[:, k] >= 0, test_labels[:, k] >= 0
            fit = LogisticRegression(C=strength, max_iter=300).fit(x[known], labels[known, k])
            scores.append(
                roc_auc_score(test_labels[asked, k], fit.decision_function(test_x[asked]))
            )
        best = max(best, float(np.mean(scores)))
    return best


def neighbours_auroc(x, labels, test_x, test_labels, count: int = 15) -> float:
    """Macro AUROC of the share of the nearest training images that have a label."""
    near = nearest(x, test_x, count)
    scores = []
    for k in range(labels.shape[1]):
        asked = test_labels[:, k] >= 0
        share = np.maximum(labels[near, k], 0).mean(1)
        scores.append(roc_auc_score(test_labels[asked, k], share[asked]))
    return float(np.mean(scores))


def nearest(x: np.ndarray, test_x: np.ndarray, count: int) -> np.ndarray:
    """[m, count] training images by distance, the nearest first."""
    squares = (x * x).sum(1) - 2 * test_x @ x.T
    part = np.argpartition(squares, count, axis=1)[:, :count]
    order = np.take_along_axis(squares, part, axis=1).argsort(1)
    return np.take_along_axis(part, order, axis=1)


def retrieval(x, reports, test_x, test_reports) -> dict[str, float]:
    """Recall at 1 and 10 of the two retrievals, among POOL distinct reports."""
    _, first = np.unique(test_reports, return_index=True)
    pool = np.sort(first)[:POOL]
    words = TfidfVectorizer(token_pattern=r"[a-z0-9/+]+", ngram_range=(1, 2), min_df=3)
    bags = words.fit_transform(reports)
    wanted = words.transform(test_reports[pool])
    predicted = Ridge(alpha=300.0).fit(x, bags.toarray()).predict(test_x[pool])
    mean = np.asarray(bags.mean(0))
    near = nearest(x, test_x[pool], 1)[:, 0]
    scored = {
        "bag_of_words": (predicted - mean) @ (wanted.toarray() - mean).T,
        "nearest_neighbour": (bags[near] @ wanted.T).toarray(),
    }
    result = {"pool": len(pool), "chance_recall_at_1": 1 / len(pool)}
    for name, scores in scored.items():
        rank = (scores > np.diag(scores)[:, None]).sum(1)
        result[f"{name}_recall_at_1"] = float((rank < 1).mean())
        result[f"{name}_recall_at_10"] = float((rank < 10).mean())
    return result


def unmentioned(config: str, count: int) -> dict:
    """AUROC of what is left out, by the words and by the other labels; as many reports each way."""
    source = PhantomSource(config=config, patients=10**6)
    labels = drawn_labels(config)
    sets: dict[str, list] = {"train": [], "test": []}
    patient = 0
    while min(map(len, sets.values())) < count // 2 or len(sets["train"]) < count:
        split = split_of(0, patient)
        if split in sets and len(sets[split]) < (count if split == "train" else count // 2):
            _, findings, report = source.truth(patient, 0)
            present = {finding.label for finding in findings}
            said = {link.label for s in report.sentences for link in s.links}
            text = f"{report.findings_text} {report.impression_text}"
            sets[split].append((text, [n in present for n in labels], [n in said for n in labels]))
        patient += 1
    texts, truth, told = (
        {split: [row[i] for row in rows] for split, rows in sets.items()} for i in range(3)
    )
    truth, told = ({s: np.array(v) for s, v in d.items()} for d in (truth, told))
    words = TfidfVectorizer(token_pattern=r"[a-z0-9/+]+", ngram_range=(1, 2), min_df=3)
    bags = {"train": words.fit_transform(texts["train"])}
    bags["test"] = words.transform(texts["test"])
    by_words, by_labels, left_out = {}, {}, {}
    for k, name in enumerate(labels):
        silent = {split: ~told[split][:, k] for split in sets}
        goal = {split: truth[split][silent[split], k] for split in sets}
        if min(goal[split].sum() for split in sets) < 20:
            continue
        others = {s: np.delete(truth[s], k, axis=1)[silent[s]].astype(float) for s in sets}
        left_out[name] = int(goal["test"].sum())
        for result, given in (
            (by_words, {s: bags[s][silent[s]] for s in sets}),
            (by_labels, others),
        ):
            fit = LogisticRegression(C=0.3, max_iter=300).fit(given["train"], goal["train"])
            result[name] = float(roc_auc_score(goal["test"], fit.decision_function(given["test"])))
    return {
        "reports": len(texts["train"]) + len(texts["test"]),
        "left_out_in_test": left_out,
        "auroc_by_words": by_words,
        "auroc_by_other_labels": by_labels,
        "macro_auroc_by_words": float(np.mean(list(by_words.values()))),
        "macro_auroc_by_other_labels": float(np.mean(list(by_labels.values()))),
    }


def shortcut(count: int) -> dict[str, float]:
    """AUROC of the device as a sign of the finding, by split of `hard`."""
    source = PhantomSource(config="hard", patients=10**6)
    rows: dict[str, list] = {"train": [], "test": []}
    for patient in range(count):
        split = split_of(0, patient)
        if split in rows:
            kinds = {finding.kind for finding in source.truth(patient, 0)[1]}
            rows[split].append((Kind.PNEUMOTHORAX in kinds, Kind.CENTRAL_LINE in kinds))
    result = {"finding": LABEL_OF[Kind.PNEUMOTHORAX], "device": Kind.CENTRAL_LINE.value}
    for split, pairs in rows.items():
        has, line = np.array(pairs).T
        result[split] = float(roc_auc_score(has, line))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=tuple(_PIXELS), required=True)
    parser.add_argument("--train", type=int, default=4000, help="training images")
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--reports", type=int, default=6000, help="training reports, text alone")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/phantom_ceilings"))
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()
    config, size = arguments.config, _PIXELS[arguments.config]
    train = draw(config, "train", arguments.train, size, arguments.work)
    test = draw(config, "test", arguments.test, size, arguments.work)
    x, test_x = coarse(train.pixels), coarse(test.pixels)
    row = {
        "version": VERSION,
        "train_images": len(x),
        "test_images": len(test_x),
        "linear_probe_16x16_auroc": probe_auroc(x, train.labels, test_x, test.labels),
        "nearest_neighbour_16x16_auroc": neighbours_auroc(x, train.labels, test_x, test.labels),
        "retrieval": retrieval(x, train.reports, test_x, test.reports),
        "text_alone": unmentioned(config, arguments.reports),
    }
    print(f"{config}: linear probe {row['linear_probe_16x16_auroc']:.3f},", end=" ")
    print(f"nearest neighbours {row['nearest_neighbour_16x16_auroc']:.3f}")
    print("  retrieval", {key: round(value, 4) for key, value in row["retrieval"].items()})
    alone = row["text_alone"]
    print(f"  what a report leaves out: by its words {alone['macro_auroc_by_words']:.3f},", end="")
    print(f" by the other labels {alone['macro_auroc_by_other_labels']:.3f}")
    if config == "hard":
        row["shortcut"] = shortcut(4 * arguments.reports)
        print("  shortcut", row["shortcut"])
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result[config] = row
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
