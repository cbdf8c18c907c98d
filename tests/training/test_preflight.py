"""Preflight: each thing that can be wrong between hosts is one line with its value and its fix."""

import dataclasses
import json

import pytest

from place_jax import cli
from place_jax.training import google_cloud, preflight
from place_jax.training.preflight import HostFacts, find_problems

HOST = HostFacts(
    host="host0/0",
    devices=4,
    device_kind="TPU v5 lite",
    versions={"jax": "0.10.2", "libtpu": "0.0.40", "python": "3.12.1"},
    config_hash="aaaa",
    manifest_hash="bbbb",
    clock=1000.0,
)


def hosts(count: int = 4, *, odd: int = 2, **changes) -> list[HostFacts]:
    """Equal hosts, but for one."""
    facts = [
        dataclasses.replace(HOST, host=f"host{i}/{i}", clock=1000 + i / 10) for i in range(count)
    ]
    facts[odd] = dataclasses.replace(facts[odd], **changes)
    return facts


def test_equal_hosts_are_in_order():
    assert find_problems(hosts(), devices=16) == []
    assert find_problems(hosts(1, odd=0)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"versions": HOST.versions | {"jax": "0.9.0"}},
            "jax is 0.9.0 on host2/2, and 0.10.2 else",
        ),
        ({"versions": {"jax": "0.10.2", "python": "3.12.1"}}, "libtpu is not installed on host2/2"),
        ({"config_hash": "cccc"}, "the config is cccc on host2/2"),
        ({"manifest_hash": ""}, "data.dir's manifest is none on host2/2"),
        ({"device_kind": "cpu"}, "device kind is cpu on host2/2"),
        ({"clock": 1090.0}, "the clock of host2/2 is 90 s ahead of that of host0/0"),
        ({"workdir_problem": "cannot read workdir=/x"}, "host2/2: cannot read workdir=/x"),
    ],
)
def test_the_host_that_differs_is_named(changes, words):
    (problem,) = find_problems(hosts(**changes))
    assert words in problem and "\n" not in problem


def test_a_chip_too_few():
    (problem,) = find_problems(hosts(), devices=20)
    assert "16 devices and --devices=20" in problem


@pytest.mark.parametrize(
    ("location", "fine"), [("us-west4", True), ("us", True), ("", True), ("europe-west4", False)]
)
def test_a_bucket_in_another_region_is_said(location, fine):
    paths = ("gs://runs/one", "/local/data")
    problems = google_cloud.region_problems("us-west4-a", paths, lambda bucket: location)
    assert (problems == []) == fine
    if not fine:
        assert "gs://runs is in europe-west4 and the hosts in us-west4" in problems[0]


@pytest.mark.parametrize(
    ("zone", "location", "fine"),
    [
        ("europe-west4-a", "eu", True),
        ("europe-west4-b", "eur4", True),
        ("europe-west1-b", "eur4", False),
        ("us-east1-d", "nam4", True),
        ("us-east1-d", "eu", False),
    ],
)
def test_a_bucket_of_several_regions_is_near_those(zone, location, fine):
    problems = google_cloud.region_problems(zone, ("gs://runs/one",), lambda bucket: location)
    assert (problems == []) == fine


def test_nothing_is_asked_of_a_bucket_elsewhere():
    def never(bucket):
        raise AssertionError(bucket)

    assert google_cloud.region_problems("", ("gs://runs/one",), never) == []


def test_where_a_bucket_lies_is_asked_with_the_hosts_own_token():
    def get(url, headers):
        if "token" in url:
            return json.dumps({"access_token": "abc"})
        assert url.endswith("/b/runs?fields=location") and headers["Authorization"] == "Bearer abc"
        return json.dumps({"location": "US-WEST4"})

    assert google_cloud.bucket_location("runs", get) == "us-west4"

    def refused(url, headers):
        raise OSError("403")

    assert google_cloud.bucket_location("runs", refused) == ""


def arguments(phantom_dir, workdir, *more):
    return [
        *("preflight", "--config", "phantom_demo:smoke", "--workdir", str(workdir)),
        *(f"--config.data.dir={phantom_dir}", *more),
    ]


def test_the_verb_says_that_all_is_in_order_and_leaves_nothing(phantom_dir, tmp_path, capsys):
    assert cli.main(arguments(phantom_dir, tmp_path / "run", "--devices", "8")) == 0
    assert "8 device(s) of kind cpu on 1 host(s)" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_the_verb_says_all_that_is_wrong(phantom_dir, tmp_path, capsys):
    (tmp_path / "file").touch()
    more = ("--devices", "16", "--config.data.batch_size=100000")
    assert cli.main(arguments(phantom_dir, tmp_path / "file" / "run", *more)) == 1
    said = capsys.readouterr().err
    for words in ("8 devices and --devices=16", "cannot write to workdir", "batch_size=100000"):
        assert words in said


def test_training_is_refused_before_anything_is_written(phantom_dir, tmp_path, capsys):
    argv = ["train", *arguments(phantom_dir, tmp_path / "run", "--devices", "16")[1:]]
    assert cli.main(argv) == 1
    assert "8 devices and --devices=16" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ("objective=gloria", "model.local=projections", "evaluation.batch_size=512"),
            "evaluation.batch_size=512 is over 256",
        ),
        (
            ("objective=mgca", "model.local=prototypes", "loss.protocol=mgca_compat")
            + ("evaluation.batch_size=100",),
            "evaluation.batch_size on 8 devices, of which it has to be a multiple,=104 does not sp",
        ),
    ],
)
def test_an_evaluation_that_the_objective_does_not_take_is_refused_before_training(
    phantom_dir, tmp_path, capsys, settings, words
):
    given = [f"--config.{setting}" for setting in settings]
    assert cli.main(["train", *arguments(phantom_dir, tmp_path / "run", *given)[1:]]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_hosts_with_fewer_devices_are_named():
    counts = preflight.collections.Counter({0: 4, 1: 3})
    assert "4 on process 0, 3 on process 1" in preflight._uneven(counts)
