"""Rows of configs, each run under several seeds, to one table that grows as they finish."""

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence


def run_rows(
    rows: Mapping[str, Sequence[str]],
    *,
    seeds: Sequence[int],
    data: str,
    out: pathlib.Path,
    table: pathlib.Path,
    columns: Mapping[str, str],
    order: Sequence[str],
) -> str:
    """Trains what is not trained yet, seed by seed, and writes the table after every run.

    Args:
      rows: name -> overrides of configs/phantom_demo.py.
      seeds: all rows of the first come first, so that a run that is cut short compares all rows.
      data: a prepared folder.
      out: where the runs go; finished ones are read.
      table: path of the results without its ending: rows of earlier calls in .json are kept.
      columns: metric -> heading.
      order: of the rows in the table.

    Returns:
      The table, in Markdown.
    """
    table.parent.mkdir(exist_ok=True)
    store = table.with_suffix(".json")
    for seed in seeds:
        for name, overrides in rows.items():
            found = run(name, overrides, seed, data, out)
            kept = json.loads(store.read_text()) if store.exists() else {}
            kept.setdefault(name, {})[str(seed)] = {
                key: value
                for key, value in found.items()
                if key.removesuffix("_ci_low").removesuffix("_ci_high") in columns
            }
            kept = {row: dict(sorted(kept[row].items())) for row in order if row in kept}
            store.write_text(json.dumps(kept, indent=1) + "\n")
            table.with_suffix(".md").write_text(markdown(kept, columns))
    return table.with_suffix(".md").read_text()


def run(name: str, overrides: Sequence[str], seed: int, data: str, out: pathlib.Path) -> dict:
    """Trains one row, or reads what an earlier call trained, and returns its test scores."""
    from place_jax import configuration
    from place_jax.training.loop import train_and_evaluate

    slug = "".join(c if c.isalnum() or c in ".-" else "_" for c in name)
    workdir = out / f"{slug}_seed{seed}"
    result = workdir / "result.json"
    if not (result.exists() and (workdir / "report.html").exists()):
        settings = [f"data.dir={data}", f"seed={seed}", *overrides]
        train_and_evaluate(configuration.load_config("phantom_demo", settings), workdir)
    return json.loads(result.read_text())


def markdown(rows: Mapping[str, Mapping[str, dict]], columns: Mapping[str, str]) -> str:
    """One line a row: of one seed the value and its interval, of several the mean and range."""
    lines = ["| row | seeds | " + " | ".join(columns.values()) + " |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for name, by_seed in rows.items():
        results = list(by_seed.values())
        cells = [
            cell([r for r in results if r.get(column) is not None], column) for column in columns
        ]
        lines.append(f"| {name} | {len(results)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(results: Sequence[dict], column: str) -> str:
    """The text of one cell; empty where no run has that number."""
    values = [result[column] for result in results]
    if not values:
        return ""
    low, high = min(values), max(values)
    if len(values) == 1:
        if f"{column}_ci_low" not in results[0]:
            return f"{values[0]:.3f}"
        low, high = results[0][f"{column}_ci_low"], results[0][f"{column}_ci_high"]
    return f"{statistics.mean(values):.3f} ({low:.3f} to {high:.3f})"
