"""Several perceptrons of one kind trained as one network: their weights stacked, products batched.

An experiment: measured beside one process a core by `seeds.py`.
"""

import torch
from torch import Tensor, nn

from thumbnets.data.arrays import Meta
from thumbnets.models.layers import Dropout
from thumbnets.models.patches import build
from thumbnets.training.batches import Images, RandomStreams
from thumbnets.training.classifier import normalise
from thumbnets.training.initialisation import initialise
from thumbnets.training.optimizers import build_optimizer
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings


class StackedLinear(nn.Module):
    """S linear layers at once: [S, N, inputs] -> [S, N, outputs]."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def stack(networks: list[nn.Sequential]) -> nn.Sequential:
    """One network from [S, N, F] to logits [S, N, K], S being the number of `networks`.

    Raises:
        ValueError: They have a layer that is neither linear nor works value by value.
    """
    layers: list[nn.Module] = []
    for same in zip(*networks, strict=True):
        if isinstance(same[0], nn.Linear):
            layers.append(StackedLinear(list(same)))
        elif isinstance(same[0], nn.ReLU | nn.LeakyReLU | Dropout):
            layers.append(same[0])
        elif not isinstance(same[0], nn.Flatten):  # images come flat
            raise ValueError(f"only perceptrons can be stacked, got {same[0]}.")
    return nn.Sequential(*layers)


def fit_stacked(
    settings: ModelSettings, train: Images, validation: Images, meta: Meta, seeds: list[int]
) -> list[float]:
    """Train a perceptron a seed, without augmentation; each with its own weights and order.

    Returns:
        Accuracy of each on the validation images, a fraction.
    """
    networks, streams = [], []
    for seed in seeds:
        streams.append(RandomStreams.of(seed, train.images.device))
        networks.append(build(settings, **meta.shape))
        initialise(networks[-1], settings.train.init, streams[-1].init)
    network = stack(networks)
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.random = streams[0].dropout[
                0
            ]  # one stream gives all masks, so they are independent
    mean, std = torch.tensor(meta.mean), torch.tensor(meta.std)
    size = settings.train.batch_size
    optimizer = build_optimizer(network, settings.train)
    schedule = Schedule(optimizer, settings.train, -(-len(train) // size))
    accuracies = torch.empty(0)
    for _ in range(settings.train.epochs):
        orders = [torch.randperm(len(train), generator=stream.order) for stream in streams]
        for index in torch.stack(orders).split(size, dim=1):  # [S, N]
            images = normalise(train.images[index.flatten()], mean, std)
            logits = network(images.view(*index.shape, -1))
            loss = len(seeds) * nn.functional.cross_entropy(  # the sum of the networks' means
                logits.flatten(0, 1),
                train.labels[index].flatten(),
                label_smoothing=settings.train.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.after_step()
        accuracies = _evaluate(network, normalise(validation.images, mean, std), validation, seeds)
    return accuracies.tolist()


@torch.inference_mode()
def _evaluate(network: nn.Module, images: Tensor, data: Images, seeds: list[int]) -> Tensor:
    """Accuracy of each of the stacked networks, float32 [S]; leaves them in train mode."""
    network.eval()
    right = torch.zeros(len(seeds))
    for part, labels in zip(images.split(1000), data.labels.split(1000), strict=True):
        logits = network(part.flatten(1).expand(len(seeds), -1, -1))
        right += (logits.argmax(2) == labels).sum(1)
    network.train()
    return right / len(data)
