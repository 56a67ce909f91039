"""Voting, bagging, adversarial training: members that do not feel one another."""

from dataclasses import replace

import pytest
import torch

from thumbnets.methods.base import build_method
from thumbnets.training.batches import Images, RandomStreams
from thumbnets.training.loop import Training, fit

CPU = torch.device("cpu")
APART = ["voting", "bagging", "adversarial"]
N = 50


def bits(network) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def numbered() -> Images:
    """Images whose pixels all hold the label."""
    labels = torch.arange(N)
    return Images(labels.to(torch.uint8)[:, None, None, None].repeat(1, 1, 8, 8), labels)


@pytest.mark.parametrize("arch", ["lenet_300_100", "cnn_a"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_member_is_what_it_would_be_alone(
    ensemble, model_settings, toy_images, meta, watcher, arch, threads
):
    """Its weights and statistics, from its first weights on its batches, to the bit."""
    data, train = toy_images(N), {"epochs": 2, "schedule": "onecycle", "weight_decay": 0.01}
    settings = ensemble("voting", arch, threads=threads, **train)
    together = Training(build_method(settings, meta), data, None, seed=0)
    first = [
        {name: tensor.clone() for name, tensor in member.state_dict().items()}
        for member in together.network.members
    ]
    orders = [together.order]
    together.batches.shuffled = note(together.batches.shuffled, orders)
    together.run(watcher)
    assert len(orders) == 2
    for number, member in enumerate(together.network.members):
        alone = Training(
            build_method(model_settings(arch, threads=1, **train), meta), data, None, seed=9
        )
        alone.network.load_state_dict(first[number])
        own = iter([order[:, number] for order in orders])
        alone.order, alone.batches.shuffled = next(own), lambda own=own: next(own)
        alone.run(watcher)
        assert bits(alone.network) == bits(member)


def note(function, results: list):
    def noting():
        results.append(function())
        return results[-1]

    return noting


@pytest.mark.parametrize("name", APART)
def test_members_do_not_feel_the_number_of_threads(ensemble, toy_images, meta, watcher, name):
    found = [
        fit(
            build_method(ensemble(name, "cnn_a", threads=n), meta),
            toy_images(N),
            None,
            seed=0,
            watcher=watcher,
        )
        for n in (1, 2, 3, 5)
    ]
    assert len({tuple(bits(classifier.network).items()) for classifier, _ in found}) == 1


@pytest.mark.parametrize("name", APART)
def test_the_curve_has_means_over_members(ensemble, toy_images, meta, watcher, name):
    """With a rate near 0, figures of the first weights, which are about chance."""
    _, curve = fit(
        build_method(ensemble(name, members=5, lr=1e-12), meta),
        toy_images(60),
        None,
        seed=0,
        watcher=watcher,
    )
    passes = 2 if name == "adversarial" else 1
    assert curve[0].train_loss == pytest.approx(1.0986 * passes, abs=0.1 * passes)
    assert 0.15 < curve[0].train_accuracy < 0.55


def batches_of(settings, meta, seed: int = 0):
    plain = replace(meta, mean=[0.0], std=[1 / 255], classes=[str(k) for k in range(N)])
    return build_method(settings, plain).batches(numbered(), RandomStreams.of(seed, CPU))


def epoch_of(loader, number: int = 1) -> torch.Tensor:
    """Labels [N, M] in the order of one epoch; every image is that of its label."""
    labels = []
    for images, targets in loader.run(loader.shuffled(), number):
        assert torch.equal(images[:, :, 0, 3, 5].round().long(), targets)
        labels.append(targets)
    return torch.cat(labels)


def test_voters_see_all_images_each_in_its_own_order(ensemble, meta):
    loader = batches_of(ensemble("voting"), meta)
    epochs = [epoch_of(loader, number) for number in (1, 2)]
    ways = torch.cat(epochs, 1)
    assert torch.equal(ways.sort(0).values, torch.arange(N)[:, None].expand(N, 6))
    assert len({tuple(way.tolist()) for way in ways.unbind(1)}) == 6
    assert loader.seen == 3 * N


def test_a_bag_is_drawn_once_with_replacement(ensemble, meta):
    loader = batches_of(ensemble("bagging"), meta)
    first, second = (epoch_of(loader, number).sort(0).values for number in (1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(epoch_of(loader), epoch_of(loader))  # but shuffled
    bags = [bag.tolist() for bag in first.unbind(1)]
    assert len({tuple(bag) for bag in bags}) == 3
    assert all(0.5 < len(set(bag)) / N < 0.75 for bag in bags)  # about 1 - 1/e
    again = epoch_of(batches_of(ensemble("bagging"), meta)).sort(0).values
    other = epoch_of(batches_of(ensemble("bagging"), meta, seed=1)).sort(0).values
    assert torch.equal(again, first) and not torch.equal(other, first)


def test_mixes_stay_within_a_member(ensemble, meta):
    """No member of a bag sees anything of images outside of it."""
    loader = batches_of(ensemble("bagging", mix="mixup"), meta)
    bags = [set(bag.tolist()) for bag in loader.rows.unbind(1)]
    for images, targets in loader.run(loader.shuffled(), 1):
        assert images.shape[:2] == targets.shape[:2] and targets.shape[2] == N
        for number, bag in enumerate(bags):
            assert set(targets[:, number].nonzero()[:, 1].tolist()) <= bag


# Adversarial doubles.


@pytest.fixture
def attack(ensemble, meta):
    """The attack with epsilon 0.1 on images whose pixels are 0.2 in mean and 0.5 in deviation."""
    settings = ensemble("adversarial")
    options = {**settings.train.method.options, "epsilon": 0.1}
    choice = settings.train.method.model_copy(update={"options": options})
    train = settings.train.model_copy(update={"method": choice})
    plain = replace(meta, mean=[0.2], std=[0.5])
    return build_method(settings.model_copy(update={"train": train}), plain)


def test_the_double_of_an_image_by_hand(attack):
    """Section 6 of the notes, in pixels from 0 to 1; a gradient of 0 moves nothing."""
    pixels = torch.tensor([0.0, 0.05, 0.5, 0.98])[None, None, None]
    slope = torch.tensor([-1.0, 2.0, 0.0, 0.3])[None, None, None]
    moved = attack.attacked((pixels - 0.2) / 0.5, slope) * 0.5 + 0.2
    assert moved.flatten().tolist() == pytest.approx([0, 0.15, 0.5, 1], abs=1e-6)


def test_doubles_lie_near_and_within_the_range_and_are_harder(attack, toy_images):
    data = toy_images(30)
    images = (data.images / 255 - 0.2) / 0.5
    torch.manual_seed(0)
    member = attack.network().members[0]
    images.requires_grad_()
    loss, _ = attack.loss(member, images, data.labels)
    (slope,) = torch.autograd.grad(loss, images)
    doubles = attack.attacked(images.detach(), slope)
    pixels, before = doubles * 0.5 + 0.2, images.detach() * 0.5 + 0.2
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6
    assert (pixels - before).abs().max() <= 0.1 + 1e-6
    assert attack.loss(member, doubles, data.labels)[0] > 1.04 * loss


def test_the_gradient_is_that_of_both_losses(attack, toy_images):
    """As one backward pass through their sum, the doubles being given, as TorchEnsemble has it."""
    data = toy_images(30)
    images = (data.images / 255 - 0.2) / 0.5
    member = attack.network().members[0]
    found, loss, _ = attack.gradients(member, images, data.labels, 0.5)
    leaf = images.clone().requires_grad_()
    slope = torch.autograd.grad(attack.loss(member, leaf, data.labels)[0], leaf)[0]
    both = [images, attack.attacked(images, slope)]
    total = sum(torch.nn.functional.cross_entropy(member(x), data.labels) for x in both) / 2
    assert loss.item() == pytest.approx(total.item(), rel=1e-5)
    for ours, expected in zip(
        found, torch.autograd.grad(total, list(member.parameters())), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)
