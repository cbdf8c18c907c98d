"""CCE against NumPy's correlation coefficients, in value and gradient, under every switch."""

import dataclasses

import jax
import numpy as np
import objective_cases as cases
import pytest
import reference_objectives as reference

from place_jax.objectives import correlation


def config_of(target="pixels", centre="patch", statistic="correlation", pairs="hidden"):
    config = cases.config(correlation_pairs=pairs)
    config.model.correlation.update(target=target, centre=centre, statistic=statistic)
    return config


def differentiate(outputs, batch, config=None):
    config = config or config_of()
    arrays, join = cases.split(outputs)
    with jax.enable_x64(True):
        (loss, metrics), gradients = jax.jit(
            jax.value_and_grad(
                lambda a: correlation.correlation_loss(join(a), batch, config), has_aux=True
            )
        )(arrays)
    return float(loss), metrics, np.asarray(gradients["correlation_factors"])


def pixel_targets(image):
    return [reference.patch_correlation(one[..., 0], cases.PATCH) for one in image]


def targets_of(outputs, batch, target, centre, statistic):
    """The matrices of each example and its flat patches, from the formula."""
    if target == "pixels":
        found = [reference.patch_vectors(x[..., 0], cases.PATCH, centre) for x in batch["image"]]
    else:
        kept = batch["example_mask"]
        mean = outputs.target_tokens[kept].sum(0) / max(kept.sum(), 1)
        found = [(x, np.zeros(len(x), bool)) for x in outputs.target_tokens - mean]
    return [(reference.patch_moments(x, flat, statistic), flat) for x, flat in found]


@pytest.mark.parametrize("masked", [(), (0,), (0, 1, 2)])
@pytest.mark.parametrize(
    ("target", "centre", "statistic", "pairs"),
    [
        ("pixels", "patch", "correlation", "hidden"),
        ("pixels", "image", "correlation", "both_hidden"),
        ("pixels", "image", "covariance", "all"),
        ("ema_features", "patch", "correlation", "both_hidden"),
        ("ema_features", "patch", "covariance", "hidden"),
    ],
)
def test_value_and_gradient_equal_the_formula(masked, target, centre, statistic, pairs):
    batch, outputs = cases.batch((1, 1, 1), masked=masked), cases.outputs(3)
    if statistic == "covariance":
        # Free rows, so that some errors lie beyond the bend of the loss.
        rows = 2 * outputs.correlation_factors
        outputs = dataclasses.replace(outputs, correlation_factors=rows)
    targets = targets_of(outputs, batch, target, centre, statistic)

    def formula(factors):
        return reference.correlation(
            factors,
            targets,
            outputs.hidden_patches,
            batch["example_mask"],
            pairs=pairs,
        )

    loss, metrics, found = differentiate(
        outputs, batch, config_of(target, centre, statistic, pairs)
    )
    expected, scored = formula(outputs.correlation_factors)
    np.testing.assert_allclose(loss, expected, rtol=1e-10)
    gradient = reference.numeric_gradient(lambda z: formula(z)[0], outputs.correlation_factors)
    np.testing.assert_allclose(found, gradient, atol=1e-8)
    if scored:
        _, _, wanted, predicted = np.array(scored).T
        r2 = 1 - np.sum((predicted - wanted) ** 2) / np.sum(wanted**2)
        np.testing.assert_allclose(metrics["correlation/r2_over_zero"], r2, rtol=1e-10)


def test_patches_are_numbered_row_by_row_and_flat_ones_correlate_with_nothing():
    image = np.random.default_rng(3).integers(0, 256, (2, 8, 12, 1)).astype(np.uint8)
    image[0, 4:, 8:] = 30  # the last patch of the first image
    image[1, :4, 4:8] = np.indices((4, 4)).sum(0)[..., None] % 2 + 30  # spreads by half a level
    found, flat = correlations(image)
    assert np.argwhere(flat).tolist() == [[0, 5], [1, 1]]
    for i in range(2):
        expected, _ = reference.patch_correlation(image[i, :, :, 0], 4)
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def correlations(image, statistic="correlation", centre="patch"):
    with jax.enable_x64(True):
        vectors, flat = correlation.pixel_vectors(image, 4, centre, np.float64)
        return np.asarray(correlation.second_moments(vectors, flat, statistic)), flat


def test_correlations_do_not_see_exposure():
    rng = np.random.default_rng(0)
    image = rng.integers(20, 100, (1, 8, 8, 1)).astype(np.uint8)
    brighter = image.copy()
    brighter[:, :4] = brighter[:, :4] * 2 + 7
    np.testing.assert_allclose(correlations(brighter)[0], correlations(image)[0], atol=1e-12)
    # A covariance sees which patches vary more than others, and not the exposure of all.
    other, same = (correlations(x, "covariance")[0] for x in (brighter, image * 2 + 7))
    assert np.abs(other - correlations(image, "covariance")[0]).max() > 0.1
    np.testing.assert_allclose(same, correlations(image, "covariance")[0], atol=1e-12)


def test_brightness_is_seen_where_the_image_is_the_centre():
    image = np.random.default_rng(0).integers(20, 60, (1, 8, 8, 1)).astype(np.uint8)
    opaque = image.copy()
    opaque[:, :4, :4] += 120
    patch, _ = correlations(opaque)
    np.testing.assert_allclose(patch, correlations(image)[0], atol=1e-12)
    whole, _ = correlations(opaque, centre="image")
    assert whole[0, 0, 1:].max() < -0.8 < 0.8 < whole[0, 1:, 1:].min()


def test_features_of_one_image_alone_have_nothing_of_their_own():
    """Less the mean over the batch nothing is left: flat, and not scored."""
    batch, outputs = cases.batch((1,)), cases.outputs(1)
    loss, _, gradient = differentiate(outputs, batch, config_of("ema_features"))
    assert loss == 0 and not np.any(gradient)


def test_a_pair_that_the_encoder_saw_is_not_scored():
    batch, outputs = cases.batch((1, 1)), cases.outputs(2)
    hidden = np.zeros((2, 9), bool)
    hidden[:, 4] = True
    _, _, gradient = differentiate(dataclasses.replace(outputs, hidden_patches=hidden), batch)
    assert np.all(gradient[:, 4] != 0)
    nothing_hidden = dataclasses.replace(outputs, hidden_patches=np.zeros((2, 9), bool))
    loss, _, gradient = differentiate(nothing_hidden, batch)
    assert loss == 0 and not np.any(gradient)


def test_an_image_of_flat_patches_alone_weighs_nothing():
    batch, outputs = cases.batch((1, 1, 1)), cases.outputs(3)
    blank = batch | {"image": batch["image"].copy()}
    blank["image"][1] = 5
    two = cases.take(outputs, batch, [0, 2])
    loss, _, gradient = differentiate(outputs, blank)
    assert loss == pytest.approx(differentiate(*two)[0], rel=1e-12)
    assert np.all(np.isfinite(gradient)) and not np.any(gradient[1])


def test_statistics_over_two_batches_give_loss_and_r2_of_the_whole():
    batch, outputs = cases.batch((1,) * 5), cases.outputs(5)
    parts = [cases.take(outputs, batch, rows) for rows in ([0, 1, 2], [3, 4])]
    statistics = jax.jit(lambda *part: correlation.correlation_statistics(*part, config_of()))
    with jax.enable_x64(True):
        sums = [statistics(*part) for part in parts]
    found = correlation.summarize_correlation(
        {name: np.asarray(sums[0][name]) + np.asarray(sums[1][name]) for name in sums[0]}
    )
    loss, pairs = reference.correlation(
        outputs.correlation_factors,
        pixel_targets(batch["image"]),
        outputs.hidden_patches,
        batch["example_mask"],
    )
    means = {
        where: np.mean([target for n, m, target, _ in pairs if (n, m) == where])
        for where in {(n, m) for n, m, _, _ in pairs}
    }
    error = sum((target - predicted) ** 2 for _, _, target, predicted in pairs)
    spread = sum((target - means[n, m]) ** 2 for n, m, target, _ in pairs)
    assert found["correlation/loss"] == pytest.approx(loss)
    assert found["correlation/r2_over_mean"] == pytest.approx(1 - error / spread)


def test_the_mean_matrix_leaves_out_flat_patches_and_masked_examples():
    batch, outputs = cases.batch((1,) * 5, masked=(3,)), cases.outputs(5)
    batch["image"][0, -4:, -4:] = 9  # its last patch is flat in one image alone
    with jax.enable_x64(True):
        found = np.asarray(correlation.mean_matrix(outputs, batch, config_of()))
    targets, flat = zip(*pixel_targets(batch["image"]), strict=True)
    kept, textured = [0, 1, 2, 4], ~np.array(flat)
    for n in range(9):
        for m in range(9):
            both = [i for i in kept if textured[i, n] and textured[i, m]]
            mean = np.mean([targets[i][n, m] for i in both]) if both else 0.0
            assert found[n, m] == pytest.approx(mean, abs=1e-12)


def test_another_number_of_patches_is_one_clear_line():
    batch, outputs = cases.batch((1, 1), patches_per_side=2), cases.outputs(2)
    with pytest.raises(ValueError, match=r"9 patches.*8 x 8 pixels has 4.*patch_size=4"):
        correlation.correlation_loss(outputs, batch, cases.config())
