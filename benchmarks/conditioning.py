"""When does CCE's prediction use the report? What a report can add, and what training makes of it.

    python benchmarks/conditioning.py --data runs/demo/data --out runs/conditioning

First what there is to be learned, with no training of ours: ridge regressions of a pair's target,
from what the visible patches show (their pixels at a quarter of the resolution and their own
correlations) and from that beside the words of the report, scored on test patients. Then short
runs of configs/phantom_demo.py under several settings. Runs that were finished are read, not
repeated. Writes benchmarks/results/conditioning.json and .md. --skip-training leaves the runs out.
"""

import argparse
import collections
import json
import pathlib

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
CROP, PATCH, SIDE = 112, 16, 7
COMMON = [
    "loss.lambda_p=0.0",
    "data.batch_size=32",
    "evaluation.max_examples=256",
    "evaluation.bootstrap=0",
    "train.checkpoint_every=1000000",
    "train.eval_every=1000000",
]
IMAGE = "model.correlation.centre=image"
BLOCK = ["model.correlation.hide_layout=block", "model.correlation.mask_ratio=0.75"]
ROWS = {
    "as first built: texture, scattered half, unit rows": [
        "model.correlation.form=low_rank",
    ],
    "texture, scattered half, rows within the ball": [],
    "texture, block of 3/4": [*BLOCK],
    "brightness, scattered half": [IMAGE],
    "brightness, block of 3/4": [IMAGE, *BLOCK],
    "texture, scattered half, from the mean matrix": ["model.correlation.start=mean"],
    "brightness, block of 3/4, from the mean matrix": [
        IMAGE,
        *BLOCK,
        "model.correlation.start=mean",
    ],
    "brightness, everything hidden": [IMAGE, "model.correlation.mask_ratio=1.0"],
    "brightness, one side, both hidden": [
        IMAGE,
        "model.correlation.hide_layout=side",
        "loss.correlation_pairs=both_hidden",
    ],
    "brightness, block of 3/4, covariance": [
        IMAGE,
        *BLOCK,
        "model.correlation.statistic=covariance",
        "model.correlation.form=free",
    ],
    "features of a moving average, block of 3/4": [
        *BLOCK,
        "model.correlation.target=ema_features",
        "train.ema_decay=0.98",
    ],
}


def read_split(data_dir: str, split: str, limit: int) -> dict[str, np.ndarray]:
    """Images [n, 112, 112] float32 and tokens [n, L] of a split."""
    from data_pipelines.batches import evaluation_batches, open_data

    stream = evaluation_batches(
        open_data(data_dir),
        split,
        batch_size=64,
        crop_size=CROP,
        max_tokens=72,
        max_sentences=8,
        max_examples=limit,
    )
    parts = [{k: b[k][b["example_mask"]] for k in ("image", "tokens")} for b in stream]
    image = np.concatenate([part["image"][..., 0] for part in parts]).astype(np.float32)
    return {"image": image, "tokens": np.concatenate([part["tokens"] for part in parts])}


def words_of(tokens: np.ndarray, known: list | None = None) -> tuple[np.ndarray, list]:
    """Which word pieces and pairs of them a report has, 0 or 1; those neither rare nor common."""
    rows = []
    for row in tokens:
        pieces = row[row > 0].tolist()
        rows.append({(a,) for a in pieces} | set(zip(pieces, pieces[1:], strict=False)))
    if known is None:
        times = collections.Counter(feature for row in rows for feature in row)
        known = sorted(f for f, n in times.items() if 25 <= n <= len(rows) - 25)
    return np.array([[f in row for f in known] for row in rows], np.float32), known


def patches_of(image: np.ndarray) -> np.ndarray:
    """[n, 112, 112] -> [n, 49, 256], row by row."""
    cut = image.reshape(len(image), SIDE, PATCH, SIDE, PATCH).transpose(0, 1, 3, 2, 4)
    return cut.reshape(len(image), SIDE * SIDE, -1)


def moments(image: np.ndarray, centre: str, statistic: str) -> np.ndarray:
    """The targets of CCE once more, [n, 49, 49]."""
    x = patches_of(image)
    x = x - (x.mean(-1, keepdims=True) if centre == "patch" else x.mean((1, 2), keepdims=True))
    square = (x**2).sum(-1, keepdims=True)
    if statistic == "covariance":
        square = square.mean(1, keepdims=True)
    x = x / np.sqrt(np.maximum(square, 1e-6))
    return np.einsum("bnp,bmp->bnm", x, x)


def hidings() -> dict[str, np.ndarray]:
    """One draw of each layout: which of the 49 patches are hidden."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    order = np.random.default_rng(0).permutation(SIDE * SIDE)
    return {
        "everything": np.ones(SIDE * SIDE, bool),
        "scattered half": order < 24,
        "scattered 9/10": order < 44,
        "a side": columns < 3,
        "block of 3/4": np.argsort(np.argsort(np.hypot(rows - 4, columns - 2))) < 37,
    }


def principal(train: np.ndarray, test: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Both by the training rows' first principal components, at unit variance."""
    mean = train.mean(0)
    _, size, axes = np.linalg.svd(train - mean, full_matrices=False)
    axes = axes[:count].T / (size[:count] / np.sqrt(len(train)))
    return (train - mean) @ axes, (test - mean) @ axes


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def what_reports_add(data_dir: str) -> list[dict]:
    """One row for each target and layout, over pairs with a hidden patch."""
    train, test = read_split(data_dir, "train", 2500), read_split(data_dir, "test", 600)
    words, known = words_of(train["tokens"])
    test_words, _ = words_of(test["tokens"], known)
    test_words, words = 2 * (test_words - words.mean(0)), 2 * (words - words.mean(0))
    rolled = np.roll(test_words, 7, axis=0)
    coarse = [
        patches_of(split["image"]).reshape(-1, SIDE * SIDE, 4, 4, 4, 4).mean((3, 5))
        for split in (train, test)
    ]
    found = []
    for centre, statistic in (
        ("patch", "correlation"),
        ("patch", "covariance"),
        ("image", "correlation"),
        ("image", "covariance"),
    ):
        target, test_target = (moments(s["image"], centre, statistic) for s in (train, test))
        for layout, hidden in hidings().items():
            pairs = np.where(np.triu(hidden[:, None] | hidden[None], 1))
            y, t = target[:, pairs[0], pairs[1]], test_target[:, pairs[0], pairs[1]]
            y, t = y - y.mean(0), t - y.mean(0)
            seen = [np.zeros((len(y), 1)), np.zeros((len(t), 1))]
            if not hidden.all():
                shown = [c[:, ~hidden].reshape(len(c), -1) for c in coarse]
                among = np.where(np.triu(~hidden[:, None] & ~hidden[None], 1))
                own = [m[:, among[0], among[1]] for m in (target, test_target)]
                parts = [principal(*shown, 60), principal(*own, min(60, len(among[0])))]
                seen = [np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)]

            def error(columns, weights, t=t):
                return float(np.mean((t - columns @ weights) ** 2))

            alone = error(seen[1], ridge(seen[0], y, 100.0))
            weights = ridge(np.concatenate([seen[0], words], axis=1), y, 400.0)
            right = error(np.concatenate([seen[1], test_words], axis=1), weights)
            wrong = error(np.concatenate([seen[1], rolled], axis=1), weights)
            mean = float(np.mean(t**2))
            found.append(
                {
                    "centre": centre,
                    "statistic": statistic,
                    "hidden": layout,
                    "error_of_mean_matrix": mean,
                    "r2_visible": 1 - alone / mean,
                    "r2_visible_and_report": 1 - right / mean,
                    "rise_with_rolled_reports": wrong / right - 1,
                }
            )
            print(found[-1], flush=True)
    return found


def train_row(name: str, overrides: list[str], arguments: argparse.Namespace) -> dict:
    """Trains one row, or reads what an earlier call trained."""
    from place_jax import configuration
    from place_jax.training import checkpoints
    from place_jax.training.loop import train_and_evaluate

    folder = "".join(c if c.isalnum() else "_" for c in name)
    workdir = pathlib.Path(arguments.out) / f"{folder}_{arguments.steps}"
    result = workdir / "result.json"
    if not result.exists():
        settings = [*COMMON, f"data.dir={arguments.data}", f"train.steps={arguments.steps}"]
        train_and_evaluate(configuration.load_config("phantom_demo", settings + overrides), workdir)
    scores = json.loads(result.read_text())
    own, rolled = (scores[f"correlation/test/loss{kind}"] for kind in ("", "_rolled_reports"))
    kept = (
        "correlation/test/loss",
        "correlation/test/loss_rolled_reports",
        "correlation/test/r2_over_mean",
        "correlation/test/rise_rolled_reports_ci_low",
        "correlation/test/rise_rolled_reports_ci_high",
        "gradient/test/norm_instance",
        "gradient/test/norm_correlation",
        "zero_shot/test/macro_auroc",
        "retrieval/test/recall_at_10",
        "train/seconds",
    )
    row = {"setting": name, "overrides": overrides, "steps": scores["step"]}
    code = checkpoints.read_metadata(checkpoints.find(workdir))["code_revision"]
    row |= {"code": code, "rise": rolled / own - 1}
    return row | {key: scores.get(key) for key in kept}


def tables(result: dict) -> str:
    """Both parts as Markdown."""
    lines = [
        "What there is to learn: ridge regressions on 2,500 phantoms, scored on test patients.",
        "",
        "| target | hidden | R² over the mean matrix, visible patches | with the report "
        "| loss rises under rolled reports by |",
        "|---|---|---|---|---|",
    ]
    for row in result["what_reports_add"]:
        what = "texture" if row["centre"] == "patch" else "brightness"
        lines.append(
            f"| {what}, {row['statistic']} | {row['hidden']} | {row['r2_visible']:.3f} "
            f"| {row['r2_visible_and_report']:.3f} | {row['rise_with_rolled_reports']:.1%} |"
        )
    if result["trained"]:
        lines += [
            "",
            "What training makes of it: ITA + CCE (PCMA off), 32 pairs a step, one seed, on 256 "
            "test images.",
            "",
            "| setting | steps | CCE loss | rolled reports | rise | R² over the mean matrix "
            "| zero-shot AUROC | recall@10 |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for row in result["trained"]:
        lines.append(
            f"| {row['setting']} | {row['steps']} | {row['correlation/test/loss']:.4f} "
            f"| {row['correlation/test/loss_rolled_reports']:.4f} | {row['rise']:+.2%} "
            f"({row['correlation/test/rise_rolled_reports_ci_low']:+.2%} to "
            f"{row['correlation/test/rise_rolled_reports_ci_high']:+.2%}) "
            f"| {row['correlation/test/r2_over_mean']:.3f} "
            f"| {row['zero_shot/test/macro_auroc']:.3f} "
            f"| {row['retrieval/test/recall_at_10']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Both parts, written after every row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="the demo's prepared folder")
    parser.add_argument("--out", required=True, help="a folder for the runs")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), help="of ROWS; all")
    parser.add_argument("--skip-training", action="store_true")
    arguments = parser.parse_args()
    path = RESULTS / "conditioning.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    if "what_reports_add" not in result:
        result["what_reports_add"] = what_reports_add(arguments.data)
    kept = {row["setting"]: row for row in result.get("trained", [])}
    for name in [] if arguments.skip_training else arguments.rows:
        kept[name] = train_row(name, ROWS[name], arguments)
        result["trained"] = [kept[name] for name in ROWS if name in kept]
        path.write_text(json.dumps(result, indent=1) + "\n")
    result.setdefault("trained", [])
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(tables(result))
    print(tables(result))


if __name__ == "__main__":
    main()
