"""place zero-shot, ground and embed, as typed: any image, and bad input told in a line."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest
import tiny_run

from data_pipelines.batches import open_data, read_records
from data_pipelines.image import decode_png
from place_jax import Predictor, cli


@pytest.fixture(scope="module")
def run(phantom_dir) -> str:
    return str(tiny_run.untrained_run(phantom_dir))


@pytest.fixture(scope="module")
def folder(phantom_dir, tmp_path_factory):
    """Images of every kind and size, and files that are none."""
    out = tmp_path_factory.mktemp("images")
    grey = decode_png(read_records(open_data(phantom_dir), "test", limit=1)[0]["image"])
    cv2.imwrite(str(out / "a_plain.png"), grey)
    cv2.imwrite(str(out / "b_16bit.png"), grey.astype(np.uint16) * 257)
    cv2.imwrite(str(out / "c_colour.jpg"), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    cv2.imwrite(str(out / "d_one_colour.png"), np.full((50, 70), 128, np.uint8))
    cv2.imwrite(str(out / "e_large.png"), cv2.resize(grey, (6000, 6000)))
    (out / "deep").mkdir()
    (out / "deep" / "f_empty.png").write_bytes(b"")
    (out / "notes.txt").write_text("no image")
    return out


def test_other_data_get_the_tokens_of_a_checkpoint(run, phantom_dir, tmp_path, capsys):
    other = tmp_path / "data"
    shutil.copytree(phantom_dir, other)
    vocabulary = open_data(phantom_dir).tokenizer.hash
    (other / "vocab.txt").unlink()
    shutil.rmtree(other / "tokens")
    score = ["evaluate", "retrieval", "--checkpoint", run, "--data", str(other)]
    assert cli.main(score) == 1
    assert "or with the checkpoint that was trained on it" in capsys.readouterr().err
    assert cli.main(["tokenize", str(other), "--vocab", run]) == 0
    assert open_data(other).tokenizer.hash == vocabulary


def test_a_folder_is_embedded_and_its_bad_files_named(run, folder, tmp_path, capsys):
    out = tmp_path / "new" / "embeddings.npz"
    command = ["embed", str(folder), "--checkpoint", run, "--out", str(out), "--batch-size", "2"]
    assert cli.main(command) == 0
    said = capsys.readouterr()
    assert "not a medical device" in said.out and "5 images" in said.out
    assert "f_empty.png: the file is empty" in said.err and "1 of 6 images" in said.err
    with np.load(out) as found:
        names = [path.rsplit("/", 1)[-1] for path in found["path"]]
        assert names == [
            *("a_plain.png", "b_16bit.png", "c_colour.jpg", "d_one_colour.png", "e_large.png"),
        ]
        assert found["left_out"][0].endswith("f_empty.png") and len(found["reason"]) == 1
        embedding = found["embedding"]
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedding[1], embedding[0], atol=1e-6)  # 16 bits are the same image
    assert embedding[2] @ embedding[0] > 0.99 and embedding[4] @ embedding[0] > 0.99
    direct = Predictor.from_checkpoint(run).embed_images(folder / "d_one_colour.png")
    np.testing.assert_allclose(embedding[3], direct[0], atol=1e-6)
    assert not list(out.parent.glob(".*"))


def test_zero_shot_of_a_csv_is_a_table_and_a_file(run, folder, tmp_path, capsys):
    table = folder / "list.csv"
    table.write_text("id,path\n1,a_plain.png\n2,c_colour.jpg\n")
    out = tmp_path / "scores.csv"
    command = ["zero-shot", str(table), "--checkpoint", run, "--out", str(out)]
    assert cli.main([*command, "--prompt", "pleural effusion", "cardiomegaly"]) == 0
    rows = list(csv.reader(out.open()))
    assert rows[0] == ["image", "pleural effusion", "cardiomegaly"] and len(rows) == 3
    said = capsys.readouterr().out
    assert rows[1][1] in said and "Cosines, no probabilities" in said
    assert "not a medical device" in said


def test_pairs_are_calibrated_by_a_file(run, folder, tmp_path, capsys):
    calibration = tmp_path / "zero_shot.json"
    calibration.write_text(json.dumps({"zero_shot/test/temperature": 1000.0}))
    command = ["zero-shot", str(folder / "a_plain.png"), "--checkpoint", run]
    command += ["--prompt", "edema", "--negative", "no edema"]
    assert cli.main(command) == 0
    assert "not calibrated" in capsys.readouterr().out
    assert cli.main([*command, "--calibration", str(calibration)]) == 0
    said = capsys.readouterr().out
    assert "0.500" in said and "contrary, calibrated" in said


@pytest.mark.parametrize(
    ("kind", "name", "side"), [("evidence", "e_large", 6000), ("similarity", "a_plain", 64)]
)
def test_ground_draws_a_picture(run, folder, tmp_path, capsys, kind, name, side):
    out = tmp_path / "map.png"
    command = ["ground", str(folder / f"{name}.png"), "--checkpoint", run, "--map", kind]
    command += ["--text", "Left pleural effusion.", "--out"]
    assert cli.main([*command, str(out)]) == 0
    picture = cv2.imread(str(out))
    assert picture.shape[1] > picture.shape[0] > 300 and picture.std() > 20
    said = capsys.readouterr().out
    assert f"of {side} x {side} pixels" in said and "no proof" in said
    if side < 1000:
        assert cli.main([*command, str(tmp_path / "map.npy")]) == 0
        assert np.load(tmp_path / "map.npy").shape == (side, side)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["zero-shot", "{folder}/missing.png", "--prompt", "edema"], "missing.png"),
        (["zero-shot", "{folder}/a_plain.png", "--prompt", "xqzj"], "no word of the checkpoint"),
        (["zero-shot", "{folder}/a_plain.png", "--prompt", ""], "has no word"),
        (
            ["zero-shot", "{folder}/a_plain.png", "--prompt", "a", "b", "--negative", "c"],
            "1 negative texts for 2 prompts",
        ),
        (
            ["zero-shot", "{folder}/a_plain.png", "--prompt", "a", "--calibration", "x.json"],
            "--calibration is of pairs",
        ),
        (["embed", "{folder}/empty.csv", "--out", "{out}"], "has no rows"),
        (["embed", "{folder}/other.csv", "--out", "{out}"], "has no column image or path"),
        (["embed", "{folder}/blank.csv", "--out", "{out}"], "line 3 names no image"),
        (["embed", "{folder}/none.csv", "--out", "{out}"], "none.csv is not a file"),
        (["embed", "{folder}/nothing", "--out", "{out}"], "holds no PNG, JPEG or DICOM"),
        (["ground", "{folder}/deep/f_empty.png", "--text", "a", "--out", "{out}"], "is empty"),
        (["ground", "{folder}/a_plain.png", "--text", "xqzj", "--out", "{out}"], "no word of"),
    ],
)
def test_what_cannot_be_used_is_one_line(run, folder, tmp_path, capsys, command, says):
    (folder / "empty.csv").write_text("path\n")
    (folder / "other.csv").write_text("picture\na_plain.png\n")
    (folder / "blank.csv").write_text("path,n\na_plain.png,1\n ,2\n")
    (folder / "nothing").mkdir(exist_ok=True)
    command = [word.format(folder=folder, out=tmp_path / "out.npz") for word in command]
    assert cli.main([*command, "--checkpoint", run]) == 1
    error = capsys.readouterr().err.strip()
    assert says in error and "\n" not in error
    assert not (tmp_path / "out.npz").exists()


def test_an_embedding_needs_no_tensorflow_and_says_what_it_is(capsys):
    for verb in ("zero-shot", "ground", "embed"):
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "not a medical device" in said and f"example: place {verb}" in said
