"""`place evaluate TASK`: scores of a checkpoint on a prepared data set."""

import json
import math
import pathlib
from collections.abc import Callable, Mapping

_MAPS = ("attention", "similarity", "evidence")
TASKS = ("linear", "fine-tune", "zero-shot", "retrieval", "grounding")


def add(verbs, add_verb: Callable) -> None:
    """Adds the verb to the parser of `place`."""
    parser = add_verb(
        verbs,
        "evaluate",
        _evaluate,
        "scores of a checkpoint on a prepared data set, with the protocol that they follow",
        "place evaluate linear --checkpoint RUN --data DATA --fraction 0.01 1 --out linear.json",
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--checkpoint", required=True, help="a workdir, or a checkpoints/STEP")
    parser.add_argument("--data", default="", help="a folder that `place prepare` wrote")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument(
        "--against",
        metavar="CHECKPOINT",
        help="another checkpoint: paired differences over the same patients",
    )
    parser.add_argument(
        "--subgroups",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of linear and zero-shot: score parts of the split by themselves too: view, device, "
        "or columns of --subgroup-table such as sex and age",
    )
    parser.add_argument(
        "--subgroup-table",
        metavar="CSV",
        help="with a column of image, study or patient identifiers; of a prepared folder, its CSV",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="of zero-shot and retrieval: 5x200, 8x200 or names of labels, to choose one of",
    )
    parser.add_argument(
        "--out", help="a JSON file for the scores; curves and confusions go beside it, SVG and PNG"
    )
    linear = parser.add_argument_group("linear and fine-tune")
    linear.add_argument(
        "--fraction",
        type=float,
        nargs="+",
        default=[0.01, 0.1, 1.0],
        help="of the training examples (0.01 0.1 1)",
    )
    linear.add_argument(
        "--seeds", type=int, help="runs for each fraction (5 of linear, 1 of fine-tune)"
    )
    linear.add_argument("--protocol", default="strict", choices=("strict", "mgca_compat"))
    tuned = parser.add_argument_group("fine-tune")
    tuned.add_argument("--epochs", type=int, default=10, help="over the subset (10)")
    tuned.add_argument("--batch-size", type=int, default=48, help="of all devices (48)")
    tuned.add_argument("--learning-rate", type=float, default=3e-4, help="at its peak (3e-4)")
    tuned.add_argument(
        "--layer-decay", type=float, default=0.75, help="a block's rate over the next one's (0.75)"
    )
    zero_shot = parser.add_argument_group("zero-shot")
    zero_shot.add_argument("--prompts", help="JSON: {label: {positive: [...], negative: [...]}}")
    zero_shot.add_argument(
        "--combine",
        choices=("mean", "max"),
        default="mean",
        help="of several prompts of one meaning: their mean embedding, or the best cosine (mean)",
    )
    zero_shot.add_argument(
        "--transductive",
        action="store_true",
        help="with --classes: also scores normalised over the test images, as GLoRIA's code does",
    )
    zero_shot.add_argument(
        "--sensitivity", action="store_true", help="what each pair of prompts scores by itself"
    )
    retrieval = parser.add_argument_group("retrieval")
    retrieval.add_argument(
        "--pool",
        type=int,
        help="distinct reports to choose from, an image each; 0: all, and every image "
        "(the checkpoint's)",
    )
    retrieval.add_argument("--resamplings", type=int, default=5, help="lists drawn by class (5)")
    grounding = parser.add_argument_group("grounding")
    grounding.add_argument(
        "--phrases",
        metavar="CSV",
        help="in the place of --data: image, phrase, and x, y, w, h or mask a row; MS-CXR's file "
        "as it is",
    )
    grounding.add_argument(
        "--maps",
        nargs="+",
        choices=_MAPS,
        default=_MAPS,
        help="kinds of maps; evidence takes longest (all)",
    )
    grounding.add_argument("--images", help="where its image paths start; else its own folder")
    grounding.add_argument(
        "--training-phrases", metavar="CSV", help="another such file, for the mean region"
    )


def _evaluate(arguments) -> None:
    from place_jax.transfer.checkpoint_scores import Request, evaluate_checkpoint, read_prompts
    from place_jax.transfer.maps import MapKind
    from place_jax.transfer.protocols.fine_tune import FineTuneRecipe
    from place_jax.transfer.subgroups import Subgroups
    from place_jax.transfer.zero_shot import Combine
    from place_jax.transfer.zero_shot_task import ZeroShotOptions

    if arguments.phrases and arguments.task != "grounding":
        raise ValueError(f"--phrases is of grounding, not of {arguments.task}")
    for given, option, tasks in (
        (arguments.subgroups, "--subgroups", ("linear", "zero-shot")),
        (arguments.split != "test", "--split", ("zero-shot", "retrieval", "grounding")),
    ):
        if given and arguments.task not in tasks:
            raise ValueError(f"{option} is of {' and '.join(tasks)}, not of {arguments.task}")
    if (arguments.images or arguments.training_phrases) and not arguments.phrases:
        raise ValueError("--images and --training-phrases are of phrases: give --phrases too")
    if arguments.seeds is not None and arguments.seeds < 1:
        raise ValueError(f"--seeds {arguments.seeds}: use 1 or more")
    if arguments.transductive and not arguments.classes:
        raise ValueError("--transductive is of a choice of classes: give --classes too")
    request = Request(
        arguments.task,
        arguments.data,
        split=arguments.split,
        prompts=read_prompts(arguments.prompts) if arguments.prompts else None,
        protocol=arguments.protocol,
        fractions=tuple(arguments.fraction),
        seeds=arguments.seeds or (1 if arguments.task == "fine-tune" else 5),
        recipe=FineTuneRecipe(
            learning_rate=arguments.learning_rate,
            layer_decay=arguments.layer_decay,
            batch_size=arguments.batch_size,
            epochs=arguments.epochs,
        ),
        subgroups=Subgroups(
            tuple(arguments.subgroups),
            pathlib.Path(arguments.subgroup_table) if arguments.subgroup_table else None,
        ),
        zero_shot=ZeroShotOptions(
            combine=Combine(arguments.combine),
            classes=tuple(arguments.classes),
            transductive=arguments.transductive,
            sensitivity=arguments.sensitivity,
        ),
        pool=arguments.pool,
        resamplings=arguments.resamplings,
        maps=tuple(MapKind(name) for name in arguments.maps),
        phrases=arguments.phrases,
        images=arguments.images,
        training_phrases=arguments.training_phrases,
    )
    protocol, scores = evaluate_checkpoint(request, arguments.checkpoint, against=arguments.against)
    print(f"protocol: {protocol}")
    print_scores(scores)
    _warn_of_few(scores)
    if arguments.out:
        _write(pathlib.Path(arguments.out), protocol, scores)


def _write(out: pathlib.Path, protocol: str, scores) -> None:
    """The JSON file, and pictures beside it."""
    from place_jax.evaluation_pictures import write_pictures
    from place_jax.metrics.scores import Table

    out.parent.mkdir(parents=True, exist_ok=True)
    # NaN is no JSON: a score that has no value is null.
    written = {"protocol": protocol} | {
        name: value if math.isfinite(value) else None for name, value in scores.items()
    }
    tables = {n: list(d.rows) for n, d in scores.details.items() if isinstance(d, Table)}
    if tables:
        written["tables"] = tables
    aside = out.with_name(f".{out.name}.partial")
    aside.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    aside.replace(out)
    pictures = write_pictures(scores.details, out.with_suffix(""))
    print(f"written: {', '.join(str(path) for path in (out, *pictures))}")


def _warn_of_few(scores: Mapping[str, float]) -> None:
    """Says so where a number cannot stand by itself."""
    from place_jax.transfer.sample_sizes import FEW_PATIENTS

    patients = [count for name, count in scores.items() if name.endswith("/patients")]
    if patients and min(patients) < FEW_PATIENTS:
        print(
            f"Of {min(patients):.0f} patients, which are few: no score here stands by itself; read "
            "its interval, and the positives of its label."
        )


def _line(name: str, value: float) -> str:
    number = f"{value:8.4f}" if isinstance(value, float) else str(value)
    return f"  {name:<56} {number}"


def print_scores(scores: Mapping[str, float]) -> None:
    """Prints scores a line each, with their interval where there is one."""
    for name, value in scores.items():
        if name.endswith(("_ci_low", "_ci_high")):
            continue
        line = _line(name, value)
        if f"{name}_ci_low" in scores:
            line += f"  (95 % {scores[f'{name}_ci_low']:.4f} to {scores[f'{name}_ci_high']:.4f})"
        print(line)
