"""Every data set, with every option it has, can be asked for from the command line."""

import pytest

from data_pipelines.records import BadInput
from data_pipelines.sources import registry
from place_jax import cli


def test_every_option_of_every_source_can_be_typed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["prepare", "--help"])
    said = capsys.readouterr().out
    for name in registry.NAMES:
        assert name in said
        with pytest.raises(BadInput) as error:
            registry.make_source(name, {"no_such_option": "1"})
        flags = str(error.value).partition("only ")[2].split(", ")
        assert all(f"  {flag}" in said for flag in flags), name


@pytest.mark.parametrize("name", sorted({*registry.NAMES} - {"phantom", "folder"}))
def test_an_empty_folder_is_said_to_hold_nothing(name, tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    command = ["prepare", name, "--raw-dir", str(tmp_path / "raw"), "--out-dir"]
    assert cli.main([*command, str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("place prepare: ") and said.count("\n") == 1
    assert "holds no" in said or "holds neither" in said
    assert not (tmp_path / "out").exists()
