"""What the README and the docstrings of configs tell a reader to type, typed."""

import csv
import json
import pathlib
import re
import shlex
import subprocess

import cv2
import numpy as np
import pytest

from place_jax import cli
from place_jax.configuration import load_config

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """Every indented `place ...` line, with its continuations joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = re.findall(r"^ {4}(place .*?)(?:\s+#.*)?$", joined, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


@pytest.fixture
def pairs(tmp_path) -> pathlib.Path:
    """A folder with pairs.csv, as the README has it, of phantoms under other names."""
    from data_pipelines.sources.phantom import PhantomSource

    source = PhantomSource(config="easy", patients=60, size=64, seed=3)
    with open(tmp_path / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "report", "patient"])
        for number, key in enumerate(source.keys()):
            study = source.load(key)
            cv2.imwrite(str(tmp_path / f"{number}.png"), study.pixels)
            text = f"FINDINGS: {study.findings}\nIMPRESSION: {study.impression}"
            writer.writerow([f"{number}.png", text, key.patient_id])
    return tmp_path


def test_the_commands_for_ones_own_pairs_and_the_python_below_them(pairs, monkeypatch, capsys):
    monkeypatch.chdir(pairs)
    typed = commands(README)
    assert [command[0] for command in typed] == ["prepare", "inspect", "train", "evaluate"]
    for command in typed:
        # Small: a test has seconds. What is typed stays, but for the size of the run.
        command = [word.replace("phantom_demo", "phantom_demo:smoke") for word in command]
        command += ["--image-size", "64"] if command[0] == "prepare" else []
        assert cli.main(command) == 0, capsys.readouterr().err
    assert "retrieval/test/recall_at_1" in json.loads(pathlib.Path("retrieval.json").read_text())

    code = re.search(r"( {4}from place_jax import .*?\n)\n(?=\S)", README, re.DOTALL).group(1)
    code = re.sub(r"^ {4}", "", code, flags=re.MULTILINE)
    code = code.replace('"phantom_demo"', '"phantom_demo:smoke"').replace('"RUN"', '"RUN2"')
    code = code.replace("image.dcm", "0.png").replace(
        "predictor.zero_shot", "shown = predictor.zero_shot"
    )
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].step == 2
    assert np.shape(names["shown"]) == (1, 2)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_commands_of_the_docs_are_ones_that_there_are(page):
    """Most want data that cannot be had here: their arguments are read, and their configs."""
    for command in commands(page.read_text(encoding="utf-8").replace(" SOURCE ", " folder ")):
        arguments, rest = cli._parser().parse_known_args(command)
        assert all(word.startswith("--config.") for word in rest), (command, rest)
        if getattr(arguments, "config", "C") != "C" and arguments.verb != "prepare":
            load_config(arguments.config, [word.removeprefix("--config.") for word in rest])


def test_files_that_the_readme_names_are_there():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"`((?:configs|launch|docs|benchmarks)/[\w./]+\w)`", README):
        assert (ROOT / name).exists(), name


def test_numbers_of_the_readme_are_those_that_the_demo_wrote():
    result = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text())
    rows = {
        "zero-shot macro AUROC": "zero_shot/test/macro_auroc",
        "retrieval recall@1": "retrieval/test/recall_at_1",
        "retrieval recall@10": "retrieval/test/recall_at_10",
    }
    for words, name in rows.items():
        (row,) = re.findall(rf"^\| {re.escape(words)}\b[^0-9|]*?(?:256[^|]*)?\|(.*)$", README, re.M)
        interval = f"({result[name + '_ci_low']:.3f} to {result[name + '_ci_high']:.3f})"
        cells = [f"{result[name]:.3f} {interval}", f"{result['untrained/' + name]:.3f}"]
        assert [cell.strip() for cell in row.split("|")][:2] == cells
    ((right, other),) = re.findall(r"\((0\.\d+) with the right image, (0\.\d+)", README)
    assert float(right) == round(result["grounding/test/pointing"], 3)
    assert float(other) == round(result["grounding/test/pointing_rolled_image"], 3)


@pytest.mark.parametrize("script", sorted((ROOT / "launch").glob("*.sh")), ids=lambda p: p.name)
def test_scripts_parse(script):
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.slow
def test_the_demo_reaches_what_the_readme_says(tmp_path):
    """launch/demo.sh itself: from nothing to a page, and a second time from where it stopped."""
    for _ in range(2):
        subprocess.run([ROOT / "launch" / "demo.sh", str(tmp_path)], check=True, cwd=tmp_path)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["zero_shot/test/macro_auroc"] >= 0.75
    assert result["retrieval/test/pool_size"] == 256
    assert result["retrieval/test/recall_at_1"] >= 10 / 256
    assert abs(result["untrained/zero_shot/test/macro_auroc"] - 0.5) < 0.2
    assert (tmp_path / "run" / "report.html").exists()
