"""The pipeline as a cluster runs it: sent over in pieces, with nothing of the launching machine."""

import os
import pathlib
import pickle
import re
import socket
import subprocess
import sys

import pytest
from test_prepare import SETTINGS, contents
from toy_source import ToySource

from data_pipelines.prepare import prepare
from data_pipelines.records import BadInput
from data_pipelines.sources import registry

CLUSTER = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    out = tmp_path_factory.mktemp("here") / "data"
    prepare(ToySource(), out, **SETTINGS)
    return out


def test_a_portable_runner_writes_the_same_bytes(here, tmp_path):
    """The runner that Flink and Spark are spoken to by, with its job service in this process."""
    prepare(ToySource(), tmp_path / "data", beam_options=CLUSTER, **SETTINGS)
    assert contents(tmp_path / "data") == contents(here)


def test_a_source_that_fails_there_is_one_line(tmp_path):
    bad = ToySource(bad=tuple(range(0, 240, 8)))
    with pytest.raises(BadInput, match="30 of 240 images cannot be used"):
        prepare(bad, tmp_path / "data", beam_options=CLUSTER, **SETTINGS)
    assert not (tmp_path / "data" / "manifest.json").exists()


def test_nothing_is_asked_of_a_network(tmp_path, monkeypatch):
    def refused(self, address):
        raise AssertionError(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)
    prepare(ToySource(), tmp_path / "data", **SETTINGS)


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_source_travels_without_its_lists(name, tmp_path):
    """Sources are sent with every shard: 200,000 rows, a thousand times, would be a lot."""
    required = {"raw_dir": str(tmp_path), "csv": "pairs.csv", "image_column": "a"}
    required |= {"report_column": "b"}
    if name == "phantom":
        required = {}
    elif name != "folder":
        required = {"raw_dir": str(tmp_path)}
    source = registry.make_source(name, required)
    sent = pickle.dumps(source)
    assert len(sent) < 2000 and pickle.loads(sent) == source


def test_the_options_that_the_docs_name_are_beams_own():
    from apache_beam.options.pipeline_options import PipelineOptions

    text = (pathlib.Path(__file__).parents[2] / "docs" / "preparing_at_scale.md").read_text()
    commands = re.findall(r"--beam-options((?:.*\\\n)*.*)", text)
    named = [set(re.findall(r"(\w+)=", command)) for command in commands if "runner=" in command]
    assert len(named) == 3
    known = PipelineOptions([]).get_all_options().keys()
    assert set.union(*named) <= known, set.union(*named) - known


def test_a_shard_needs_nothing_but_its_source_and_specification(here, tmp_path):
    """Encoded by another process, in another folder, of what was pickled to it."""
    from data_pipelines.shards import plan_shards

    source = ToySource()
    specs = plan_shards(
        source.keys(), name="toy", version="1", image_size=48, train_shards=SETTINGS["shards"]
    )
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((source, specs[2], str(tmp_path / "out"))))
    program = (
        "import pickle, sys; from data_pipelines.shards import encode_shard; "
        "encode_shard(*pickle.load(open(sys.argv[1], 'rb')))"
    )
    tests = str(pathlib.Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(
        [sys.executable, "-c", program, job],
        check=True,
        cwd=tmp_path / "elsewhere",
        env=environment,
    )
    written = contents(tmp_path / "out")
    assert len(written) == 2 and written.items() <= contents(here).items()
    assert not list((tmp_path / "elsewhere").iterdir())
