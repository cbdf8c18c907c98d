"""Prepared folders and raw images by URL: the same files and batches as on a disk.

Object stores are stood in for by fsspec's file system in memory, and by moto's emulator of S3 on
this machine's loopback where `pip install moto[server] s3fs` was done.
"""

import csv
import hashlib
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFileSystem
from toy_source import ToySource, pixels

from data_pipelines.batches import evaluation_batches, open_data, read_records, training_batches
from data_pipelines.prepare import prepare
from data_pipelines.records import BadInput
from data_pipelines.sources.folder import FolderSource

SETTINGS = {"image_size": 48, "vocab_size": 200, "shards": 4, "workers": 1}
SIZES = {"batch_size": 16, "crop_size": 40, "max_tokens": 48, "max_sentences": 4}


class Bucket(MemoryFileSystem):
    """Keeps its own files, under the names that gs:// and s3:// URLs have."""

    store, pseudo_dirs, cachable = {}, [""], False

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + os.fspath(path).split("://")[-1].strip("/")


@pytest.fixture(params=["gs", "s3"])
def bucket(request, monkeypatch):
    """A URL below which nothing is yet."""
    from etils.epath import backend, gpath

    monkeypatch.setattr(Bucket, "store", {})
    monkeypatch.setattr(Bucket, "pseudo_dirs", [""])
    monkeypatch.setenv("EPATH_USE_TF", "0")
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)  # it was asked before, maybe
    monkeypatch.setattr(backend.fsspec_backend, "_get_filesystem", lambda name: Bucket())
    return f"{request.param}://hospital/chest"


def files(folder: str) -> dict[str, str]:
    """Name -> hash of its bytes; of tfds's own files their name alone, as they hold the path."""
    found, waiting = {}, [epath.Path(folder)]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.is_dir():
                waiting.append(path)
            else:
                name = os.fspath(path).removeprefix(folder)
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_folder_in_a_bucket_is_the_folder_on_a_disk(bucket, tmp_path):
    here, there = str(tmp_path / "data"), f"{bucket}/data"
    prepare(ToySource(), here, **SETTINGS)
    with pytest.raises(MemoryError):
        prepare(ToySource(bad=(100,), fault="interrupt"), there, **SETTINGS)
    with pytest.raises(BadInput, match="not a finished prepared folder"):
        open_data(there)
    prepare(ToySource(), there, **SETTINGS)
    assert files(there) == files(here)
    local, remote = open_data(here), open_data(there)
    assert remote.manifest_hash == local.manifest_hash
    for one, other in zip(read_records(local, "test"), read_records(remote, "test"), strict=True):
        assert one["image"] == other["image"] and one["sentences"] == other["sentences"]
    for make in (
        lambda data: training_batches(data, seed=1, start_step=5, host=1, num_hosts=2, **SIZES),
        lambda data: evaluation_batches(data, "validation", **SIZES),
    ):
        one, other = next(make(local)), next(make(remote))
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_raw_images_may_lie_in_a_bucket(bucket, tmp_path):
    names = [f"{i}.png" for i in range(20)] + [f"{bucket}/elsewhere/20.png", "none.png"]
    for i, name in enumerate(names[:-1]):
        url = name if "://" in name else f"{bucket}/raw/{name}"
        epath.Path(url).parent.mkdir(parents=True, exist_ok=True)
        epath.Path(url).write_bytes(cv2.imencode(".png", pixels(i))[1].tobytes())
    with open(tmp_path / "pairs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "text"], *([name, "Clear lungs."] for name in names)])
    source = FolderSource(
        csv=str(tmp_path / "pairs.csv"),
        image_column="path",
        report_column="text",
        raw_dir=f"{bucket}/raw",
    )
    manifest = prepare(source, f"{bucket}/data", max_bad_fraction=0.1, **SETTINGS)
    assert manifest["quarantined"] == {"missing_file": 1}
    assert sum(split["examples"] for split in manifest["splits"].values()) == 21


def test_s3_without_its_package_is_one_line(monkeypatch):
    monkeypatch.delenv("EPATH_USE_TF", raising=False)
    for ask in (lambda url: prepare(ToySource(), url, **SETTINGS), open_data):
        with pytest.raises(BadInput, match="pip install s3fs.*EPATH_USE_TF=0"):
            ask("s3://hospital/data")


EMULATED = """
import os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
os.environ["AWS_ENDPOINT_URL"] = "http://%s:%s" % server.get_host_and_port()
import boto3
boto3.client("s3").create_bucket(Bucket="hospital")
from data_pipelines.batches import open_data, training_batches
from data_pipelines.prepare import prepare
from toy_source import ToySource
settings = {"image_size": 48, "vocab_size": 200, "shards": 4}
prepare(ToySource(), sys.argv[1], workers=1, **settings)
prepare(ToySource(), "s3://hospital/data", workers=1, **settings)
here, there = open_data(sys.argv[1]), open_data("s3://hospital/data")
assert here.manifest_hash == there.manifest_hash
sizes = dict(batch_size=16, crop_size=40, max_tokens=48, max_sentences=4, seed=1)
one, other = (next(training_batches(data, **sizes)) for data in (here, there))
assert all((one[name] == other[name]).all() for name in one)
server.stop()
"""


def test_an_emulated_s3(tmp_path):
    for package in ("moto", "s3fs", "flask"):
        pytest.importorskip(package, reason=f"{package} is not installed: no emulator of S3")
    environment = os.environ | {
        "EPATH_USE_TF": "0",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path]),
    }
    program = tmp_path / "emulated.py"
    program.write_text(EMULATED)
    done = subprocess.run(
        [sys.executable, program, tmp_path / "data"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
