"""Stand-ins for gcloud, kubectl, srun and scontrol: they note how they are called, and answer from
a file what the real ones were documented to answer.
"""

import os
import pathlib
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Each call takes the next line of answers/NAME that fits: STATUS, then what it prints.
_STAND_IN = """#!/usr/bin/env bash
name="$(basename "$0")"
printf '%q ' "$name" "$@" >>"$STAND_INS/calls"; echo >>"$STAND_INS/calls"
case " $name $* " in
  " srun "*) kind=srun ;;
  *" describe "*) kind=describe ;;
  *"place train"*) kind=train ;;
  *"place_jax.ready"*) kind=ready ;;
  *) kind="$name" ;;
esac
queue="$STAND_INS/answers/$kind"
[ -s "$queue" ] || exit 0
line="$(head -n 1 "$queue")"
sed -i 1d "$queue"
[ -z "${line#* }" ] || echo "${line#* }"
exit "${line%% *}"
"""


class Launcher:
    """Runs scripts of launch/ with stand-ins before everything else on PATH."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        (folder / "answers").mkdir()
        for name in ("gcloud", "kubectl", "srun", "scontrol"):
            path = folder / name
            path.write_text(_STAND_IN)
            path.chmod(0o755)

    def answer(self, kind: str, *lines: str) -> None:
        """What the next calls of that kind end with and say: "STATUS WORDS" each."""
        (self.folder / "answers" / kind).write_text("".join(line + "\n" for line in lines))

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs launch/SCRIPT."""
        path = f"{self.folder}:{os.environ['PATH']}"
        variables = {"PATH": path, "STAND_INS": str(self.folder), "TMPDIR": str(self.folder)}
        return subprocess.run(
            [str(ROOT / "launch" / script), *arguments],
            env=os.environ | variables | {"PLACE_POLL_SECONDS": "0"} | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def calls(self) -> list[list[str]]:
        """How the stand-ins were called."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [shlex.split(line) for line in lines]


@pytest.fixture
def launcher(tmp_path) -> Launcher:
    folder = tmp_path / "stand_ins"
    folder.mkdir()
    return Launcher(folder)
