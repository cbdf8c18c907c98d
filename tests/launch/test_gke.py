"""launch/gke: the manifest is a JobSet by its fields, and says what the flags say."""

import json
import pathlib
import re
import shlex

import pytest
import yaml

SCHEMA = json.loads((pathlib.Path(__file__).parent / "jobset_schema.json").read_text())
TRAIN = ("place", "--type", "v5e", "--topology", "4x4", "--image", "I")
ARGUMENTS = ("--", "--config", "c", "--workdir", "gs://B/RUN")


def faults(value, schema, path="") -> list[str]:
    """Where a manifest does not fit: unknown or missing fields, and values of another kind.

    A text is a kind (name, text, number, names: a mapping of texts) or the one value; a list of
    texts in a field that is no list is a choice; a name that ends in ? may be missing.
    """
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{path} is no mapping"]
        known = {name.removesuffix("?"): part for name, part in schema.items()}
        found = [f"{path}.{name} is not known" for name in value.keys() - known.keys()]
        found += [f"{path}.{n} is missing" for n in schema if n[-1] != "?" and n not in value]
        for name in value.keys() & known.keys():
            found += faults(value[name], known[name], f"{path}.{name}")
        return found
    if isinstance(schema, list) and isinstance(value, list):
        return [f for i, v in enumerate(value) for f in faults(v, schema[0], f"{path}[{i}]")]
    if isinstance(schema, list):
        return [] if value in schema else [f"{path}={value} is none of {schema}"]
    fits = {
        "number": isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "text": isinstance(value, str),
        "name": isinstance(value, str)
        and bool(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", value)),
        "names": isinstance(value, dict) and all(isinstance(v, str | int) for v in value.values()),
    }.get(schema, value == schema)
    return [] if fits else [f"{path}={value!r} is no {schema}"]


def manifest(launcher, *more) -> dict:
    """What --dry-run prints, but for its last line, which is the command."""
    done = launcher.run("gke/train.sh", "train", *TRAIN, "--dry-run", *more)
    assert done.returncode == 0, done.stderr
    text, _, command = done.stdout.rstrip().rpartition("\n")
    assert command.startswith("+ kubectl apply -f ")
    return yaml.safe_load(text)


def test_the_schema_notices():
    assert faults({"kind": "Job"}, {"kind": "JobSet"}) == [".kind='Job' is no JobSet"]
    assert faults({"a": 1}, {"b": "number", "c?": "text"}) == [".a is not known", ".b is missing"]
    assert faults({"n": "A b"}, {"n": "name"}) and faults({"n": ["x"]}, {"n": ["number"]})


def test_the_manifest_is_a_jobset(launcher):
    assert faults(manifest(launcher, *ARGUMENTS), SCHEMA) == []


def test_the_manifest_says_what_the_flags_say(launcher):
    argument = '--config.data.dir=gs://B/a "quoted" & $odd \\ one'
    made = manifest(launcher, "--slices", "3", "--restarts", "7", *ARGUMENTS, argument)
    assert made["spec"]["failurePolicy"]["maxRestarts"] == 7
    (job,) = made["spec"]["replicatedJobs"]
    assert job["replicas"] == 3
    assert job["template"]["spec"]["parallelism"] == job["template"]["spec"]["completions"] == 4
    pod = job["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    (container,) = pod["containers"]
    assert container["command"] == ["place"] and container["image"] == "I"
    assert container["args"] == ["train", "--devices", "48", *ARGUMENTS[1:], argument]


def test_the_manifest_is_applied_whole(launcher):
    done = launcher.run("gke/train.sh", "train", *TRAIN, "--namespace", "n", *ARGUMENTS)
    assert done.returncode == 0, done.stderr
    (call,) = launcher.calls()
    assert call[:5] == ["kubectl", "apply", "--namespace=n", "-f", call[4]]
    assert faults(yaml.safe_load(pathlib.Path(call[4]).read_text()), SCHEMA) == []


def test_a_pool_a_slice(launcher):
    pool = ("place", "--cluster", "c", "--location", "us-west4", "--slices", "2", "--spot")
    done = launcher.run("gke/train.sh", "pool", *pool, "--type", "v5p", "--topology", "2x2x4")
    assert done.returncode == 0, done.stderr
    calls = launcher.calls()
    assert [call[4] for call in calls] == ["place-0", "place-1"]
    expected = "--machine-type=ct5p-hightpu-4t --tpu-topology=2x2x4 --num-nodes=4 --spot"
    assert set(expected.split()) < set(calls[0])


@pytest.mark.parametrize("verb", ["status", "logs", "delete"])
def test_the_rest_asks_for_this_run_alone(launcher, verb):
    shown = launcher.run("gke/train.sh", verb, "place", "--dry-run").stdout.splitlines()
    assert launcher.calls() == []
    assert launcher.run("gke/train.sh", verb, "place").returncode == 0
    assert [["+", *call] for call in launcher.calls()] == [shlex.split(line) for line in shown]
    assert all("place" in " ".join(call) for call in launcher.calls())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", *TRAIN[:3], "--topology", "4y4", "--image", "I", *ARGUMENTS), "--topology=4y4"),
        (("train", *TRAIN[:3], "--topology", "1x2", "--image", "I", *ARGUMENTS), "multiple of 4"),
        (
            ("train", "place", "--type", "v9", "--topology", "4x4", "--image", "I", *ARGUMENTS),
            "v6e",
        ),
        (("train", *TRAIN[:5], *ARGUMENTS), "give --image"),
        (("pool", *TRAIN[:5]), "give --cluster"),
    ],
)
def test_bad_usage_is_one_line_and_calls_nothing(launcher, arguments, words):
    done = launcher.run("gke/train.sh", *arguments)
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and launcher.calls() == []
