"""launch/tpu_vm.sh and multislice.sh: what they call, in which order, what brings a run back."""

import pytest

POD = ("pod", "--zone", "us-west4-a")
TRAIN = (*POD, "--type", "v5litepod-16", "--spot", "--", "--config", "c", "--workdir", "gs://B/RUN")


def verbs(launcher) -> list[str]:
    """The calls of gcloud in a word each."""
    found = []
    for call in launcher.calls():
        assert call[:4] == ["gcloud", "compute", "tpus", "queued-resources"], call
        words = " ".join(call[4:])
        if call[4] == "ssh" and "place train" in words:
            found.append("train")
        elif call[4] == "ssh":
            found.append("ready?" if "place_jax.ready" in words else "install")
        else:
            found.append(call[4])
    return found


def test_a_slice_is_asked_for_by_type_and_waited_for(launcher):
    launcher.answer("describe", "0 WAITING_FOR_RESOURCES", "0 PROVISIONING", "0 ACTIVE")
    done = launcher.run(
        "tpu_vm.sh", "create", *POD, "--type", "v6e-256", "--spot", "--project", "p"
    )
    assert done.returncode == 0, done.stderr
    create = launcher.calls()[0]
    for flag in (
        *("--zone=us-west4-a", "--project=p", "--accelerator-type=v6e-256", "--spot"),
        *("--runtime-version=v2-alpha-tpuv6e", "--node-id=pod"),
    ):
        assert flag in create
    assert verbs(launcher) == ["create", "describe", "describe", "describe"]
    assert "pod is PROVISIONING" in done.stdout


def test_a_slice_that_is_not_given(launcher):
    launcher.answer("describe", "0 FAILED")
    done = launcher.run("tpu_vm.sh", "create", *POD, "--type", "v4-32")
    assert done.returncode == 1 and "launch/tpu_vm.sh status pod" in done.stderr


def test_training_runs_on_every_host_after_a_preflight(launcher):
    launcher.answer("describe", "0 ACTIVE")
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert verbs(launcher) == ["describe", "ready?", "train"]
    train = launcher.calls()[-1]
    assert "--node=all" in train and "--worker=all" in train
    command = train[-1]
    assert "place preflight --devices 16 --config c --workdir gs://B/RUN && place train" in command
    assert "launch/tpu_vm.sh delete pod" in done.stdout


def test_a_fresh_slice_is_set_up_first(launcher):
    launcher.answer("describe", "0 ACTIVE")
    launcher.answer("ready", "1 ")
    assert launcher.run("tpu_vm.sh", "train", *TRAIN).returncode == 0
    assert verbs(launcher) == ["describe", "ready?", "scp", "install", "train"]


def test_a_slice_taken_away_is_asked_for_anew_and_training_goes_on(launcher):
    launcher.answer("describe", "0 ACTIVE", "0 SUSPENDED", "0 SUSPENDED", "0 SUSPENDED", "0 ACTIVE")
    launcher.answer("ready", "0 ", "1 ")
    launcher.answer("train", "255 ", "0 ")
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert verbs(launcher) == [
        *("describe", "ready?", "train", "describe", "describe", "describe", "delete", "create"),
        *("describe", "ready?", "scp", "install", "train"),
    ]


def test_an_answer_that_does_not_come_gives_up_nothing(launcher):
    lost = "1 ERROR: (gcloud) UNAVAILABLE: try again"
    launcher.answer(
        "describe",
        *("0 WAITING_FOR_RESOURCES", lost, "0 WAITING_FOR_RESOURCES", "0 SUSPENDED", lost),
        "0 ACTIVE",
    )
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert verbs(launcher) == ["describe"] * 6 + ["ready?", "train"]


def test_a_login_that_is_missing_ends_the_wait(launcher):
    launcher.answer("describe", *["1 ERROR: (gcloud) PERMISSION_DENIED"] * 30)
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 1 and "see to the login" in done.stderr
    assert verbs(launcher) == ["describe"] * 20


def test_a_slice_that_is_not_there_is_asked_for(launcher):
    gone = "1 ERROR: (gcloud) NOT_FOUND: Resource was not found"
    launcher.answer("describe", gone, gone, "0 ACTIVE")
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert verbs(launcher)[:4] == ["describe", "describe", "create", "describe"]


@pytest.mark.parametrize("status", [143, 75, 134])
def test_what_was_stopped_hung_or_killed_starts_again_on_the_same_slice(launcher, status):
    launcher.answer("describe", *["0 ACTIVE"] * 3)
    launcher.answer("train", f"{status} ", "0 ")
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 0 and "4 restarts left" in done.stdout
    assert verbs(launcher) == ["describe", "ready?", "train", "describe"] + [
        *("describe", "ready?", "train")
    ]


def test_bad_input_is_not_started_again(launcher):
    launcher.answer("describe", "0 ACTIVE")
    launcher.answer("train", "1 place train: data.dir is empty", "0 ")
    done = launcher.run("tpu_vm.sh", "train", *TRAIN)
    assert done.returncode == 1 and "bad input" in done.stderr
    assert verbs(launcher).count("train") == 1


def test_restarts_come_to_an_end(launcher):
    launcher.answer("describe", *["0 ACTIVE"] * 9)
    launcher.answer("train", *["139 "] * 9)
    done = launcher.run("tpu_vm.sh", "train", "pod", "--restarts", "2", *TRAIN[1:])
    assert done.returncode == 1 and "status 139 after 2 restarts" in done.stderr
    assert verbs(launcher).count("train") == 3


@pytest.mark.parametrize(
    ("kind", "chips"), [("v4-32", 16), ("v5p-8", 4), ("v5litepod-256", 256), ("v6e-8", 8)]
)
def test_chips_are_counted_as_the_type_is_named(launcher, kind, chips):
    done = launcher.run(
        "tpu_vm.sh", "train", *POD, "--type", kind, "--dry-run", "--", "--config", "c"
    )
    assert f"place train --devices {chips} --config c" in done.stdout


@pytest.mark.parametrize("verb", ["create", "setup", "train", "status", "logs", "delete"])
def test_a_dry_run_calls_nothing(launcher, verb):
    done = launcher.run(
        "tpu_vm.sh", verb, *POD, "--type", "v4-8", "--dry-run", "--", "--config", "c"
    )
    assert done.returncode == 0, done.stderr
    assert "+ gcloud compute tpus queued-resources" in done.stdout
    assert launcher.calls() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "pod", "--type", "v4-8"), "give --zone"),
        (("create", *POD), "give --type"),
        (("create", *POD, "--type", "h100-8"), "v5litepod-N"),
        (("create", *POD, "--type"), "--type needs a value"),
        (("create", *POD, "--sport"), "--sport is not known"),
        (("train", *POD, "--type", "v4-8"), "after --"),
    ],
)
def test_bad_usage_is_one_line(launcher, arguments, words):
    done = launcher.run("tpu_vm.sh", *arguments)
    assert done.returncode == 1 and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and launcher.calls() == []


def test_multislice_is_one_replica_a_slice(launcher):
    launcher.answer("describe", *["0 ACTIVE"] * 2)
    slices = ("pod", "4", *TRAIN[1:])
    assert launcher.run("multislice.sh", "create", "pod", "4", *TRAIN[1:6]).returncode == 0
    assert {"--node-count=4", "--node-prefix=pod"} <= set(launcher.calls()[0])
    assert launcher.run("multislice.sh", "train", *slices).returncode == 0
    assert "place train --devices 64" in launcher.calls()[-1][-1]
    assert "--config.mesh.replica=4" in launcher.calls()[-1][-1]


def test_multislice_keeps_a_mesh_that_is_given(launcher):
    arguments = ("pod", "4", *TRAIN[1:5], "--dry-run", "--", "--config", "c")
    done = launcher.run("multislice.sh", "train", *arguments, "--config.mesh.replica=2")
    assert "mesh.replica=2" in done.stdout and "mesh.replica=4" not in done.stdout
    assert launcher.run("multislice.sh", "train", "pod", "1", *POD[1:]).returncode == 1
