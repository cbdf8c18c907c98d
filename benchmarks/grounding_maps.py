"""Ways of making a map of where a sentence is, chosen among on validation, the chosen one on test.

    ./launch/demo.sh runs/demo
    place train --config phantom_demo:plain --workdir runs/plain --config.data.dir=runs/demo/data
    python benchmarks/grounding_maps.py --data runs/demo/data \\
        --checkpoint demo=runs/demo/run plain=runs/plain --test demo

writes benchmarks/results/grounding_maps.json and .md: of each checkpoint and each way the pointing
game on the validation patients, over all sentences and by finding, beside another patient's image,
another finding's sentence, and the training set's mean regions; and of --test what
`place evaluate grounding` scores on the test patients with intervals. Checkpoints that are not
named stay as they are.
"""

import argparse
import json
import os
import pathlib

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results" / "grounding_maps"
_WAYS = {
    "attention of the best V-POR": "what `--map attention` draws",
    "attention, V-PORs weighed by match": "mean attention, weights of the objective's soft match",
    "a patch hidden": "fall of the match",
    "3 x 3 patches hidden": "likewise",
    "a patch alone": "the match where nothing else may be read",
    "attention x a patch alone": "product of weighed attention and the exponential of match / 0.1",
    "evidence, 128 views": "RISE on the patches that queries may read",
    "evidence, 256 views": "",
    "evidence, 512 views, linear": "the map's maximum is then at the centre of a patch",
    "evidence, 512 views": "what `--map evidence` draws: cubic between the centres of patches",
    "attention x evidence": "product of weighed attention and evidence above 0",
    "similarity": "what `--map similarity` draws",
}


def neighbours(side: int, reach: int) -> np.ndarray:
    """[N, N] bool: patches at most `reach` rows and columns apart."""
    places = np.stack(np.divmod(np.arange(side**2), side), axis=1)
    return np.abs(places[:, None] - places[None]).max(axis=-1) <= reach


def maps_of(v_por, attention, patches, sentence, report, tau_m, views, match_views) -> dict:
    """[N] of each way, of one image and one sentence.

    Args:
      v_por: [Q, E]; attention: [Q, N]; patches: [N, E]; sentence: [E]; report: [E].
      tau_m: of the soft match.
      views: name -> [M, N] bool.
      match_views: name -> [M] of the sentence with each view.
    """
    from place_jax.transfer.evidence import evidence

    cosine = v_por @ sentence
    share = np.exp((cosine - cosine.max()) / tau_m)
    weighed = share @ attention / share.sum()
    alone = match_views["alone"]
    whole = tau_m * np.log(np.exp(cosine / tau_m).sum())
    found = evidence(match_views["views"], views["views"])
    return {
        "attention of the best V-POR": attention[cosine.argmax()],
        "attention, V-PORs weighed by match": weighed,
        "a patch hidden": whole - match_views["without"],
        "3 x 3 patches hidden": whole - match_views["without 3 x 3"],
        "a patch alone": alone,
        "attention x a patch alone": weighed * np.exp((alone - alone.max()) / 0.1),
        "evidence, 128 views": evidence(match_views["views"][:128], views["views"][:128]),
        "evidence, 256 views": evidence(match_views["views"][:256], views["views"][:256]),
        "evidence, 512 views, linear": found,
        "evidence, 512 views": found,
        "attention x evidence": weighed * np.maximum(found, 0),
        "similarity": patches @ report,
    }


def try_ways(checkpoint: str, data_dir: str, limit: int) -> dict:
    """Pointing on validation, of each way and of the mean regions."""
    import jax

    from place_jax.metrics.grounding import pointing_hit
    from place_jax.predictor import Predictor
    from place_jax.transfer import grounding
    from place_jax.transfer.evidence import draw_views
    from place_jax.transfer.features import extract_features, split_batches, to_numpy
    from place_jax.transfer.geometry import Between, enlarge
    from place_jax.transfer.matches import match
    from place_jax.transfer.sentence_regions import find_links, training_regions
    from place_jax.transfer.texts import encode_texts

    predictor = Predictor.from_checkpoint(checkpoint)
    data, config = predictor.open_data(data_dir), predictor.config
    weights = predictor.model, predictor.params, predictor.model_state
    crop, tau_m = config.data.crop_size, config.loss.tau_m
    reading = {"config": config, "max_examples": limit}
    kept = ("v_por", "v_por_attention", "t_por", "patch_embedding")
    features = extract_features(*weights, data, "validation", observations=kept, **reading)
    phrases, texts = grounding.linked_phrases(find_links(features, data, "validation", crop), crop)
    encoded = encode_texts(*weights, [[t] for t in texts], data.tokenizer, config=config)
    side = crop // config.model.image.patch_size
    views = {
        "without": ~neighbours(side, 0),
        "without 3 x 3": ~neighbours(side, 1),
        "alone": neighbours(side, 0),
        "views": draw_views(side),
    }
    asked = grounding.control_pairs(phrases, features.patient_id)
    wanted: dict[int, dict[int, dict]] = {}
    for pairs in asked.values():
        for row, text in pairs:
            wanted.setdefault(row, {})[text] = None
    observe = jax.jit(predictor.model.observe_views)
    first = 0
    for batch in split_batches(data, "validation", **reading):
        rows = np.flatnonzero(to_numpy(batch["example_mask"]))
        seen = {
            name: to_numpy(observe(*weights[1:], batch["image"], v)) for name, v in views.items()
        }
        for number, row in enumerate(rows, start=first):
            for text in wanted.get(number, ()):
                sentence = encoded.t_por[text][encoded.sentence_mask[text]][:1]
                matches = {n: match(v[row], sentence, tau_m=tau_m)[:, 0] for n, v in seen.items()}
                wanted[number][text] = maps_of(
                    features.v_por[number],
                    features.v_por_attention[number],
                    features.patch_embedding[number],
                    sentence[0],
                    encoded.report_embedding[text],
                    tau_m,
                    views,
                    matches,
                )
        first += len(rows)
    names = [data.label_names[phrase.label] for phrase in phrases]

    def summary(values) -> dict:
        values, of = np.array(values), np.array(names)
        by = {name: round(float(values[of == name].mean()), 3) for name in sorted(set(names))}
        return {"pointing": float(values.mean()), "by_finding": by}

    prior = grounding.prior_controls(phrases, grounding.make_prior(training_regions(data, crop)))
    out = {
        name.removeprefix("pointing_"): summary(values)
        for name, values in prior.items()
        if name.startswith("pointing_")
    }
    for way in _WAYS:
        cubic = way.startswith("evidence") and not way.endswith("linear")
        between = Between.CUBIC if cubic else Between.LINEAR
        hits = {
            kind: [
                pointing_hit(enlarge(wanted[row][text][way], crop, between), phrase.mask)
                for phrase, (row, text) in zip(phrases, pairs, strict=True)
            ]
            for kind, pairs in asked.items()
        }
        out[way] = summary(hits["own"]) | {
            name: float(np.mean(hits[name])) for name in ("rolled_image", "other_phrase")
        }
    return {"sentences": len(phrases), "images": len(features.index), "ways": out}


def table(result: dict) -> str:
    """The Markdown of all checkpoints."""
    lines = []
    for name, tried in result["validation"].items():
        findings = list(next(iter(tried["ways"].values()))["by_finding"])
        lines += [
            f"{name}, validation: pointing of {tried['sentences']} sentences about "
            f"{tried['images']} images",
            "",
            "| map | how | all | another image | another phrase | " + " | ".join(findings) + " |",
            "|" + "---|" * (5 + len(findings)),
        ]
        for way, found in tried["ways"].items():
            beside = [f"{found[k]:.3f}" if k in found else "" for k in _BESIDE]
            by = [f"{found['by_finding'][finding]:.3f}" for finding in findings]
            cells = [
                way.replace("_", " "),
                _WAYS.get(way, "training set"),
                f"{found['pointing']:.3f}",
                *beside,
                *by,
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    for name, scores in result.get("test", {}).items():
        lines += [f"{name}, test, 95 % intervals over patients", "", "| score | |", "|---|---|"]
        for score, value in scores.items():
            if "/pointing" in score and f"{score}_ci_low" in scores:
                low, high = scores[f"{score}_ci_low"], scores[f"{score}_ci_high"]
                called = score.rpartition("/")[2].replace("_", " ")
                lines.append(f"| {called} | {value:.3f} ({low:.3f} to {high:.3f}) |")
        lines.append("")
    return "\n".join(lines)


_BESIDE = ("rolled_image", "other_phrase")


def main() -> None:
    """Runs what was named and writes both files after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--checkpoint", nargs="+", default=[], metavar="NAME=DIR")
    parser.add_argument("--test", nargs="*", default=[], metavar="NAME", help="scored on test too")
    parser.add_argument("--limit", type=int, default=0, help="images of validation (all)")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args()

    from place_jax.training.checkpoints import find, read_metadata
    from place_jax.transfer.checkpoint_scores import Request, evaluate_checkpoint

    path = arguments.out.with_suffix(".json")
    result = json.loads(path.read_text()) if path.exists() else {}
    for named in arguments.checkpoint:
        name, _, checkpoint = named.partition("=")
        metadata = read_metadata(find(checkpoint))
        result.setdefault("checkpoints", {})[name] = {
            "steps": metadata["data_position"]["step"],
            "code_revision": metadata["code_revision"],
            "patch_size": metadata["config"]["model"]["image"]["patch_size"],
            "observation": metadata["config"]["model"]["observation"],
        }
        tried = try_ways(checkpoint, arguments.data, arguments.limit)
        result.setdefault("validation", {})[name] = tried
        if name in arguments.test:
            _, scores = evaluate_checkpoint(Request("grounding", arguments.data), checkpoint)
            result.setdefault("test", {})[name] = {n: round(v, 4) for n, v in scores.items()}
        result["load_average"] = round(os.getloadavg()[0], 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        path.with_suffix(".md").write_text(table(result))
        print(table(result), flush=True)


if __name__ == "__main__":
    main()
