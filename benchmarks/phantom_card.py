"""Copies what was measured from benchmarks/results/ to where it is stated.

    python benchmarks/phantom_card.py

after phantom_ceilings.py, phantom_triviality.py, phantom_speed.py and phantom_realism.py: into
data_pipelines/phantom/measured.py, since an installed package has no benchmarks/ and its data card
states these numbers all the same, and into the part "What is measured" of docs/phantom.md.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
TARGET = ROOT / "data_pipelines" / "phantom" / "measured.py"
_FROM, _TO = "## What is measured\n", "## Every finding at every severity"
_HEAD = '''"""Scores that the data card states, by config. Written by benchmarks/phantom_card.py."""

MEASURED: dict[str, dict[str, float | str]] = '''


def collect(results: pathlib.Path) -> dict[str, dict[str, float | str]]:
    """Config -> name -> score, of every config whose ceilings are measured."""
    ceilings, trivial = (_read(results, name) for name in ("ceilings", "triviality"))
    measured = {}
    for config in (c for c in ("easy", "default", "hard") if c in ceilings or c in trivial):
        own = {"version": (ceilings.get(config) or trivial[config])["version"]}
        for name in ("macro_auroc", "macro_dice", "macro_ap50"):
            if config in ceilings:
                own[name] = round(ceilings[config][name], 4)
        if config in trivial:
            beside = trivial[config]
            for name in ("linear_probe_16x16_auroc", "nearest_neighbour_16x16_auroc"):
                own[name] = round(beside[name], 4)
            for name in ("bag_of_words_recall_at_1", "nearest_neighbour_recall_at_1"):
                own[name] = round(beside["retrieval"][name], 4)
            own["text_alone_auroc"] = round(beside["text_alone"]["macro_auroc_by_words"], 4)
        measured[config] = own
    return measured


def _read(results: pathlib.Path, name: str) -> dict:
    path = results / f"phantom_{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


_ROWS = (
    ("small supervised network, macro AUROC", "macro_auroc"),
    ("the same, macro Dice of its masks", "macro_dice"),
    ("the same, macro AP at IoU 0.5 of its masks' boxes", "macro_ap50"),
    ("linear probe on 16x16 pixels, macro AUROC", "linear_probe_16x16_auroc"),
    ("nearest neighbours on 16x16 pixels, macro AUROC", "nearest_neighbour_16x16_auroc"),
    ("retrieval by predicted bag of words, recall@1 of 256", "bag_of_words_recall_at_1"),
    ("retrieval by nearest neighbour, recall@1 of 256", "nearest_neighbour_recall_at_1"),
    ("what a report leaves out, from its words, macro AUROC", "text_alone_auroc"),
)


def page_part(results: pathlib.Path, measured: dict) -> str:
    """The lines of docs/phantom.md below the heading, in Markdown."""
    configs, lines = list(measured), []
    if measured:
        lines += [f"| | {' | '.join(f'`{config}`' for config in configs)} |"]
        lines += ["|---|" + "---|" * len(configs)]
    for words, name in _ROWS:
        cells = [f"{measured[c][name]:.3f}" if name in measured[c] else "" for c in configs]
        if any(cells):
            lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += [
        "",
        "`benchmarks/phantom_ceilings.py --config NAME` trains a small supervised network, and",
        "`benchmarks/phantom_triviality.py --config NAME` asks what pixels and words give away;",
        "every label's own score is in `benchmarks/results/`. What is not in the table is not",
        "measured.",
    ]
    efforts = [
        f"`{config}` {row['train_images']} images of {row['pixels']} pixels, {row['epochs']} epochs"
        for config, row in _read(results, "ceilings").items()
    ]
    if efforts:
        lines += ["", f"The network was trained on {'; '.join(efforts)}; more would raise it."]
    way = _read(results, "triviality").get("hard", {}).get("shortcut")
    if way:
        lines += [
            "",
            f"The shortcut of `hard`: whether a {way['device']} is there tells {way['finding']}"
            f" with an AUROC of {way['train']:.3f} in training and {way['test']:.3f} in the test"
            " split.",
        ]
    speed = _read(results, "speed")
    if speed:
        cells = [
            f"{row['per_second_of_two_cores']:.0f} a second at {row['size']} (`{row['config']}`)"
            for row in speed["rows"]
            if row["size"] in (224, 1024)
        ]
        lines += ["", f"Drawing, by the time that two cores take: {', '.join(cells)}."]
    near = _read(results, "realism")
    if near:
        lines += [
            "",
            f"Distance from {near['radiographs']} frontal radiographs of two public collections,"
            " which are not part of the project (`phantom_realism.py --images FOLDER` measures it"
            " on yours):",
            "",
            "| | grey levels | after stretching | spectrum, dB |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {row['grey']} | {row['grey_stretched']} | {row['spectrum_db']} |"
            for name, row in near["distances"].items()
        ]
    return "\n".join(lines)


def main() -> None:
    measured = collect(ROOT / "benchmarks" / "results")
    TARGET.write_text(f"{_HEAD}{json.dumps(measured)}\n")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", TARGET], check=True)
    page = ROOT / "docs" / "phantom.md"
    above, rest = page.read_text().split(_FROM, 1)
    below = rest.split(_TO, 1)[1]
    part = page_part(ROOT / "benchmarks" / "results", measured)
    page.write_text(f"{above}{_FROM}\n{part}\n\n{_TO}{below}")
    print(f"wrote {page}")
    print(f"wrote {TARGET}: {', '.join(measured) or 'nothing'}")


if __name__ == "__main__":
    main()
