"""A table of trained runs under names of one's own, which grows run by run."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import ablation_table


def add_runs(
    named: Sequence[str],
    result: pathlib.Path,
    columns: Mapping[str, str],
    measure: Callable[[str], dict],
) -> None:
    """Measures runs and writes them into a .json, beside those it holds, and a .md.

    Args:
      named: NAME=DIR of each run.
      result: path of the .json.
      columns: score -> heading.
      measure: a run's folder -> its scores; `code`, what trained it, is added to them.
    """
    from place_jax.training import checkpoints

    rows = json.loads(result.read_text()) if result.exists() else {}
    for one in named:
        name, _, run = one.partition("=")
        metadata = checkpoints.read_metadata(checkpoints.find(run))
        rows[name] = measure(run) | {"code": metadata["code_revision"]}
        result.write_text(json.dumps(rows, indent=1) + "\n")
        result.with_suffix(".md").write_text(markdown(rows, columns))
    print(markdown(rows, columns))


def markdown(rows: Mapping[str, dict], columns: Mapping[str, str]) -> str:
    """One line a run; a score that has an interval is followed by it, one that is not there by
    nothing.
    """
    lines = ablation_table.heading("run", *columns.values(), "trained with")
    for name, row in rows.items():
        cells = [ablation_table.cell([row] if column in row else [], column) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['code']} |")
    return "\n".join(lines) + "\n"
