"""What a small supervised network reaches on PhantomCXR: the ceilings that its card states.

    python benchmarks/phantom_ceilings.py --config default

One convolutional network of 0.4 million parameters is trained from nothing on the labels and
masks of the training split, at 64 pixels (easy) or 96, and scored on the test split: classification
(macro AUROC), segmentation (Dice on a grid of 4x4 pixels a cell, over the images that have the
label), detection (mean average precision at IoU 0.5, boxes around the connected parts of the
predicted masks, above the threshold that does best in training). On `hard` it also shows the
shortcut: the device that goes with pneumothorax in training.

Writes benchmarks/results/phantom_ceilings.json, a row a config. Drawn phantoms and the state of
training are kept in --work, so that a run that was stopped goes on.
"""

import argparse
import json
import pathlib
import time

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from phantom_draws import CELL, Draws, draw, drawn_labels
from sklearn.metrics import roc_auc_score

from data_pipelines.phantom import VERSION
from data_pipelines.records import Label

RESULT = pathlib.Path(__file__).parent / "results" / "phantom_ceilings.json"
BATCH = 32
# Pixels a side, training images, epochs over them.
EFFORT = {"easy": (64, 4000, 10), "default": (96, 8000, 8), "hard": (96, 8000, 8)}
_WIDTHS = (32, 64, 96)


def initial(key: jax.Array, labels: int) -> dict[str, jax.Array]:
    """Parameters: convolutions [h, w, in, out] by name, and the classifier's bias."""
    a, b, c = _WIDTHS
    shapes = {
        "stem": (CELL, CELL, 1, 32), "s4": (3, 3, 32, a),
        "down8": (3, 3, a, b), "s8a": (3, 3, b, b), "s8b": (3, 3, b, b),
        "down16": (3, 3, b, c), "s16a": (3, 3, c, c), "s16b": (3, 3, c, c),
        "whole": (1, 1, c, c), "up8": (1, 1, c, b), "u8": (3, 3, b, b),
        "up4": (1, 1, b, a), "u4": (3, 3, a, a), "mask": (1, 1, a, labels),
        "label": (1, 1, c, labels),
    }  # fmt: skip
    keys = jax.random.split(key, len(shapes))
    normal = {
        name: jax.random.normal(k, shape) * np.sqrt(2 / np.prod(shape[:3]))
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    normal["mask"], normal["label"] = 0.1 * normal["mask"], 0.1 * normal["label"]
    rest = {"mask_bias": jnp.full(labels, -3.0), "label_bias": jnp.full(labels, -2.0)}
    return normal | rest | {"peak": jnp.full(labels, 0.3)}


def network(p: dict[str, jax.Array], pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Images [B, size, size] uint8 -> label logits [B, K], mask logits [B, h, w, K]."""

    def conv(x, name, stride=1):
        return jax.lax.conv_general_dilated(
            x, p[name], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def normed(x):
        return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5)

    def residual(x, first, second):
        return x + conv(jax.nn.relu(normed(conv(normed(x), first))), second)

    def twice(x):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

    x = pixels[..., None].astype(jnp.float32) / 255
    x = (x - x.mean((1, 2), keepdims=True)) / (x.std((1, 2), keepdims=True) + 0.02)
    x4 = jax.nn.relu(normed(conv(jax.nn.relu(conv(x, "stem", CELL)), "s4")))
    x8 = residual(jax.nn.relu(conv(x4, "down8", 2)), "s8a", "s8b")
    x16 = residual(jax.nn.relu(conv(normed(x8), "down16", 2)), "s16a", "s16b")
    x16 = normed(x16)
    whole = jax.nn.relu(conv(x16.mean((1, 2), keepdims=True), "whole"))
    y8 = twice(conv(x16 + whole, "up8")) + x8
    y8 = y8 + jax.nn.relu(conv(normed(y8), "u8"))
    y4 = twice(conv(normed(y8), "up4")) + x4
    y4 = y4 + jax.nn.relu(conv(normed(y4), "u4"))
    masks = conv(normed(y4), "mask") + p["mask_bias"]
    # An image has a label where some place has it, or by its looks as a whole.
    peak = jax.nn.logsumexp(masks * 2, axis=(1, 2)) / 2
    labels = conv(whole, "label")[:, 0, 0] + p["peak"] * peak + p["label_bias"]
    return labels, masks


def loss(p, pixels, labels, masks):
    """Cross-entropy of known labels, cross-entropy and Dice of masks."""
    label_logits, mask_logits = network(p, pixels)
    known = labels >= 0
    label_loss = optax.sigmoid_binary_cross_entropy(label_logits, jnp.maximum(labels, 0))
    label_loss = (label_loss * known).sum() / known.sum()
    target = masks.astype(jnp.float32) / 255
    mask_loss = optax.sigmoid_binary_cross_entropy(mask_logits, target).mean()
    share = jax.nn.sigmoid(mask_logits)
    overlap = (share * target).sum((0, 1, 2))
    dice = 1 - (2 * overlap + 1) / (share.sum((0, 1, 2)) + target.sum((0, 1, 2)) + 1)
    return label_loss + 4 * mask_loss + 0.3 * dice.mean()


def train(config: str, train_set: Draws, epochs: int, work: pathlib.Path):
    """Trains with Adam and returns an average of the last parameters."""
    count = len(train_set.pixels)
    steps = epochs * count // BATCH
    schedule = optax.warmup_cosine_decay_schedule(0, 2e-3, min(200, steps // 5), steps, 2e-5)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.02)
    )
    params = initial(jax.random.key(0), train_set.labels.shape[1])
    state = (params, optimizer.init(params), params)

    @jax.jit
    def update(state, pixels, labels, masks):
        params, moments, average = state
        value, gradient = jax.value_and_grad(loss)(params, pixels, labels, masks)
        change, moments = optimizer.update(gradient, moments, params)
        params = optax.apply_updates(params, change)
        average = jax.tree.map(lambda a, b: 0.995 * a + 0.005 * b, average, params)
        return (params, moments, average), value

    kept, first = work / f"{config}-{VERSION}-{steps}-training.npz", 0
    if kept.exists():
        with np.load(kept) as stored:
            first = int(stored["step"])
            leaves = [stored[f"leaf{i}"] for i in range(len(stored.files) - 1)]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
    start, recent = time.time(), []
    for step in range(first, steps):
        order = np.random.default_rng(step * BATCH // count).permutation(count)
        at = order[np.arange(step * BATCH, (step + 1) * BATCH) % count]
        state, value = update(
            state, train_set.pixels[at], train_set.labels[at], train_set.masks[at]
        )
        recent.append(float(value))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            rate = (step + 1 - first) * BATCH / (time.time() - start)
            mean = np.mean(recent[-100:])
            print(f"{config} {step + 1}/{steps} loss {mean:.4f}, {rate:.0f} images/s", flush=True)
            leaves = {f"leaf{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state))}
            np.savez(work / "aside.npz", step=step + 1, **leaves)
            (work / "aside.npz").rename(kept)
    return state[2]


def predict(params, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label logits [n, K] and mask chances [n, h, w, K]."""
    run = jax.jit(lambda p, x: network(p, x))
    parts = [run(params, pixels[i : i + 100]) for i in range(0, len(pixels), 100)]
    labels, masks = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in (0, 1))
    return labels, 1 / (1 + np.exp(-masks))


def aurocs(names: list[str], labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Label -> AUROC over the images where it is known."""
    result = {}
    for k, name in enumerate(names):
        known = labels[:, k] >= 0
        if len(set(labels[known, k])) == 2:
            result[name] = float(roc_auc_score(labels[known, k], scores[known, k]))
    return result


def dices(names: list[str], masks: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Label -> mean Dice over the images that have it."""
    result = {}
    for k, name in enumerate(names):
        truth, found = masks[..., k] >= 128, shares[..., k] > 0.5
        has = truth.any((1, 2))
        both = (truth & found).sum((1, 2))[has]
        result[name] = float((2 * both / (truth.sum((1, 2)) + found.sum((1, 2)))[has]).mean())
    return result


def found_boxes(share: np.ndarray, least: float, join: int) -> list[tuple[float, np.ndarray]]:
    """Parts of one mask's chances [h, w] above `least`: (score, box in pixels).

    What is less than `join` cells apart is one part: a thin line breaks here and there.
    """
    found = (share > least).astype(np.uint8)
    count, parts = cv2.connectedComponents(cv2.dilate(found, np.ones((join, join), np.uint8)))
    boxes = []
    for part in range(1, count):
        inside = (parts == part) & (found > 0)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) * CELL
        boxes.append((float(share[inside].mean()), box))
    return boxes


def best_parts(boxes: np.ndarray, shares: np.ndarray, k: int) -> tuple[float, int]:
    """The threshold and joining that do best for one label, to be chosen on training images."""
    choices = [(least, join) for least in (0.5, 0.25, 0.12, 0.06) for join in (1, 3)]
    return max(choices, key=lambda choice: average_precision(boxes, shares, k, 0.5, choice))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))


def average_precision(
    boxes: np.ndarray, shares: np.ndarray, k: int, least: float, parts: tuple[float, int]
) -> float:
    """Area below precision over recall of one label; a box is found once, by `least` of IoU."""
    truth = [[np.array(box[1:]) for box in own if box[0] == k] for own in boxes]
    total = sum(map(len, truth))
    claims = [
        (score, image, box)
        for image, share in enumerate(shares[..., k])
        for score, box in found_boxes(share, *parts)
    ]
    claims.sort(key=lambda claim: -claim[0])
    taken, right = set(), []
    for _, image, box in claims:
        ious = [overlap(box, true) for true in truth[image]]
        best = int(np.argmax(ious)) if ious else -1
        hit = bool(ious) and ious[best] >= least and (image, best) not in taken
        if hit:
            taken.add((image, best))
        right.append(hit)
    if not right:
        return 0.0
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * right).sum() / total)


def shortcut(names, train_set: Draws, held_out: Draws, validation: Draws, params) -> dict:
    """How the score of pneumothorax goes with the central line, where it betrays and where not."""
    k = names.index("Pneumothorax")
    device = names.index("Support Devices")
    result = {}
    for name, own in (("validation", validation), ("test", held_out)):
        scores = predict(params, own.pixels)[0][:, k]
        has, line = own.labels[:, k] == Label.POSITIVE, own.labels[:, device] == Label.POSITIVE
        result[name] = {
            "auroc": float(roc_auc_score(has, scores)),
            "device_alone_auroc": float(roc_auc_score(has, line)),
            "auroc_with_device_without_finding_against_finding_without_device": float(
                roc_auc_score(has[has != line], scores[has != line])
            ),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=tuple(EFFORT), required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("runs/phantom_ceilings"))
    parser.add_argument("--test", type=int, default=1000, help="images to score on")
    parser.add_argument("--out", type=pathlib.Path, default=RESULT)
    arguments = parser.parse_args()
    config, work = arguments.config, arguments.work
    size, count, epochs = EFFORT[config]
    train_set = draw(config, "train", count, size, work)
    held_out = draw(config, "test", arguments.test, size, work)
    names = drawn_labels(config)
    params = train(config, train_set, epochs, work)
    scores, shares = predict(params, held_out.pixels)
    seen = train_set.boxes[:1000], predict(params, train_set.pixels[:1000])[1]
    row = {
        "version": VERSION,
        "pixels": size,
        "train_images": count,
        "epochs": epochs,
        "test_images": len(held_out.pixels),
        "parameters": int(sum(leaf.size for leaf in jax.tree.leaves(params))),
        "auroc": aurocs(names, held_out.labels, scores),
        "dice": dices(names, held_out.masks, shares),
        "ap50": {
            name: average_precision(held_out.boxes, shares, k, 0.5, best_parts(*seen, k))
            for k, name in enumerate(names)
        },
    }
    for score in ("auroc", "dice", "ap50"):
        row[f"macro_{score}"] = float(np.mean(list(row[score].values())))
        row[score] = {name: round(value, 4) for name, value in row[score].items()}
        print(f"{config} macro {score}: {row[f'macro_{score}']:.4f}", row[score])
    if config == "hard":
        validation = draw(config, "validation", arguments.test, size, work)
        row["shortcut"] = shortcut(names, train_set, held_out, validation, params)
        print(row["shortcut"])
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result[config] = row
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
