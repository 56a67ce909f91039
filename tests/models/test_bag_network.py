"""Networks of bags: hand-worked numbers, and what must not change what they say."""

import pytest
import torch
from torch import Tensor, nn

from thumbnets.data.bags import Bags
from thumbnets.models import count_parameters, create_model
from thumbnets.models.bag_network import BagNetwork, bag_logsumexp, bag_max, bag_mean, bag_sum

POOLINGS = ["attention", "gated_attention", "mean", "max", "instance_mean", "instance_max"]
SIZES = [3, 1, 7, 2]


class Features(nn.Sequential):
    """Gives the two pixels of an image as they are, and ends in a linear layer."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(2, 10))


@pytest.fixture
def toy():
    """The network of the hand-worked example, on one bag of three images."""

    def make(pooling: str) -> tuple[BagNetwork, Bags]:
        network = BagNetwork(Features(), pooling, 2)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
            network.classifier.weight[:] = torch.tensor([2.0, -1.0])
            network.classifier.bias[:] = 0.5
            if network.attention:
                network.attention.score.weight[:] = torch.tensor([1.0, -1.0])
                for layer in (network.attention.value, network.attention.gate):
                    if layer:
                        layer.weight[:] = torch.eye(2)
        images = torch.tensor([[1.0, 0], [0, 1], [1, 1]]).view(3, 1, 1, 2)
        return network, Bags(images, torch.tensor([3]))

    return make


@pytest.mark.parametrize(
    ("pooling", "weights", "p", "losses"),
    [
        ("attention", [0.5934939, 0.1293910, 0.2771151], 0.8623221, (1.9828384, 0.1481264)),
        ("gated_attention", [0.5259140, 0.1727072, 0.3013788], 0.8429707, (1.8513227, 0.1708231)),
    ],
)
def test_attention_by_hand(toy, pooling, weights, p, losses):
    network, bags = toy(pooling)
    assert network.weights(bags).tolist() == pytest.approx(weights, abs=1e-6)
    logits = network(bags)
    assert logits[0, 0] == 0 and logits.softmax(1)[0, 1].item() == pytest.approx(p, abs=1e-6)
    for label, expected in enumerate(losses):  # the cross-entropy is the Bernoulli likelihood
        loss = nn.functional.cross_entropy(logits, torch.tensor([label]))
        assert loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("pooling", "p"),
    [  # features (1, 0), (0, 1), (1, 1); scores 2.5, -0.5, 1.5
        ("mean", torch.sigmoid(torch.tensor(2 * 2 / 3 - 2 / 3 + 0.5))),
        ("max", torch.sigmoid(torch.tensor(1.5))),
        ("instance_max", torch.sigmoid(torch.tensor(2.5))),
        ("instance_mean", torch.sigmoid(torch.tensor([2.5, -0.5, 1.5])).mean()),
    ],
)
def test_other_poolings_by_hand(toy, pooling, p):
    network, bags = toy(pooling)
    assert network(bags).softmax(1)[0, 1].item() == pytest.approx(p.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("pooling", "parameters"),
    [
        ("attention", 490_828),
        ("gated_attention", 554_956),
        *((pooling, 426_070 + 501) for pooling in POOLINGS[2:]),
    ],
)
def test_parameters_of_the_source(pooling, parameters):
    encoder = create_model("lenet_20_50", in_channels=1, image_size=28, num_classes=10)
    network = BagNetwork(encoder, pooling, 128)
    assert count_parameters(network) == parameters
    assert count_parameters(network.encoder) == 426_070
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 2)


@pytest.fixture(params=POOLINGS)
def network(request) -> BagNetwork:
    torch.manual_seed(0)
    images = {"in_channels": 1, "image_size": 8, "num_classes": 10}
    return BagNetwork(create_model("lenet_300_100", **images), request.param, 16)


def some(sizes: list[int]) -> Bags:
    images = torch.randn(sum(sizes), 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return Bags(2 * images, torch.tensor(sizes))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_batch_says_what_its_bags_say_one_at_a_time(network):
    bags = some(SIZES)
    close(network(bags), torch.cat([network(one) for one in bags.tensor_split(len(SIZES))]))


def test_gradients_of_a_batch_are_the_sum_of_those_of_its_bags(network):
    bags, labels = some(SIZES), torch.tensor([0, 1, 1, 0])
    parameters = list(network.parameters())

    def gradients(logits: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return torch.autograd.grad(loss, parameters)

    together = gradients(network(bags), labels)
    pairs = zip(bags.tensor_split(len(SIZES)), labels.split(1), strict=True)
    apart = [gradients(network(one), label) for one, label in pairs]
    for whole, *parts in zip(together, *apart, strict=True):
        torch.testing.assert_close(whole, sum(parts), atol=1e-5, rtol=1e-4)
        assert whole.abs().sum() > 0


def test_the_order_within_a_bag_does_not_matter(network):
    bags = some(SIZES)
    order = torch.cat(
        [torch.randperm(n) + start for n, start in zip(SIZES, [0, 3, 4, 11], strict=True)]
    )
    shuffled = Bags(bags.images[order], bags.sizes)
    close(network(shuffled), network(bags))
    if network.attention:
        close(network.weights(shuffled), network.weights(bags)[order])


def test_a_bag_twice_over_says_the_same(network):
    bags = some([5])
    close(network(Bags(bags.images.repeat(2, 1, 1, 1), torch.tensor([10]))), network(bags))


def test_attention_sums_to_one_and_a_bag_of_one_is_its_image(network):
    bags = some(SIZES)
    close(network(bags)[1:2], network(bags.images[3:4]))  # a plain tensor: bags of one
    if network.attention:
        weights = network.weights(bags)
        close(bag_sum(weights, bags.of, 4), torch.ones(4))
        assert weights[3] == 1


def test_extreme_scores_stay_finite(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(300)
    logits = network(some(SIZES))
    loss = nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0]))
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert logits.isfinite().all() and all(g.isfinite().all() for g in gradients)


def test_within_bags_as_one_bag_after_the_other():
    values, sizes = torch.randn(13, 4), torch.tensor(SIZES)
    of = Bags(values, sizes).of
    parts = values.split(SIZES)
    close(bag_sum(values, of, 4), torch.stack([part.sum(0) for part in parts]))
    close(bag_mean(values, of, 4), torch.stack([part.mean(0) for part in parts]))
    close(bag_max(values, of, 4), torch.stack([part.amax(0) for part in parts]))
    one = values[:, 0]
    close(bag_logsumexp(one, of, 4), torch.stack([p.logsumexp(0) for p in one.split(SIZES)]))


def test_nothing_in_it_is_left_to_chance(network):
    torch.use_deterministic_algorithms(True)
    try:
        network(some(SIZES)).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_network_without_a_linear_head_is_refused():
    tiny = create_model("tiny_cnn", in_channels=1, image_size=28, num_classes=10)
    with pytest.raises(ValueError, match="must end in a linear layer.*it ends in Flatten"):
        BagNetwork(tiny, "mean", 1)
