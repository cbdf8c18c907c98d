"""Rows of configs, each run under several seeds, to one table that grows as they finish.

The table's .json is the memory: a row and seed that it holds is not trained again, whichever
machine or session trained it, and says with which code and data it was.
"""

import fcntl
import json
import os
import pathlib
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence

# Memory in huge pages: a step on a CPU takes about a fifth less. Read when a process starts.
FASTER = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# What a run may differ in and still have the same scores at its end.
_WITHOUT_EFFECT = {
    "data.dir",
    "train.eval_every",
    "train.checkpoint_every",
    "train.log_every",
    "train.keep_checkpoints",
    "train.compilation_cache",
    "train.hang_seconds",
}
_ABOUT = ("overrides", "code", "data")  # of a run, beside its scores


def run_rows(
    rows: Mapping[str, Sequence[str]],
    *,
    seeds: Sequence[int],
    data: str,
    out: pathlib.Path,
    table: pathlib.Path,
    columns: Mapping[str, str],
    order: Sequence[str],
    finished: Sequence[str] = (),
    compared: Sequence[str] = (),
) -> str:
    """Trains what is not trained yet, seed by seed, and writes the table after every run.

    Args:
      rows: name -> overrides of configs/phantom_demo.py.
      seeds: all rows of the first come first, so that a run that is cut short compares all rows.
      data: a prepared folder.
      out: where the runs go; one that was stopped goes on from its last checkpoint.
      table: path of the results without its ending. Rows and seeds in .json are kept where their
        overrides are those of `rows`.
      columns: metric -> heading.
      order: of the rows in the table.
      finished: workdirs of other finished runs: one of the same config on the same data is read.
      compared: columns of a shorter table before it, of differences from the first of `order`.

    Returns:
      The table, in Markdown.
    """
    table.parent.mkdir(exist_ok=True)
    store = table.with_suffix(".json")

    def write() -> str:
        rows = _read(store)
        short = {column: columns[column] for column in compared}
        text = differences(rows, short, order[0]) + "\n" if compared else ""
        text += markdown(rows, columns)
        table.with_suffix(".md").write_text(text)
        return text

    for seed in seeds:
        for name, overrides in rows.items():
            held = _read(store).get(name, {}).get(str(seed))
            if held and held.get("overrides", list(overrides)) == list(overrides):
                print(f"{name}, seed {seed}: in {store.name}, not trained again", flush=True)
                continue
            found = run(name, overrides, seed, data, out, finished)
            _add(store, name, seed, found, columns, order)
            write()
    return write()


def run(
    name: str,
    overrides: Sequence[str],
    seed: int,
    data: str,
    out: pathlib.Path,
    finished: Sequence[str] = (),
) -> dict:
    """Trains one row, or reads a finished run of it.

    Returns:
      Its test scores; `overrides`; `code`, the version and commit that trained it; `data`, the
      version of the data and the hash of its manifest.
    """
    from data_pipelines.batches import open_data
    from place_jax import configuration
    from place_jax.training import checkpoints
    from place_jax.training.loop import train_and_evaluate

    settings = [f"data.dir={data}", f"seed={seed}", *overrides]
    config = configuration.load_config("phantom_demo", settings)
    config.train.eval_every = config.train.steps  # scores at the end alone
    config.train.compilation_cache = str((out / "compilations").absolute())
    opened = open_data(data)
    for workdir in map(pathlib.Path, finished):
        if _is_run_of(workdir, config, opened.manifest_hash):
            print(f"{name}, seed {seed}: read from {workdir}", flush=True)
            break
    else:
        slug = "".join(c if c.isalnum() or c in ".-" else "_" for c in name)
        workdir = out / f"{slug}_seed{seed}"
        train_and_evaluate(config, workdir)
    metadata = checkpoints.read_metadata(checkpoints.find(workdir))
    return json.loads((workdir / "result.json").read_text()) | {
        "overrides": list(overrides),
        "code": metadata["code_revision"],
        "data": f"{opened.manifest['version']}, manifest {metadata['manifest_hash']}",
    }


def run_faster(program: str) -> None:
    """Starts this program again where the environment lacks what makes its steps faster."""
    if any(name not in os.environ for name in FASTER):
        os.execve(sys.executable, [sys.executable, program, *sys.argv[1:]], os.environ | FASTER)


def _is_run_of(workdir: pathlib.Path, config, manifest_hash: str) -> bool:
    from place_jax import configuration
    from place_jax.training import checkpoints

    if not all((workdir / name).exists() for name in ("config.json", "result.json", "report.html")):
        return False
    theirs = configuration.from_json((workdir / "config.json").read_text())
    theirs = dict(configuration.flatten(theirs))
    ours = dict(configuration.flatten(config))
    if any(theirs.get(key) != value for key, value in ours.items() if key not in _WITHOUT_EFFECT):
        return False
    metadata = checkpoints.read_metadata(checkpoints.find(workdir))
    return metadata["manifest_hash"] == manifest_hash


def _read(store: pathlib.Path) -> dict:
    return json.loads(store.read_text()) if store.exists() else {}


def _add(store: pathlib.Path, name: str, seed: int, found: dict, columns, order) -> None:
    """Puts one run among those of the file, which other processes may be writing too."""
    folder = os.open(store.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        kept = _read(store)
        now = found["overrides"]
        same = {s: run for s, run in kept.get(name, {}).items() if run.get("overrides", now) == now}
        kept[name] = same | {str(seed): scores_of(found, (*columns, *_ABOUT))}
        kept = {row: dict(sorted(kept[row].items())) for row in order if row in kept}
        aside = store.with_suffix(".part")
        aside.write_text(json.dumps(kept, indent=1) + "\n")
        aside.replace(store)
    finally:
        os.close(folder)


def scores_of(found: Mapping, names: Iterable[str]) -> dict:
    """What is found under these names, with the intervals of what has one."""
    wanted = set(names)
    return {
        key: value
        for key, value in found.items()
        if key.removesuffix("_ci_low").removesuffix("_ci_high") in wanted
    }


def markdown(rows: Mapping[str, Mapping[str, dict]], columns: Mapping[str, str]) -> str:
    """One line a row: of one seed the value and its interval, of several the mean and range."""
    lines = heading("row", "seeds", *columns.values(), "trained with")
    for name, by_seed in rows.items():
        results = list(by_seed.values())
        cells = [
            cell([r for r in results if r.get(column) is not None], column) for column in columns
        ]
        code = ", ".join(sorted({r.get("code", "not recorded") for r in results}))
        lines.append(f"| {name} | {len(results)} | " + " | ".join(cells) + f" | {code} |")
    text = "\n".join(lines) + "\n"
    data = sorted({r["data"] for by_seed in rows.values() for r in by_seed.values() if "data" in r})
    return text + (f"\nData: PhantomCXR {'; '.join(data)}.\n" if data else "")


def differences(
    rows: Mapping[str, Mapping[str, dict]], columns: Mapping[str, str], base: str
) -> str:
    """One line a row: how far it is from the base under the same seeds, the mean over them.

    Bold is what differs by more than the base's own seeds do, their highest from their lowest.
    """
    if not rows.get(base):
        return ""
    of_base = rows[base]
    lines = heading("row", "seeds", *columns.values())
    cells = [cell(list(of_base.values()), column) for column in columns]
    lines.append(f"| {base} | {len(of_base)} | " + " | ".join(cells) + " |")
    for name, by_seed in rows.items():
        shared = sorted(by_seed.keys() & of_base.keys())
        if name == base or not shared:
            continue
        cells = [
            _difference([(by_seed[s], of_base[s]) for s in shared], of_base.values(), column)
            for column in columns
        ]
        lines.append(f"| {name} | {len(shared)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def heading(*names: str) -> list[str]:
    """The two first lines of a Markdown table of these columns."""
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]


def _difference(pairs: Sequence[tuple[dict, dict]], of_base: Iterable[dict], column: str) -> str:
    found = [a[column] - b[column] for a, b in pairs if column in a and column in b]
    if not found:
        return ""
    own = [result[column] for result in of_base if column in result]
    change, spread = statistics.mean(found), max(own) - min(own)
    text = f"{change:+.3f}"
    return f"**{text}**" if len(own) > 1 and abs(change) > spread else text


def cell(results: Sequence[dict], column: str) -> str:
    """The text of one cell; empty where no run has that number."""
    values = [result[column] for result in results]
    if not values:
        return ""
    low, high = min(values), max(values)
    digits = 4 if column.startswith("correlation/") else 3  # CCE's losses are small numbers
    if len(values) == 1:
        if f"{column}_ci_low" not in results[0]:
            return f"{values[0]:.{digits}f}"
        low, high = results[0][f"{column}_ci_low"], results[0][f"{column}_ci_high"]
    return f"{statistics.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
