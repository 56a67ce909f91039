"""Weights of classes in the training loss, beside scikit-learn and sums by hand."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from thumbnets.methods.base import build_method, class_weights
from thumbnets.training.batches import Images
from thumbnets.training.loop import Training, fit
from thumbnets.training.settings import PowerWeights


@pytest.fixture
def uneven(toy_images) -> Images:
    """30 dark, 8 left, 2 right."""
    toy = toy_images(90)
    order = torch.cat([(toy.labels == c).nonzero()[:n, 0] for c, n in enumerate((30, 8, 2))])
    return Images(toy.images[order], toy.labels[order])


def test_balanced_is_scikit_learns(uneven):
    labels = uneven.labels.numpy()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights("balanced", uneven, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[uneven.labels].mean() == pytest.approx(1)
    assert class_weights("balanced", uneven, 4)[3] == 0  # a class without images
    assert class_weights(None, uneven, 3) is None


def test_a_power_of_the_counts_by_hand(uneven):
    images = Images(uneven.images[:25], torch.tensor([0] * 16 + [1] * 9))
    # 16^-1/2 and 9^-1/2 are 1/4 and 1/3; over all images their mean is (16 / 4 + 9 / 3) / 25.
    found = class_weights(PowerWeights(power=0.5), images, 3)
    np.testing.assert_allclose(found, [25 / 28, 25 / 21, 0], rtol=1e-6)
    assert found[images.labels].mean() == pytest.approx(1)
    whole = class_weights(PowerWeights(power=1), uneven, 3)
    torch.testing.assert_close(whole, class_weights("balanced", uneven, 3))


def test_a_power_is_dumped_as_it_is_written(train_settings):
    settings = train_settings(class_weights={"power": 0.5})
    assert settings.class_weights == PowerWeights(power=0.5)
    assert settings.model_dump()["class_weights"] == {"power": 0.5}
    assert type(settings).model_validate(settings.model_dump()) == settings
    more = [{"power": 1, "other": 2}, "balance", 3, [1.0, -2.0], [1.0, True], [1.0, float("inf")]]
    for wrong in ({"power": 0}, {"power": 1.5}, {"pwer": 1}, {"power": True}, {}, *more):
        with pytest.raises(ValueError, match="must be balanced, {power: P} with P above 0"):
            train_settings(class_weights=wrong)


def test_a_class_that_the_fold_lacks_takes_no_share_of_the_others(uneven):
    found = class_weights("balanced", uneven, 4)
    torch.testing.assert_close(found[:3], class_weights("balanced", uneven, 3))
    assert found[uneven.labels].mean() == pytest.approx(1)


@pytest.mark.parametrize("given", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_as_many_weights_as_classes(uneven, given):
    with pytest.raises(ValueError, match=f"must have 3 weights, one per class, got {len(given)}"):
        class_weights(given, uneven, 3)


def loss_of(settings, train, meta, targets) -> tuple[float, torch.Tensor]:
    """The loss of the first ten images, and their logits."""
    training = Training(build_method(settings, meta), train, None, seed=0)
    images = train.images[:10].float() / 255
    with torch.no_grad():
        network = training.network.eval()
        return float(training.method.loss(network, images, targets)[0]), network(images).double()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_a_weighted_sum_over_the_number_of_images(
    uneven, model_settings, meta, smoothing
):
    weights = torch.tensor([0.5, 2.0, 3.0])
    settings = model_settings(class_weights=weights.tolist(), label_smoothing=smoothing)
    targets = torch.arange(10) % 3
    loss, logits = loss_of(settings, uneven, meta, targets)
    hot = nn.functional.one_hot(targets, 3) * (1 - smoothing) + smoothing / 3
    expected = -(hot * weights * logits.log_softmax(1)).sum() / 10
    assert loss == pytest.approx(float(expected), rel=1e-5)
    mixed = hot.float()  # as a mix gives targets
    plain = model_settings(class_weights=weights.tolist())
    assert loss_of(plain, uneven, meta, mixed)[0] == pytest.approx(float(expected), rel=1e-5)


def test_equal_weights_are_no_weights(uneven, model_settings, meta):
    targets = torch.arange(10) % 3
    none, _ = loss_of(model_settings(), uneven, meta, targets)
    ones, _ = loss_of(model_settings(class_weights=[1, 1, 1]), uneven, meta, targets)
    assert ones == pytest.approx(none, rel=1e-6)


def test_balanced_weights_find_the_rare_class_and_leave_validation_plain(
    uneven, model_settings, meta, watcher
):
    """A network that can tell nothing apart guesses the frequent class, or with weights evenly."""
    blank = Images(torch.full_like(uneven.images, 99), uneven.labels)
    guesses, losses = {}, {}
    for weights in (None, "balanced"):
        settings = model_settings(class_weights=weights, epochs=30, batch_size=40)
        classifier, curve = fit(build_method(settings, meta), blank, blank, seed=0, watcher=watcher)
        logits = torch.from_numpy(classifier.logits(blank.images[:1]))
        guesses[weights], losses[weights] = logits.softmax(1)[0], curve[-1]
    np.testing.assert_allclose(guesses[None], np.array([30, 8, 2]) / 40, atol=0.02)
    np.testing.assert_allclose(guesses["balanced"], 1 / 3, atol=0.02)
    # The plain loss of an even guess is ln 3; that of the shares is their entropy.
    assert losses["balanced"].validation_loss == pytest.approx(np.log(3), abs=0.02)
    assert losses[None].validation_loss < 0.72


@pytest.mark.parametrize("given", [[0.0, 0.0, 0.0], []])
def test_weights_that_are_all_zero_are_refused(train_settings, given):
    """Such a training has a loss of 0 and learns nothing."""
    with pytest.raises(ValueError, match="class_weights must have a value above 0"):
        train_settings(class_weights=given)
    assert train_settings(class_weights=[0.0, 1.0]).class_weights == [0.0, 1.0]
