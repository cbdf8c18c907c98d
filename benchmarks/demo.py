"""What the README shows of the demo: its scores and its pictures, taken from a run of it.

    ./launch/demo.sh
    python benchmarks/demo.py --workdir runs/demo/run

writes benchmarks/results/demo.json, the run's own result.json and the grounding.json beside its
folder to six digits, and docs/pictures/demo_curves.svg and demo_scores.svg, which the run's page
has too.
"""

import argparse
import base64
import json
import pathlib

ROOT = pathlib.Path(__file__).parent.parent


def main() -> None:
    """Reads a finished run and writes the three files."""
    from place_jax import figures, report_page, report_words

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    workdir = parser.parse_args().workdir
    result = json.loads((workdir / "result.json").read_text())
    maps = json.loads((workdir.parent / "grounding.json").read_text())
    result |= {key: value for key, value in maps.items() if key.startswith("grounding/")}
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in result.items()}
    (ROOT / "benchmarks/results/demo.json").write_text(json.dumps(rounded, indent=1) + "\n")
    run = report_page.read_run(workdir)
    findings = report_page.per_finding(run.scores, report_words.split_of(run.scores))
    label = "zero-shot AUROC on held-out patients"
    for name, uri in (
        ("demo_curves.svg", figures.curves(report_page.learning_curves(run.metrics))),
        ("demo_scores.svg", figures.intervals(findings, chance=0.5, xlabel=label)),
    ):
        (ROOT / "docs/pictures" / name).write_bytes(base64.b64decode(uri.partition(",")[2]))


if __name__ == "__main__":
    main()
