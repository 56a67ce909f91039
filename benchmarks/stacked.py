"""Several networks of one kind trained as one: weights are stacked, and products batched.

An experiment: `seeds.py` compares perceptrons with one process per core, and `gpu.py` measures
networks with convolutions, in which each network is a group of channels.
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

# Layers that work value by value, or channel by channel, and hold no weights.
_PLAIN = (nn.ReLU, nn.LeakyReLU, Dropout, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


class StackedLinear(nn.Module):
    """S linear layers at once: [S, N, inputs] -> [S, N, outputs]."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Stacked(nn.Module):
    """Networks side by side, from images [S, N, C, H, W] to logits [S, N, K].

    Raises:
        ValueError: The networks have a layer that can't be stacked.
    """

    def __init__(self, networks: list[nn.Sequential]) -> None:
        super().__init__()
        self.count = len(networks)
        # Perceptrons are flat throughout, others have maps [N, S * C, H, W] until the end.
        self.flat = any(isinstance(layer, nn.Linear) for layer in networks[0])
        layers = [self._layer(list(same)) for same in zip(*networks, strict=True)]
        self.layers = nn.Sequential(*(layer for layer in layers if layer is not None))

    def forward(self, images: Tensor) -> Tensor:
        if self.flat:
            return self.layers(images.flatten(2))
        maps = self.layers(images.transpose(0, 1).flatten(1, 2))
        return maps.unflatten(1, (self.count, -1)).flatten(2).transpose(0, 1)

    def _layer(self, same: list[nn.Module]) -> nn.Module | None:
        first = same[0]
        if isinstance(first, nn.Linear):
            return StackedLinear(same)
        if isinstance(first, nn.Flatten):
            return None
        if isinstance(first, _PLAIN):
            return first
        if isinstance(first, nn.Conv2d) and not self.flat:
            return _joined(same, first.in_channels, first.out_channels)
        if isinstance(first, nn.BatchNorm2d) and not self.flat:
            return _joined(same, first.num_features)
        raise ValueError(f"only flat perceptrons and flat CNNs can be stacked, got {first}.")


def _joined(same: list[nn.Conv2d] | list[nn.BatchNorm2d], *channels: int) -> nn.Module:
    """One layer with the channels of several layers of a kind, one after the other."""
    first, count = same[0], len(same)
    if isinstance(first, nn.Conv2d):
        joined = nn.Conv2d(
            *(count * number for number in channels),
            first.kernel_size,
            first.stride,
            first.padding,
            groups=count * first.groups,
            bias=first.bias is not None,
        )
    else:
        joined = nn.BatchNorm2d(count * channels[0], first.eps, first.momentum)
    state = {
        name: torch.cat([layer.state_dict()[name] for layer in same]) if tensor.ndim else tensor
        for name, tensor in first.state_dict().items()
    }
    joined.load_state_dict(state)
    return joined


def fit_stacked(
    settings: ModelSettings, train: Images, validation: Images, meta: Meta, seeds: list[int]
) -> list[float]:
    """Train one network per seed, without augmentation; each with its own weights and order.

    Returns:
        Accuracy of each on the validation images, a fraction.
    """
    device = train.images.device
    networks, streams = [], []
    for seed in seeds:
        streams.append(RandomStreams.of(seed, device))
        networks.append(build(settings, **meta.shape))
        initialise(networks[-1], settings.train.init, streams[-1].init)
    network = Stacked(networks).to(device)
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.random = streams[0].dropout[
                0
            ]  # one stream gives all masks, so they are independent
    mean, std = (torch.tensor(values, device=device) for values in (meta.mean, meta.std))
    size, number = settings.train.batch_size, len(train)
    optimizer = build_optimizer(network, settings.train)
    schedule = Schedule(optimizer, settings.train, -(-number // size))
    accuracies = torch.empty(0)
    for _ in range(settings.train.epochs):
        orders = [torch.randperm(number, generator=s.order, device=device) for s in streams]
        for index in torch.stack(orders).split(size, dim=1):  # [S, N]
            images = normalise(train.images[index.flatten()], mean, std)
            logits = network(images.unflatten(0, index.shape))
            loss = len(seeds) * nn.functional.cross_entropy(  # the sum of the networks' means
                logits.flatten(0, 1),
                train.labels[index].flatten(),
                label_smoothing=settings.train.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.after_step()
        accuracies = _evaluate(network, validation, mean, std)
    return accuracies.tolist()


@torch.inference_mode()
def _evaluate(network: Stacked, data: Images, mean: Tensor, std: Tensor) -> Tensor:
    """Accuracy of each of the stacked networks, float32 [S]; leaves them in train mode."""
    network.eval()
    right = torch.zeros(network.count, device=mean.device)
    for part, labels in zip(data.images.split(500), data.labels.split(500), strict=True):
        images = normalise(part, mean, std)
        logits = network(images.expand(network.count, *images.shape))
        right += (logits.argmax(2) == labels).sum(1)
    network.train()
    return right / len(data)
