"""The grey levels chosen for a build reach its records, and whoever predicts from it."""

import csv

import dicom_files
import numpy as np
import pytest

from data_pipelines.batches import open_data, read_records
from data_pipelines.dicom import Window, read_dicom
from data_pipelines.image import decode_png
from place_jax import cli
from place_jax.training import checkpoints


def values(i: int) -> np.ndarray:
    """[64, 48] of 12 bits, a bright marker in a corner."""
    field = np.add.outer(np.arange(64) * 20, np.arange(48) * (10 + i)).astype(np.uint16)
    field[:2, :2] = 4095
    return field


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    with open(folder / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "text"])
        for i in range(12):
            content = dicom_files.make(values(i), bits=12, WindowCenter=600, WindowWidth=300)
            (folder / f"{i}.dcm").write_bytes(content)
            writer.writerow([f"{i}.dcm", f"Scar {i}."])
    return folder / "pairs.csv"


def command(table, out, *more) -> list[str]:
    columns = ["--image-column", "path", "--report-column", "text", "--image-size", "64"]
    return ["prepare", "folder", "--csv", str(table), *columns, "--out-dir", str(out), *more]


@pytest.mark.parametrize("window", Window)
def test_records_have_the_levels_that_were_asked_for(table, tmp_path, window):
    out = tmp_path / "data"
    more = [] if window is Window.HEADER else ["--dicom-window", window.value]
    assert cli.main(command(table, out, *more)) == 0
    data = open_data(out)
    assert data.dicom_window == data.manifest["dicom_window"] == window.value
    for split in data.splits:
        for record in read_records(data, split, ("image", "sentences")):
            i = int(record["sentences"][0].split()[1].rstrip("."))
            expected = read_dicom(table.with_name(f"{i}.dcm"), window=window)
            np.testing.assert_array_equal(decode_png(record["image"]), expected)
    # A folder keeps to its window.
    other = "full" if window is not Window.FULL else "percentile"
    assert cli.main(command(table, out, "--dicom-window", other)) == 1


def test_a_checkpoint_remembers_them(table, tmp_path):
    from place_jax.configuration import load_config

    assert cli.main(command(table, tmp_path / "data", "--dicom-window", "full")) == 0
    config = load_config("phantom_demo:smoke", [f"data.dir={tmp_path / 'data'}"])
    described = checkpoints.describe(config, open_data(tmp_path / "data"), step=1)
    assert described["preprocessing"]["dicom_window"] == "full"


def test_an_unknown_choice_is_refused(table, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(command(table, tmp_path / "data", "--dicom-window", "bright"))
    assert "percentile" in capsys.readouterr().err
