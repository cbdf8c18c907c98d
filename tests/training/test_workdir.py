"""A run's small files in a bucket, which is a folder here that answers to gs://."""

import json
import pathlib
import types

import pytest
from etils.epath import backend, gpath

from place_jax.training import checkpoints, held_out, preflight
from place_jax.training.metric_writers import MetricWriter
from place_jax.training.workdir import as_path, is_remote, write_whole


class BucketInAFolder(backend._OsPathBackend):
    """gs://BUCKET/NAME is ROOT/BUCKET/NAME. As in a bucket, nothing can be appended to."""

    def __init__(self, root: pathlib.Path):
        self.root = root

    def local(self, path) -> str:
        return str(path).replace("gs://", f"{self.root}/")

    def open(self, path, mode):
        assert "a" not in mode, "a bucket's objects cannot be appended to"
        return super().open(self.local(path), mode)


def _translated(name: str):
    plain = getattr(backend._OsPathBackend, name)
    return lambda self, path, *args, **kwargs: plain(self, self.local(path), *args, **kwargs)


for _name in ("exists", "isdir", "listdir", "makedirs", "mkdir", "rmtree", "remove", "stat"):
    setattr(BucketInAFolder, _name, _translated(_name))


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> pathlib.Path:
    """The folder behind gs://runs."""
    (tmp_path / "runs").mkdir()
    plain = gpath._GPath._backend.fget
    monkeypatch.setattr(
        gpath._GPath,
        "_backend",
        property(lambda self: BucketInAFolder(tmp_path) if self._uri_scheme else plain(self)),
    )
    return tmp_path / "runs"


def test_a_path_in_a_bucket_stays_as_it_is():
    assert str(as_path("gs://runs/one")) == "gs://runs/one" and is_remote(as_path("gs://runs/one"))
    assert as_path("one") == pathlib.Path.cwd() / "one" and not is_remote(as_path("one"))


def test_a_file_is_written_whole(bucket):
    as_path("gs://runs/one").mkdir()
    write_whole(as_path("gs://runs/one") / "config.json", "{}")
    assert (bucket / "one" / "config.json").read_text() == "{}"
    assert [path.name for path in (bucket / "one").iterdir()] == ["config.json"]


def test_the_result_is_read_where_the_page_is(bucket):
    (bucket / "one").mkdir()
    (bucket / "one" / "result.json").write_text('{"step": 3}')
    assert held_out.read_result("gs://runs/one") == {}
    (bucket / "one" / "report.html").touch()
    assert held_out.read_result("gs://runs/one") == {"step": 3}


def test_metrics_are_kept_up_to_each_saved_state(bucket, monkeypatch):
    from clu import metric_writers

    silent = types.SimpleNamespace(write_scalars=lambda *args: None, close=lambda: None)
    monkeypatch.setattr(metric_writers, "SummaryWriter", lambda folder: folder)
    monkeypatch.setattr(metric_writers, "AsyncWriter", lambda writer: silent)
    (bucket / "one").mkdir()
    file = bucket / "one" / "metrics.jsonl"

    def steps() -> list[int]:
        return [json.loads(line)["step"] for line in file.read_text().splitlines()]

    writer = MetricWriter("gs://runs/one", start_step=0)
    writer.write(1, {"train/loss": 1.0})
    writer.write(2, {"train/loss": 1.0})
    writer.flush()
    writer.write(3, {"train/loss": 1.0})
    assert steps() == [1, 2]  # as after a kill: what was not flushed was not saved either
    writer = MetricWriter("gs://runs/one", start_step=1)
    writer.write(2, {"train/loss": 2.0})
    writer.close()
    assert steps() == [1, 2]
    assert json.loads(file.read_text().splitlines()[1])["train/loss"] == 2.0


def test_a_checkpoint_without_its_last_file_is_not_finished(bucket):
    for step, finished in ((2, True), (4, False)):
        folder = bucket / "one" / "checkpoints" / str(step)
        folder.mkdir(parents=True)
        if finished:
            (folder / "commit_success.txt").touch()
    assert checkpoints.latest_step("gs://runs/one") == 2


def test_preflight_leaves_no_mark(bucket):
    problem, _ = preflight._try_workdir("gs://runs/one")
    assert problem == "" and list((bucket / "one").iterdir()) == []


def test_preflight_says_that_a_bucket_is_not_there(bucket):
    (bucket / "file").touch()
    problem, _ = preflight._try_workdir("gs://runs/file/one")
    assert "cannot write to workdir=gs://runs/file/one" in problem
