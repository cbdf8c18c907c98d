"""The protocol that a number was taken by, in a sentence that is printed and stored with it."""

from etils import epath

from data_pipelines.manifest import read_manifest
from place_jax.transfer.protocols import linear_probe

_INTERVALS = "; 95 % intervals by bootstrap over patients"
_LISTS = "at most 200 images of each that show it alone"


def describe(request) -> str:
    """Of a `checkpoint_scores.Request`."""
    if request.task == "linear":
        data = read_manifest(epath.Path(request.data_dir))
        classes = linear_probe.classes_of(data["name"], data["label_names"])
        recipe = linear_probe.recipe(request.protocol, data["name"], len(classes))
        return (
            f"linear classification on the frozen encoder's pooled features, {request.protocol}: "
            f"{recipe.describe()}; {request.seeds} seeds{_INTERVALS} of the mean over seeds"
        )
    if request.task == "fine-tune":
        return (
            f"fine-tuned classification of the whole image encoder, labels {request.protocol}: "
            f"{request.recipe.describe()}; {request.seeds} seeds{_INTERVALS} of the mean over seeds"
        )
    said = {
        "zero-shot": _zero_shot,
        "retrieval": _retrieval,
        "grounding": _grounding,
        "controls": _controls,
    }[request.task](request)
    return f"{request.task} on {request.split}: {said}{_INTERVALS}"


def _zero_shot(request) -> str:
    options = request.zero_shot
    together = {
        "mean": "the mean of the prompts' embeddings",
        "max": "the best of the prompts' cosines",
    }[options.combine.value]
    said = (
        f"cosine to positive prompts less that to negative ones, {together} for several; labels "
        "that are uncertain or missing are left out"
    )
    if options.classes:
        said += f"; classes ({' '.join(options.classes)}): {_LISTS}, highest positive cosine"
    if options.transductive:
        said += "; _transductive: class scores normalised over the test images themselves (GLoRIA)"
    return said


def _retrieval(request) -> str:
    if request.pool == 0:
        said = "every image among all distinct reports of the split, equal reports counted as one"
    else:
        said = "distinct reports, one image each"
    said += "; a tie counts against the query"
    if request.zero_shot.classes:
        said += (
            f"; P@K ({' '.join(request.zero_shot.classes)}): {_LISTS}, a report of the image's "
            f"class is right, mean of {request.resamplings} drawn lists"
        )
    return said


def _grounding(request) -> str:
    del request
    return (
        "pointing game without tolerance (the map's maximum in the region); IoU, mean over "
        "thresholds 0.1 to 0.5 of the map scaled to 0..1; contrast-to-noise with its sign; beside "
        "another patient's image, another phrase on the same image, and the training set's mean "
        "region"
    )


def _controls(request) -> str:
    del request
    return "the training objective on held-out pairs, beside another patient's image or report"
