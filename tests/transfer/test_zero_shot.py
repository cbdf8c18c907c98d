import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from data_pipelines.records import CHEXPERT_LABELS, BadInput
from place_jax.objectives.matching import Match, match_scores
from place_jax.transfer import zero_shot
from place_jax.transfer.class_zero_shot import Normalisation, evaluate_classes
from place_jax.transfer.features import Features
from place_jax.transfer.protocols.prompt_templates import template_prompts

EFFUSION = CHEXPERT_LABELS.index("Pleural Effusion")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def make_features(image_embedding, labels, **fields):
    n = len(labels)
    all_labels = np.full((n, 14), -2, np.int8)
    all_labels[:, EFFUSION] = labels
    return Features(
        image_embedding=image_embedding,
        report_embedding=image_embedding,
        labels=all_labels,
        index=np.arange(n),
        report_statement=np.zeros((n, 2), np.uint32),
        statement=np.zeros((n, 1, 2), np.uint32),
        sentence_mask=np.ones((n, 1), bool),
        patient_id=tuple(f"p{i // 2}" for i in range(n)),
        **fields,
    )


def effusion_prompts(positive, negative):
    return {"Pleural Effusion": zero_shot.EncodedPrompts(positive, negative)}


def test_images_near_the_positive_prompt_score_high():
    rng = np.random.default_rng(0)
    directions = np.eye(4)[:2]
    labels = np.array([1, 0] * 20)
    embedding = unit(directions[1 - labels] + 0.3 * rng.normal(size=(40, 4)))
    prompts = effusion_prompts(directions[:1], directions[1:])
    out = zero_shot.evaluate_zero_shot(
        make_features(embedding, labels), prompts, split="test", bootstrap=200
    )
    assert out["zero_shot/test/macro_auroc"] > 0.95
    assert out["zero_shot/test/auroc/pleural_effusion"] == out["zero_shot/test/macro_auroc"]
    low, high = (out[f"zero_shot/test/macro_auroc_ci_{side}"] for side in ("low", "high"))
    assert 0.8 < low <= out["zero_shot/test/macro_auroc"] <= high <= 1
    swapped = effusion_prompts(directions[1:], directions[:1])
    worst = zero_shot.evaluate_zero_shot(make_features(embedding, labels), swapped, split="test")
    assert worst["zero_shot/test/macro_auroc"] == pytest.approx(
        1 - out["zero_shot/test/macro_auroc"]
    )


def test_uncertain_and_missing_labels_are_left_out():
    embedding = np.array([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    prompts = effusion_prompts(np.array([[1.0, 0]]), np.array([[0, 1.0]]))
    # The last two would be mistakes, were -1 and -2 taken for classes.
    out = zero_shot.evaluate_zero_shot(
        make_features(embedding, [1, 0, -1, -2]), prompts, split="test"
    )
    assert out["zero_shot/test/macro_auroc"] == 1
    one_class = make_features(embedding, [1, 1, -1, -2])
    assert zero_shot.evaluate_zero_shot(one_class, prompts, split="test") == {}


def test_several_prompts_are_averaged_as_unit_vectors():
    prompts = zero_shot.EncodedPrompts(np.array([[1.0, 0], [0, 1]]), np.array([[-1.0, 0]]))
    score = zero_shot.global_scores(np.array([[1.0, 0]]), prompts)
    np.testing.assert_allclose(score, 1 / np.sqrt(2) + 1)


def test_observation_scores_are_those_of_the_objective():
    rng = np.random.default_rng(1)
    v_por, t_por = (unit(rng.normal(size=s)).astype(np.float32) for s in ((5, 3, 8), (7, 8)))
    place, mask = np.zeros((7, 1), int), np.ones((7, 1), bool)
    for match, tau_m in ((Match.SOFTMAX, 0.1), (Match.MAX, 0)):
        expected = match_scores(v_por, t_por[:, None], place, mask, match=match, tau_m=0.1, block=3)
        np.testing.assert_allclose(zero_shot.match(v_por, t_por, tau_m=tau_m), expected, atol=2e-6)


def test_the_best_of_several_prompts_is_another_choice():
    prompts = zero_shot.EncodedPrompts(np.array([[1.0, 0], [0, 1]]), np.array([[-1.0, 0]]))
    score = zero_shot.global_scores(np.array([[0.6, 0.8]]), prompts, zero_shot.Combine.MAX)
    np.testing.assert_allclose(score, 0.8 + 0.6)


def test_sensitivity_is_the_auroc_of_each_pair():
    labels = np.array([1, 0] * 10)
    embedding = np.eye(4)[1 - labels]
    prompts = effusion_prompts(np.eye(4)[[0, 1]], np.eye(4)[[2]])
    texts = {"Pleural Effusion": {"positive": ["right", "wrong"], "negative": ["neither"]}}
    out = zero_shot.prompt_sensitivity(
        make_features(embedding, labels), prompts, texts, split="test"
    )
    name = "zero_shot/test/sensitivity/pleural_effusion"
    assert [out[f"{name}_{end}"] for end in ("lowest", "median", "highest")] == [0, 0.5, 1]
    rows = out.details["zero_shot/test/sensitivity"].rows
    assert [(row["positive"], row["auroc"]) for row in rows] == [("right", 1), ("wrong", 0)]


def class_features(n_each, shift):
    """Edema on axis 0 and effusion on axis 1; every image leans to axis 0 by `shift`."""
    edema = CHEXPERT_LABELS.index("Edema")
    base = make_features(np.zeros((2 * n_each, 4)), [0] * n_each + [1] * n_each)
    base.labels[:n_each, edema] = 1
    embedding = np.repeat(np.eye(4)[:2], n_each, axis=0) + [shift, 0, 0, 0]
    embedding[0] = embedding[-1]  # one edema that looks like an effusion
    return dataclasses.replace(base, image_embedding=embedding)


def test_choice_of_a_class_and_what_transduction_does():
    texts = {
        name: zero_shot.EncodedPrompts(np.eye(4)[[k]], np.eye(4)[[3]])
        for k, name in enumerate(("Edema", "Pleural Effusion"))
    }
    # A class that no image shows is no choice: it would count 0 in the mean.
    asked = texts | {"Fracture": zero_shot.EncodedPrompts(np.eye(4)[[0]] * 9, np.eye(4)[[3]])}
    plain = evaluate_classes(class_features(10, 0), asked, list(asked), split="test", bootstrap=50)
    assert plain["zero_shot/test/class_accuracy"] == pytest.approx(19 / 20)
    truth, called = np.repeat([0, 1], 10), np.array([1] + [0] * 9 + [1] * 10)
    assert plain["zero_shot/test/class_macro_f1"] == pytest.approx(
        f1_score(truth, called, average="macro")
    )
    low, high = (plain[f"zero_shot/test/class_accuracy_ci_{side}"] for side in ("low", "high"))
    assert low < 19 / 20 <= high == 1
    confusion = plain.details["zero_shot/test/class_confusion"]
    assert confusion.counts.tolist() == [[9, 1], [0, 10]]
    # All lean to one class: chance, but for whoever may look at the test images as a whole.
    leaning = class_features(10, 3)
    out = evaluate_classes(leaning, texts, list(texts), split="test")
    assert out["zero_shot/test/class_accuracy"] == 0.5
    out = evaluate_classes(
        leaning, texts, list(texts), split="test", normalisation=Normalisation.TRANSDUCTIVE
    )
    assert out["zero_shot/test/class_accuracy_transductive"] == pytest.approx(19 / 20)


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ({}, "prompts are empty"),
        ({"Pleural effusion": {"positive": ["a"], "negative": ["b"]}}, "'Pleural effusion'"),
        ({"Edema": {"positive": [], "negative": ["b"]}}, "'Edema' have no positive"),
        ({"Edema": {"positive": ["a"]}}, "'Edema' have no negative"),
        ({"Edema": {"positive": "edema", "negative": ["b"]}}, "'Edema' have no positive"),
        ({"Edema": ["edema"]}, "'Edema' have no positive"),
    ],
)
def test_prompts_that_cannot_be_used_are_named_in_a_line(prompts, says):
    with pytest.raises(BadInput) as error:
        zero_shot.check_prompts(prompts)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_templates_can_be_used_and_leave_out_what_cannot_be_denied():
    prompts = template_prompts(CHEXPERT_LABELS)
    zero_shot.check_prompts(prompts)
    assert prompts["Edema"] == {"positive": ["edema"], "negative": ["no edema"]}
    assert "No Finding" not in prompts
