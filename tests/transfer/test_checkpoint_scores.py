"""A checkpoint scored on one task, beside the untrained encoder or another checkpoint."""

import json

import pytest
import tiny_run

from data_pipelines.batches import open_data
from data_pipelines.records import CHEXPERT_LABELS, BadInput
from place_jax import Predictor
from place_jax.transfer.checkpoint_scores import Request, evaluate_checkpoint, read_prompts
from place_jax.transfer.evaluation import evaluate
from place_jax.transfer.maps import MapKind
from place_jax.transfer.subgroups import Subgroups
from place_jax.transfer.zero_shot import Combine
from place_jax.transfer.zero_shot_task import ZeroShotOptions


def test_checkpoint_is_scored_with_its_own_vocabulary_and_prompts_of_a_file(phantom_dir, tmp_path):
    run = tiny_run.untrained_run(phantom_dir)
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"Edema": {"positive": ["edema"], "negative": ["no edema"]}}))
    protocol, found = evaluate_checkpoint(
        Request(
            "zero-shot",
            phantom_dir,
            prompts=read_prompts(path),
            subgroups=Subgroups(("view", "device")),
        ),
        run,
    )
    assert found["zero_shot/test/macro_auroc"] == found["zero_shot/test/auroc/edema"]
    assert "left out" in protocol
    parts = [found[f"zero_shot/test/view_{view}/examples"] for view in ("pa", "ap")]
    limit = tiny_run.tiny_config(phantom_dir).evaluation.max_examples
    assert sum(parts) == min(limit, open_data(phantom_dir).splits["test"])
    assert found["zero_shot/test/device_absent/examples"] > 0
    # A label that nobody has is not scored, and it is said why.
    assert found["zero_shot/test/positives/edema"] > 0 == found["zero_shot/test/positives/fracture"]
    assert found["zero_shot/test/patients"] <= found["zero_shot/test/examples"]


def test_zero_shot_by_class_sensitivity_and_calibration(phantom_dir):
    options = ZeroShotOptions(
        combine=Combine.MAX, classes=("5x200",), transductive=True, sensitivity=True
    )
    request = Request("zero-shot", phantom_dir, zero_shot=options)
    protocol, found = evaluate_checkpoint(request, tiny_run.untrained_run(phantom_dir))
    assert "best of the prompts" in protocol and "transductive" in protocol
    for name in ("class_accuracy", "class_macro_f1_transductive", "temperature", "brier"):
        assert found[f"zero_shot/test/{name}"] >= 0
    error = found["zero_shot/test/calibration_error"]
    assert error <= found["zero_shot/test/calibration_error_uncalibrated"] + 0.1
    rows = found.details["zero_shot/test/sensitivity"].rows
    assert {row["label"] for row in rows} <= set(CHEXPERT_LABELS) and len(rows) > 20


def test_retrieval_by_class_and_of_all_pairs(phantom_dir):
    request = Request(
        "retrieval", phantom_dir, pool=0, zero_shot=ZeroShotOptions(classes=("5x200",))
    )
    protocol, found = evaluate_checkpoint(request, tiny_run.untrained_run(phantom_dir))
    assert "equal reports counted as one" in protocol and "5 drawn lists" in protocol
    assert found["retrieval/test/pool_size"] > 16
    chance = found["retrieval/test/precision_chance"]
    assert abs(found["retrieval/test/precision_at_1"] - chance) < 0.5


def test_every_map_is_scored_and_evidence_is_the_same_on_one_device(phantom_dir):
    run = tiny_run.untrained_run(phantom_dir)
    _, found = evaluate_checkpoint(Request("grounding", phantom_dir), run)
    for name in ("pointing", "pointing_similarity", "pointing_evidence"):
        assert 0 <= found[f"grounding/test/{name}"] <= 1
        assert f"grounding/test/{name}_over_mean_box_of_phrase_ci_low" in found
    predictor = Predictor.from_checkpoint(run)
    alone = evaluate(
        predictor.model,
        predictor.params,
        predictor.model_state,
        open_data(phantom_dir),
        "test",
        predictor.config,
        tasks=("grounding",),
        maps=(MapKind.EVIDENCE,),
        bootstrap=0,
    )
    for metric in ("pointing", "iou", "cnr"):
        name = f"grounding/test/{metric}_evidence"
        assert alone[name] == pytest.approx(found[name], abs=1e-3)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("{", "is not JSON"),
        ("{}", "prompts are empty"),
        ('{"Edema": {"positive": ["xqzj"], "negative": ["no edema"]}}', "'xqzj' has no word"),
        ('{"Edema": {"positive": [" "], "negative": ["no edema"]}}', "has no word"),
    ],
)
def test_bad_prompts_are_one_line(phantom_dir, tmp_path, written, says):
    path = tmp_path / "prompts.json"
    path.write_text(written)
    with pytest.raises(BadInput) as error:
        run = tiny_run.untrained_run(phantom_dir)
        evaluate_checkpoint(Request("zero-shot", phantom_dir, prompts=read_prompts(path)), run)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_linear_probes_stand_beside_the_untrained_encoder(phantom_dir):
    run = tiny_run.untrained_run(phantom_dir)
    other = tiny_run.untrained_run(phantom_dir, seed=1, bootstrap=40)  # another's draws
    request = Request(
        "linear", phantom_dir, fractions=(0.1, 1.0), seeds=2, subgroups=Subgroups(("view",))
    )
    protocol, found = evaluate_checkpoint(request, run, against=other)
    for part in ("10_percent", "100_percent"):
        name = f"linear/test/{part}/macro_auroc"
        low, high = found[f"{name}_ci_low"], found[f"{name}_ci_high"]
        assert 0 <= low <= found[name] <= high <= 1
        difference = found[name] - found[f"untrained/{name}"]
        assert found[f"{name}_over_untrained"] == pytest.approx(difference)
        assert found[f"{name}_over_untrained_ci_low"] <= difference
        # The same weights against themselves: no difference, and none that a test would find.
        assert found[f"against/{name}"] == 0 and found[f"against/{name}_p"] == 1
        assert found[f"linear/test/{part}/view_pa/examples"] > 0
    ten, all_ = (found[f"linear/test/{p}/train_examples"] for p in ("10_percent", "100_percent"))
    assert ten == pytest.approx(all_ / 10, rel=0.4) and "AdamW" in protocol


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"task": "linear", "fractions": (2.0,)}, "fraction=2.0"),
        ({"task": "linear", "seeds": 0}, "seeds=0"),
        ({"task": "linear", "protocol": "loose"}, "'loose'"),
        ({"task": "zero-shot", "subgroups": Subgroups(("age",))}, "'age' is none of view"),
        ({"task": "zero-shot", "split": "dev"}, "no examples in split 'dev'"),
        (
            {"task": "retrieval", "zero_shot": ZeroShotOptions(classes=("Mass", "Edema"))},
            "'Mass' is no label",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line(phantom_dir, request_, says):
    run = tiny_run.untrained_run(phantom_dir)
    with pytest.raises(BadInput) as error:
        evaluate_checkpoint(Request(data_dir=phantom_dir, **request_), run)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_task_is_one_line(phantom_dir):
    with pytest.raises(ValueError, match="use one of linear, fine-tune"):
        Request("probing", phantom_dir)
