import json
import re

import jax
import numpy as np
import pytest
import tiny_run
from drawn_pairs import draw_pairs

from data_pipelines.batches import open_data, read_records
from place_jax import configuration, objectives, report_page, report_words
from place_jax.figures import table_of
from place_jax.objectives import diagnostics

SCORES = {
    "step": 100,
    "zero_shot/test/macro_auroc": 0.8125,
    "zero_shot/test/macro_auroc_ci_low": 0.751,
    "zero_shot/test/macro_auroc_ci_high": 0.874,
    "zero_shot/test/auroc/edema": 0.8125,
    "zero_shot/test/auroc/edema_ci_low": 0.751,
    "zero_shot/test/auroc/edema_ci_high": 0.874,
    "zero_shot/test/auroc/fracture": None,
    "retrieval/test/recall_at_1": 0.0625,
    "retrieval/test/pool_size": 256.0,
    "untrained/zero_shot/test/macro_auroc": 0.4875,
    "pathological/test/loss": 2.0,
    "pathological/test/floor": 1.0,
    "pathological/test/loss_rolled_images": 3.0,
    "pathological/test/loss_statement_frequency": 2.9,
    "correlation/test/loss": 0.1808,
    "correlation/test/loss_rolled_reports": 0.1809,
    "correlation/test/r2_over_mean": 0.3,
    "gradient/test/norm_instance": 2.0,
    "gradient/test/norm_correlation": 0.5,
    "gradient/test/cosine_instance_correlation": -0.25,
}


def write_files(workdir, scores=SCORES):
    rows = [
        {
            "step": step,
            "train/loss": 5 - step / 50,
            "train/instance/gap": 4 - step / 50,
            "train/pairs_per_second": 10.0,
        }
        for step in (50, 100)
    ]
    rows.append({"step": 100, "gradient/validation/norm_instance": 2.0})
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 150, "train/lo'
    (workdir / "metrics.jsonl").write_text(text)
    (workdir / "result.json").write_text(json.dumps(scores))


@pytest.fixture
def bare(tmp_path, phantom_dir):
    """A workdir without a checkpoint."""
    config = tiny_run.tiny_config(phantom_dir)
    (tmp_path / "config.json").write_text(configuration.to_json(config))
    write_files(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def page(phantom_dir):
    """The page of a whole workdir."""
    workdir = tiny_run.untrained_run(phantom_dir)
    write_files(workdir)
    return report_page.write_report(workdir).read_text()


def text_of(page: str) -> str:
    body = re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(body.split())


def test_opens_with_no_network(page):
    assert "<script" not in page and "@import" not in page and "url(" not in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert sources and all(source.startswith("data:image/") for source in sources)


def test_says_what_it_is_and_how_good(page):
    text = text_of(page)
    assert "The data are synthetic" in text
    assert "not a medical device" in text
    assert "0.812 (0.751 to 0.874) 0.500 0.487" in text
    assert "0.062 0.004" in text  # recall at 1 beside its chance


def test_verdicts_follow_the_numbers(page):
    text = text_of(page)
    assert "the V-PORs tell of the image" in text
    assert "changes the loss by +0.06 %: the prediction does not use the report" in text


def test_shows_retrieved_reports_and_regions(page, phantom_dir):
    records = read_records(open_data(phantom_dir), "test", fields=("sentences",))
    sentences = {sentence for record in records for sentence in record["sentences"]}
    assert "Its own report" in page and "another&#39;s" in page
    quoted = re.findall(r'class="quote">([^<]*)<', page)
    assert len(quoted) == 8 and set(quoted) <= sentences
    assert page.count("data:image/png") == 6 + 2 * 8
    assert page.count("data:image/svg") == 3


def test_data_not_to_be_shared_stay_off_the_page(phantom_dir, monkeypatch, bare):
    import dataclasses

    from data_pipelines import batches

    opened = batches.open_data
    monkeypatch.setattr(
        batches, "open_data", lambda *a, **k: dataclasses.replace(opened(*a, **k), shareable=False)
    )
    page = report_page.write_report(bare).read_text()
    assert "marked as not to be shared" in page and "include_examples" in page
    assert "data:image/png" not in page
    sentences = read_records(opened(phantom_dir), "test", fields=("sentences",))[0]["sentences"]
    assert not any(sentence in page for sentence in sentences)


def test_included_when_the_config_says_so(phantom_dir, monkeypatch, tmp_path):
    import dataclasses

    from data_pipelines import batches

    opened = batches.open_data
    monkeypatch.setattr(
        batches, "open_data", lambda *a, **k: dataclasses.replace(opened(*a, **k), shareable=False)
    )
    run = tiny_run.untrained_run(phantom_dir)
    config = tiny_run.tiny_config(phantom_dir)
    config.evaluation.include_examples = True
    (tmp_path / "config.json").write_text(configuration.to_json(config))
    (tmp_path / "checkpoints").symlink_to(run / "checkpoints")
    assert "data:image/png" in report_page.write_report(tmp_path).read_text()


def test_a_run_without_checkpoint_or_scores_has_a_page_that_says_so(bare):
    assert "no finished checkpoint" in text_of(report_page.write_report(bare).read_text())
    (bare / "result.json").unlink()
    (bare / "metrics.jsonl").unlink()
    text = text_of(report_page.write_report(bare).read_text())
    assert "There are no scores yet" in text and "nothing to draw" in text


def test_clip_has_no_grounding(phantom_dir):
    workdir = tiny_run.untrained_run(phantom_dir, "clip")
    write_files(workdir, {"retrieval/test/recall_at_1": 0.5, "retrieval/test/pool_size": 8})
    text = text_of(report_page.write_report(workdir).read_text())
    assert "CLIP pre-trained on phantom_cxr" in text
    assert "Where sentences look" not in text and "Its own report" in text


def test_what_data_say_is_escaped(bare):
    run = report_page.read_run(bare)
    page = report_page.render(run, {"name": "<script>alert(1)</script>"}, report_page.Examples())
    assert "<script" not in page and "&lt;script&gt;" in page


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="has no config.json"):
        report_page.write_report(tmp_path)


@pytest.mark.parametrize(
    ("scores", "passed", "says"),
    [
        ({"": 0.6, "_rolled_image": 0.3, "_mean_box": 0.4}, True, "better than anatomy alone"),
        ({"": 0.6, "_rolled_image": 0.3, "_mean_box": 0.7}, False, "a fixed point"),
        ({"": 0.3, "_rolled_image": 0.3, "_mean_box": 0.2}, False, "no better than"),
    ],
)
def test_grounding_is_judged_against_its_controls(scores, passed, says):
    named = {f"grounding/test/pointing{name}": value for name, value in scores.items()}
    named["grounding/test/pointing_over_rolled_image"] = scores[""] - scores["_rolled_image"]
    control = report_words.grounding(named, "test")
    assert control.passed is passed and says in control.verdict


def test_v_pors_that_ignore_the_image_fail_the_control():
    scores = {
        "pathological/test/loss": 2.95,
        "pathological/test/loss_rolled_images": 2.96,
        "pathological/test/loss_statement_frequency": 2.9,
    }
    (control,) = report_words.controls(scores, "test")
    assert not control.passed and "nothing of the images" in control.verdict


def test_within_a_report_no_image_is_needed_and_nothing_is_said_of_statements_frequency():
    scores = {"pathological/test/loss": 0.1, "pathological/test/loss_rolled_images": 0.1}
    (control,) = report_words.controls(scores, "test")
    assert not control.passed and ("the best that no image at all allows", "") in control.rows


def test_terms_that_pull_against_each_other_are_said(page):
    text = text_of(page)
    assert "ITA and CCE: cosine -0.25" in text
    assert "ITA has 80% of the sum of the norms. Some terms pull against each other." in text


@pytest.mark.parametrize(("rolled", "said"), [(0.0512, "is alive"), (0.0501, "is dead")])
def test_the_log_says_whether_the_conditioning_is_alive(rolled, said):
    scores = {"correlation/test/loss": 0.05, "correlation/test/loss_rolled_reports": rolled}
    assert said in report_words.conditioning(scores, "test")
    assert report_words.conditioning({}, "test") is None


def test_diagnostics_are_drawn_where_they_were_logged(bare):
    panels = report_page.diagnostic_curves(report_page.read_run(bare).metrics)
    assert [panel.title for panel in panels] == [
        "Above the floor",
        "Norm of the gradient on the image encoder",
    ]
    assert list(panels[0].lines[0].values) == [3, 2] and panels[1].lines[0].marked


def test_all_that_training_logs_of_place_is_drawn(phantom_dir):
    """But for accuracies, which say what the losses do, and for the loss as a whole."""
    config = tiny_run.tiny_config(phantom_dir)
    config.model.observation.null = "learned"
    model = tiny_run.untrained_model(phantom_dir)[0].from_config(
        config.model, image_size=config.data.crop_size, vocab_size=50
    )
    batch = draw_pairs(np.random.default_rng(0), 4) | {
        "statement": np.zeros((4, 4, 2), np.uint32),
        "report_statement": np.zeros((4, 2), np.uint32),
    }

    def logged(key):
        params, state = model.init(key)
        outputs = model.apply(params, state, batch, key=key)
        metrics = objectives.get("place")(outputs, batch, config)[1]
        return metrics | diagnostics.watch(outputs, batch, config, metrics)

    names = list(jax.eval_shape(logged, jax.random.key(0)))

    def is_drawn(name):
        rows = [{"step": step, f"train/{name}": 1.0} for step in (1, 2)]
        return report_page.learning_curves(rows) or report_page.diagnostic_curves(rows)

    left = {name for name in names if not is_drawn(name)}
    assert "pathological/null_mass" in names and "v_por/attention_overlap" in names
    assert left == {"instance/top1", "pathological/top1", "correlation/r2_over_zero"}


def test_a_value_that_was_not_finite_is_left_out_of_its_curve():
    rows = [{"step": k, "train/loss": None if k == 2 else 1.0 / k} for k in (1, 2, 3)]
    assert table_of(rows, "train/loss") == ([1, 3], [1.0, 1 / 3])
    assert report_page.learning_curves(rows)


def test_training_time_is_that_of_the_steps(bare):
    run = report_page.read_run(bare)
    run.config.data.batch_size = 12
    summary = dict(report_words.summarize(run.config, run.metrics, {}))
    assert summary["Training time, net of evaluation"] == "2 min 0 s"
    assert summary["Pairs a second"] == "10.0"
    assert summary["Steps"].startswith("100 of")
