"""metrics.jsonl: one JSON object a line, and no line twice when a run goes on."""

import json

from place_jax.training.metric_writers import MetricWriter


def read(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_lines_and_events(tmp_path):
    writer = MetricWriter(tmp_path, start_step=0)
    writer.write(1, {"train/loss": 2.5, "train/gradient_norm": float("nan")})
    writer.close()
    assert read(tmp_path) == [{"step": 1, "train/loss": 2.5, "train/gradient_norm": None}]
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_going_on_drops_what_will_come_again(tmp_path):
    writer = MetricWriter(tmp_path, start_step=0)
    writer.write(2, {"train/loss": 3.0})
    writer.write(2, {"retrieval/validation/recall_at_1": 0.5})
    writer.write(4, {"train/loss": 2.0})
    writer.write(4, {"retrieval/validation/recall_at_1": 0.6})
    writer.write(6, {"train/loss": 1.0})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "train/lo')  # cut short by a kill
    writer = MetricWriter(tmp_path, start_step=4)
    writer.write(6, {"train/loss": 1.5})
    writer.close()
    assert read(tmp_path) == [
        {"step": 2, "train/loss": 3.0},
        {"step": 2, "retrieval/validation/recall_at_1": 0.5},
        {"step": 4, "train/loss": 2.0},
        {"step": 6, "train/loss": 1.5},
    ]


def test_other_hosts_write_nothing(tmp_path):
    writer = MetricWriter(tmp_path, start_step=0, enabled=False)
    writer.write(1, {"train/loss": 2.5})
    writer.close()
    assert list(tmp_path.iterdir()) == []
