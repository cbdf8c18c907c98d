"""The place command: help, and bad input told in one clear line with nothing half-written."""

import errno
import json

import pytest

from place_jax import cli


def one_line(capsys) -> str:
    error = capsys.readouterr().err.strip()
    assert error and "\n" not in error, error
    return error


@pytest.mark.smoke
@pytest.mark.parametrize(
    "verb", ["prepare", "tokenize", "inspect", "train", "preflight", "evaluate"]
)
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  place {verb}" in capsys.readouterr().out


def test_help_needs_no_heavy_import():
    import subprocess
    import sys

    code = (
        "import sys\nfrom place_jax import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'tensorflow', 'flax', 'apache_beam', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_unknown_config_key(tmp_path, capsys):
    workdir = tmp_path / "run"
    status = cli.main(
        ["train", "--config", "phantom_demo", "--workdir", str(workdir), "--config.data.bach=1"]
    )
    assert status == 1
    assert "data.bach" in one_line(capsys)
    assert not workdir.exists()


def test_train_without_data_says_what_to_do(tmp_path, capsys):
    workdir = tmp_path / "run"
    status = cli.main(["train", "--config", "phantom_demo:smoke", "--workdir", str(workdir)])
    assert status == 1
    assert "data.dir" in one_line(capsys)
    status = cli.main(
        [
            *("train", "--config", "phantom_demo:smoke", "--workdir", str(workdir)),
            f"--config.data.dir={tmp_path / 'nothing'}",
        ]
    )
    assert status == 1
    error = one_line(capsys)
    assert str(tmp_path / "nothing") in error and "place prepare" in error
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), "place train: [Errno 104] reset; the s"),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle; the same command goes on"),
        (ValueError("UNAVAILABLE: no bucket"), "UNAVAILABLE: no bucket; the same command goes on"),
        (RuntimeError("a device was lost"), "RuntimeError: a device was lost"),
    ],
)
def test_a_fault_that_is_not_of_the_input_has_another_status(
    tmp_path, monkeypatch, capsys, error, said
):
    """A launcher starts the same command again, and does not after bad input."""

    def lost(name, overrides):
        raise error

    monkeypatch.setattr("place_jax.configuration.load_config", lost)
    argv = ["train", "--config", "phantom_demo", "--workdir", str(tmp_path / "run")]
    assert cli.main(argv) == 70
    assert said in capsys.readouterr().err


def test_missing_csv_column(tmp_path, capsys):
    csv = tmp_path / "pairs.csv"
    csv.write_text("path,text\na.png,No effusion.\n")
    status = cli.main(
        [
            *("prepare", "folder", "--csv", str(csv), "--image-column", "image"),
            *("--report-column", "text", "--out-dir", str(tmp_path / "out")),
        ]
    )
    assert status == 1
    error = one_line(capsys)
    assert "image" in error and "path" in error and "text" in error
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_folder_without_its_flags(tmp_path, capsys):
    assert cli.main(["prepare", "folder", "--out-dir", str(tmp_path / "out")]) == 1
    assert "--csv" in one_line(capsys)


def test_evaluate_without_a_checkpoint(tmp_path, phantom_dir, capsys):
    status = cli.main(
        [
            *("evaluate", "zero-shot", "--checkpoint", str(tmp_path / "no_run")),
            *("--data", str(phantom_dir), "--out", str(tmp_path / "scores.json")),
        ]
    )
    assert status == 1
    assert str(tmp_path / "no_run") in one_line(capsys)
    assert not (tmp_path / "scores.json").exists()


def test_a_vocabulary_that_is_not_there(phantom_dir, tmp_path, capsys):
    assert cli.main(["tokenize", str(phantom_dir), "--vocab", str(tmp_path / "vocab.txt")]) == 1
    assert "vocab.txt" in one_line(capsys)


@pytest.mark.smoke
def test_train_resume_and_evaluate(phantom_dir, tmp_path, capsys):
    """What a user types, in a row, at smoke size; then the same again, which goes on."""
    run = str(tmp_path / "run")
    settings = ["--config.data.dir=" + str(phantom_dir)]
    train = ["train", "--config", "phantom_demo:smoke", "--workdir", run]
    assert cli.main([*train, *settings]) == 0
    for name in ("config.json", "metrics.jsonl", "result.json", "report.html", "checkpoints"):
        assert (tmp_path / "run" / name).exists(), name
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    for name in ("zero_shot/test/macro_auroc", "retrieval/test/recall_at_1"):
        assert 0 <= result[name] <= 1
        assert 0 <= result[f"untrained/{name}"] <= 1
    assert cli.main([*train, *settings, "--config.train.steps=3"]) == 0
    lines = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert max(line["step"] for line in lines) == 3
    capsys.readouterr()
    for task, name in (
        ("zero-shot", "zero_shot/test/macro_auroc"),
        ("retrieval", "retrieval/test/recall_at_1"),
        ("linear", "linear/test/100_percent/macro_auroc"),
    ):
        out = tmp_path / f"{task}.json"
        command = ["evaluate", task, "--checkpoint", run, "--data", str(phantom_dir)]
        assert cli.main([*command, "--out", str(out)]) == 0
        found = json.loads(out.read_text())
        said = capsys.readouterr().out
        assert name in found and name in said
        assert found["protocol"] in said
        drawn = (tmp_path / f"{task}_curves.png").exists() and (tmp_path / f"{task}_curves.svg")
        assert bool(drawn) == (task != "retrieval")


def test_a_checkpoint_of_another_model(phantom_dir, tmp_path, capsys):
    run = str(tmp_path / "run")
    train = ["train", "--config", "phantom_demo:smoke", "--workdir", run]
    train.append(f"--config.data.dir={phantom_dir}")
    assert cli.main(train) == 0
    capsys.readouterr()
    before = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert cli.main([*train, "--config.model.joint_dim=32"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "model.joint_dim" in error and "64" in error and "32" in error
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == before
