"""`place VERB`: a thin skin over the library. Heavy imports happen inside the verbs."""

import argparse
import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from data_pipelines.outages import is_outage
from place_jax import cli_evaluate, cli_predict

_CONFIG_PREFIX = "--config."
# Options of `place prepare` that go to the source; one left out takes the source's own default.
_SOURCE_GROUPS = {
    "phantom": {
        "config": {"choices": ("easy", "default", "hard"), "help": "how hard it is (easy)"},
        "patients": {"type": int, "help": "how many; each has one or two images (1000)"},
        "size": {"type": int, "help": "pixels of a rendered side (256)"},
        "seed": {"type": int, "help": "other seeds are other patients (0)"},
        "shift": {
            "choices": ("none", "scanner", "author", "labels"),
            "help": "in what the test split differs from training (none)",
        },
    },
    "folder and official data sets": {
        "raw_dir": {
            "help": "the owner's files; of folder: where image paths start, else the CSV's"
        },
    },
    "official data sets": {
        "protocol": {
            "choices": ("strict", "mgca_compat"),
            "help": "splits and labels as the papers say, or as MGCA's code has them (strict)",
        },
        "views": {"choices": ("frontal", "lateral", "all"), "help": "which images (frontal)"},
        "test_set": {
            "choices": ("official", "valid", "test", "5x200", "all"),
            "help": "what the test split is: of mimic_cxr official (default) or 5x200; of chexpert "
            "valid (default), test or 5x200; of ms_cxr all (default) or test",
        },
        "images": {
            "choices": ("jpg", "png", "dicom"),
            "help": "which of the owner's image files: of mimic_cxr and ms_cxr jpg (default) or "
            "dicom, of openi png (default) or dicom",
        },
        "labels": {
            "choices": ("chexpert", "negbio"),
            "help": "of mimic_cxr: whose labels (chexpert)",
        },
        "held_out": {
            "help": "of mimic_cxr: a CSV with a column dicom_id, such as MS-CXR's; its patients "
            "are left out of training"
        },
        "list_version": {"help": "of covidx: such as 9A, where there are lists of several"},
    },
    "folder": {
        "csv": {"help": "one row an image"},
        "image_column": {"help": "path of a PNG, JPEG or DICOM file"},
        "report_column": {"help": "the report's text"},
        "patient_column": {"help": "patients are kept within a split"},
        "study_column": {"help": "images of one study share a report"},
        "split_column": {"help": "train, validation or test; else by patient"},
        "label_columns": {"nargs": "+", "help": "of 1, 0, -1 (uncertain) or nothing, a label each"},
        "labels_column": {"help": "or one that lists what is there, such as Mass|Nodule"},
        "shareable": {
            "action": "store_true",
            "default": None,
            "help": "images and texts may be shown on pages and in logs",
        },
    },
}
_SOURCE_OPTIONS = tuple(name for options in _SOURCE_GROUPS.values() for name in options)
_WITH_CONFIG = ("train", "preflight", "plan")
_GOES_ON = ("prepare", "train")  # from where it was stopped
_LOST = 70  # a fault that is not of the input: another process's end, a device, an outage
_STOPPED = 143  # as a shell says it of SIGTERM: a launcher starts the same command again


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb. Returns the exit status: 0, 1 for bad input, 2 for bad usage, 70 for a fault
    that is not of the input, such as another process or a disk that was lost, 130 or 143 where it
    was asked to stop and has saved."""
    status = _main(argv)
    if status not in (0, _STOPPED) and _is_one_of_several():
        from place_jax.parallel.processes import leave

        leave(status)
    return status


def _is_one_of_several() -> bool:
    if "jax" not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def _main(argv: Sequence[str] | None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    overrides = [item for item in rest if item.startswith(_CONFIG_PREFIX)]
    unknown = [item for item in rest if not item.startswith(_CONFIG_PREFIX)]
    if unknown or (overrides and arguments.verb not in _WITH_CONFIG):
        parser.error(f"unrecognized argument {(unknown or overrides)[0]}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    arguments.overrides = [item.removeprefix(_CONFIG_PREFIX) for item in overrides]
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("PLACE_TRACEBACK"):
            raise
        if is_outage(error):
            return _no_answer(arguments.verb, error)
        print(f"place {arguments.verb}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "tensorflow_datasets", "apache_beam", "clu"):
            raise
        print(
            f"place {arguments.verb} needs {error.name}, which comes with the `train` extra: "
            "pip install 'place_jax[train]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        more = "; the same command goes on from here" if arguments.verb in _GOES_ON else ""
        print(f"place {arguments.verb}: stopped{more}")
        return 130
    except Exception as error:
        if os.environ.get("PLACE_TRACEBACK"):
            raise
        if is_outage(error):
            return _no_answer(arguments.verb, error)
        traceback.print_exc()
        return _LOST


def _no_answer(verb: str, error: Exception) -> int:
    more = "; the same command goes on" if verb in _GOES_ON else ""
    print(f"place {verb}: {error}{more}", file=sys.stderr)
    return _LOST


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="place",
        description="PLACE in JAX: pre-training on radiographs and their reports. Research "
        "software, not a medical device.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_prepare(verbs)
    _add_tokenize(verbs)
    _add_inspect(verbs)
    _add_train(verbs)
    _add_preflight(verbs)
    cli_evaluate.add(verbs, _add_verb)
    cli_predict.add(verbs, _add_verb)
    _add_plan(verbs)
    return parser


def _add_verb(verbs, name: str, run, summary: str, example: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def _add_prepare(verbs) -> None:
    from data_pipelines.sources.registry import NAMES

    parser = _add_verb(
        verbs,
        "prepare",
        _prepare,
        "raw files of a data set -> sharded TFRecords",
        "place prepare folder --csv pairs.csv --image-column path --report-column text "
        "--out-dir DATA",
    )
    parser.add_argument(
        "source",
        choices=NAMES,
        metavar="SOURCE",
        help="phantom (synthetic), folder (a CSV of image paths and reports), or a data set in its "
        f"owner's files; one of {', '.join(NAMES)}",
    )
    parser.add_argument("--out-dir", required=True, help="folder to write")
    parser.add_argument("--image-size", type=int, default=256, help="long side, pixels (256)")
    parser.add_argument("--vocab", help="a vocab.txt; else one is trained on the training split")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--shards", type=int, help="shards a split; else chosen by size")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--max-bad-fraction",
        type=float,
        default=0.01,
        help="fail when more of the images than this are unusable (0.01)",
    )
    parser.add_argument(
        "--dicom-window",
        choices=("header", "percentile", "full"),
        default="header",
        help="grey levels of DICOM files: by their own window or LUT, else percentiles (header); "
        "from 0.5 to 99.5 %% of the values (percentile); from the smallest to the largest (full)",
    )
    parser.add_argument(
        "--drop-duplicates",
        action="store_true",
        help="leave out of training what looks the same as an image of validation or test; else "
        "such images are only listed",
    )
    parser.add_argument(
        "--beam-options",
        nargs="*",
        default=[],
        metavar="OPTION",
        help="options of another Beam runner, such as runner=DataflowRunner",
    )
    for group, options in _SOURCE_GROUPS.items():
        flags = parser.add_argument_group(group)
        for name, settings in options.items():
            flags.add_argument("--" + name.replace("_", "-"), **settings)


def _prepare(arguments) -> None:
    from data_pipelines.dicom import Window
    from data_pipelines.prepare import prepare
    from data_pipelines.sources.registry import make_source

    prepare(
        make_source(arguments.source, {name: getattr(arguments, name) for name in _SOURCE_OPTIONS}),
        arguments.out_dir,
        image_size=arguments.image_size,
        vocab=arguments.vocab,
        shards=arguments.shards,
        workers=arguments.workers,
        limit=arguments.limit,
        max_bad_fraction=arguments.max_bad_fraction,
        dicom_window=Window(arguments.dicom_window),
        drop_duplicates=arguments.drop_duplicates,
        beam_options=[f"--{option.lstrip('-')}" for option in arguments.beam_options],
    )


def _add_tokenize(verbs) -> None:
    parser = _add_verb(
        verbs,
        "tokenize",
        _tokenize,
        "tokens of another vocabulary for a prepared folder; images are left as they are",
        "place tokenize DATA --vocab vocab.txt",
    )
    parser.add_argument("dir", help="a folder that `place prepare` wrote")
    parser.add_argument(
        "--vocab", required=True, help="a WordPiece vocab.txt, or a checkpoint for its vocabulary"
    )


def _tokenize(arguments) -> None:
    from etils import epath

    from data_pipelines.token_sidecar import tokenize

    vocab = arguments.vocab
    if epath.Path(vocab).is_dir():
        from data_pipelines.tokenizer import Tokenizer
        from place_jax.training.checkpoints import find, read_metadata

        vocab = Tokenizer(read_metadata(find(vocab))["vocabulary"])
    tokenize(arguments.dir, vocab)


def _add_inspect(verbs) -> None:
    parser = _add_verb(
        verbs,
        "inspect",
        _inspect,
        "what a prepared folder holds: manifest, counts, a contact sheet with reports",
        "place inspect DATA --out sheet.png",
    )
    parser.add_argument("dir", help="a folder that `place prepare` wrote")
    parser.add_argument("--out", help="where the contact sheet goes (DIR/contact_sheet.png)")
    parser.add_argument(
        "--include-examples",
        action="store_true",
        help="show images and texts of data that is marked not shareable",
    )


def _inspect(arguments) -> None:
    from data_pipelines.inspect import inspect

    print(inspect(arguments.dir, arguments.out, arguments.include_examples))


def _add_train(verbs) -> None:
    parser = _add_verb(
        verbs,
        "train",
        _train,
        "pre-train, evaluate and write the page; goes on from the workdir's last checkpoint",
        "place train --config phantom_demo --workdir RUN --config.data.dir=DATA "
        "--config.train.steps=200",
    )
    _add_run(parser)


def _add_run(parser) -> None:
    parser.add_argument("--config", required=True, metavar="NAME|FILE[:ARG]")
    parser.add_argument("--workdir", required=True, help="a folder, or gs://BUCKET/RUN")
    flags = parser.add_argument_group(
        "several hosts", "one process each; found by themselves under Slurm, on GKE and on TPU VMs"
    )
    flags.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    flags.add_argument("--num-processes", type=int, metavar="N")
    flags.add_argument("--process-id", type=int, metavar="I", help="of this one, from 0")
    flags.add_argument("--devices", type=int, metavar="N", help="an error where there are not N")


def _connect(arguments) -> None:
    from place_jax.parallel.processes import connect

    connect(arguments.coordinator, arguments.num_processes, arguments.process_id)


def _train(arguments) -> int:
    from place_jax import configuration
    from place_jax.training.loop import train_and_evaluate
    from place_jax.training.preemption import Stopped

    config = configuration.load_config(arguments.config, arguments.overrides)
    _connect(arguments)
    try:
        result = train_and_evaluate(config, arguments.workdir, devices=arguments.devices)
    except Stopped as stopped:
        with contextlib.suppress(OSError):  # nobody reads it any more
            print(f"place train: {stopped}", file=sys.stderr)
        return _STOPPED
    if _is_first():
        print(f"step {result.step}; checkpoint {result.checkpoint}")
        cli_evaluate.print_scores(result.metrics)
    return 0


def _is_first() -> bool:
    import jax

    return jax.process_index() == 0


def _add_preflight(verbs) -> None:
    parser = _add_verb(
        verbs,
        "preflight",
        _preflight,
        "what is wrong on the hosts of a run, before it is started; of each, the same command",
        "place preflight --config phantom_demo --workdir RUN --config.data.dir=DATA --devices 16",
    )
    _add_run(parser)


def _preflight(arguments) -> int:
    from data_pipelines.batches import open_data
    from place_jax import configuration
    from place_jax.training.preflight import preflight

    config = configuration.load_config(arguments.config, arguments.overrides)
    if not config.data.dir:
        raise configuration.ConfigError("data.dir is empty: --config.data.dir=DATA")
    _connect(arguments)
    data = open_data(config.data.dir)
    report = preflight(config, arguments.workdir, data, devices=arguments.devices)
    if _is_first():
        print(f"preflight: {report.summary}")
        for problem in report.problems:
            print(f"preflight: {problem}", file=sys.stderr)
        if not report.problems:
            print("preflight: devices, versions, data, workdir, region and clocks are in order")
    return 1 if report.problems else 0


def _add_plan(verbs) -> None:
    parser = _add_verb(
        verbs,
        "plan",
        _plan,
        "what a config's training step needs of a TPU pod that is not here",
        "place plan --config mimic_cxr_vit_b16 --topology v5e:16x16 --out plan.json",
    )
    parser.add_argument("--config", required=True, metavar="NAME|FILE[:ARG]")
    parser.add_argument("--topology", required=True, help="such as v5e:16x16 or v4:2x2x4")
    parser.add_argument("--slices", type=int, default=1, help="over the data-centre network (1)")
    parser.add_argument("--sweep", action="store_true", help="remat, parts and fsdp; a table")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="compile without optimisations, 4 to 7 times faster with nearly the same memory",
    )
    parser.add_argument("--out", help="a JSON file for the plan")


def _plan(arguments) -> int:
    from place_jax.pod_plan_run import run

    return run(
        arguments.config,
        arguments.overrides,
        arguments.topology,
        slices=arguments.slices,
        quick=arguments.quick,
        sweeps=arguments.sweep,
        out=arguments.out,
    )


if __name__ == "__main__":
    sys.exit(main())
