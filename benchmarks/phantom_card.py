"""Copies what the card states from benchmarks/results/ to data_pipelines/phantom/measured.py.

    python benchmarks/phantom_card.py

after phantom_ceilings.py of each config and phantom_triviality.py. An installed package has no
benchmarks/, and its card states these numbers all the same.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
TARGET = ROOT / "data_pipelines" / "phantom" / "measured.py"
_HEAD = '''"""Scores that the data card states, by config. Written by benchmarks/phantom_card.py."""

MEASURED: dict[str, dict[str, float | str]] = '''


def collect(results: pathlib.Path) -> dict[str, dict[str, float | str]]:
    """Config -> name -> score, of every config whose ceilings are measured."""
    ceilings = json.loads((results / "phantom_ceilings.json").read_text())
    trivial = json.loads((results / "phantom_triviality.json").read_text())
    measured = {}
    for config, row in ceilings.items():
        own = {"version": row["version"]}
        own |= {name: round(row[name], 4) for name in ("macro_auroc", "macro_dice", "macro_ap50")}
        if config in trivial:
            beside = trivial[config]
            for name in ("linear_probe_16x16_auroc", "nearest_neighbour_16x16_auroc"):
                own[name] = round(beside[name], 4)
            for name in ("bag_of_words_recall_at_1", "nearest_neighbour_recall_at_1"):
                own[name] = round(beside["retrieval"][name], 4)
            own["text_alone_auroc"] = round(beside["text_alone"]["macro_auroc_by_words"], 4)
        measured[config] = own
    return measured


def main() -> None:
    measured = collect(ROOT / "benchmarks" / "results")
    TARGET.write_text(f"{_HEAD}{json.dumps(measured)}\n")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", TARGET], check=True)
    print(f"wrote {TARGET}: {', '.join(measured) or 'nothing'}")


if __name__ == "__main__":
    main()
