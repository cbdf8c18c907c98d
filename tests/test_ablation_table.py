"""An ablation goes on where it was: what its table holds is not trained again."""

import importlib.util
import json
import pathlib

import pytest

PATH = pathlib.Path(__file__).parents[1] / "benchmarks" / "ablation_table.py"


@pytest.fixture
def table(monkeypatch):
    """The module, with runs that are noted and not made."""
    spec = importlib.util.spec_from_file_location("ablation_table", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ran = []

    def run(name, overrides, seed, data, out, finished):
        module.ran.append((name, seed))
        return {
            "overrides": list(overrides),
            "code": "1.0+abc",
            "data": "3.1, manifest 12",
            "score": 0.5 + 0.1 * seed,
            "other": 7.0,
        }

    monkeypatch.setattr(module, "run", run)
    return module


def test_only_what_is_missing_is_trained_and_each_row_says_with_which_code(table, tmp_path):
    def grow(rows, seeds):
        table.ran.clear()
        return table.run_rows(
            rows,
            seeds=seeds,
            data="data",
            out=tmp_path / "out",
            table=tmp_path / "results" / "table",
            columns={"score": "score"},
            order=["a", "b"],
        )

    grow({"b": ["x=1"]}, [0])
    assert table.ran == [("b", 0)]
    text = grow({"a": [], "b": ["x=1"]}, [0, 1])
    assert table.ran == [("a", 0), ("a", 1), ("b", 1)]
    lines = text.splitlines()
    assert lines[2] == "| a | 2 | 0.550 (0.500 to 0.600) | 1.0+abc |"
    assert lines[3].startswith("| b | 2 |") and lines[-1].endswith("3.1, manifest 12.")
    assert "other" not in json.loads((tmp_path / "results" / "table.json").read_text())["a"]["0"]
    text = grow({"b": ["x=2"]}, [0])
    assert table.ran == [("b", 0)], "another setting under the same name is another run"
    assert text.splitlines()[3].startswith("| b | 1 |"), "and no mean is taken over both"
    grow({"a": [], "b": ["x=2"]}, [0])
    assert table.ran == []


def test_differences_are_of_the_same_seeds_and_bold_beyond_what_seeds_do(table):
    def runs(**scores):
        return {seed[1:]: {"a": value, "b": 2 * value} for seed, value in scores.items()}

    rows = {
        "default": runs(s0=0.5, s1=0.7),
        "near": runs(s0=0.6),
        "far": runs(s0=0.8, s1=0.9) | {"2": {"a": 9.0}},
        "elsewhere": {"2": {"a": 0.5}},
    }
    rows["far"]["1"].pop("b")
    lines = table.differences(rows, {"a": "A", "b": "B"}, "default").splitlines()
    assert lines[0] == "| row | seeds | A | B |"
    assert lines[2:] == [
        "| default | 2 | 0.600 (0.500 to 0.700) | 1.200 (1.000 to 1.400) |",
        "| near | 1 | +0.100 | +0.200 |",
        "| far | 2 | **+0.250** | **+0.600** |",
    ]
    assert table.differences({"near": rows["near"]}, {"a": "A"}, "default") == ""
