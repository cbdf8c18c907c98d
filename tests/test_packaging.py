"""The wheel, installed: its command, its configs, and no confusion with a user's own folders."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> pathlib.Path:
    """A folder with the built wheel installed in it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    wheel = next(folder.glob("place_jax-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(site: pathlib.Path, cwd: pathlib.Path, *command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_configs_are_found_from_a_folder_that_has_its_own(site, tmp_path):
    for name in ("configs", "data_pipelines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong folder')\n")
    code = (
        "import place_jax, place_jax.configs.base, data_pipelines.records\n"
        "from place_jax import configuration\n"
        "config = configuration.load_config('phantom_demo')\n"
        "print(place_jax.__file__)\nprint(place_jax.configs.base.__file__)\n"
        "print(data_pipelines.records.__file__)\nprint(config.data.batch_size)\n"
    )
    result = run(site, tmp_path, "-c", code)
    assert result.returncode == 0, result.stderr
    *files, batch_size = result.stdout.split()
    assert all(pathlib.Path(f).is_relative_to(site) for f in files)
    assert int(batch_size) > 0


def test_the_command_is_installed(site, tmp_path):
    assert (site / "bin" / "place").exists()
    result = run(site, tmp_path, "-m", "place_jax.cli", "train", "--help")
    assert result.returncode == 0
    assert "--workdir" in result.stdout and "example:" in result.stdout


def test_the_page_template_is_in_the_wheel(site):
    assert list((site / "place_jax").glob("*.html.jinja"))
