"""What is exported: a network from uint8 images to logits or probabilities, and its metadata.

An ensemble is one network too: its members side by side, and their vote as tensors.
"""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thumbnets.ensembles.rules import Ensemble, members_of
from thumbnets.ensembles.stacking import MIN_PROBABILITY
from thumbnets.models.bag_network import BagNetwork
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier, normalise

_TIED = 1e12  # shares of votes are rounded to 1 / this: closer ones are tied
_ABSENT = -1e4  # logit of a class that a regression has not seen: its probability is 0


class Normalised(nn.Module):
    """A trained network from uint8 images [N, C, H, W] to logits float32 [N, K]."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        network = classifier.network
        self.network = _OneImage(network) if isinstance(network, BagNetwork) else network
        self.register_buffer("mean", torch.tensor(classifier.meta.mean))
        self.register_buffer("std", torch.tensor(classifier.meta.std))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(normalise(images, self.mean, self.std)).float()


class _OneImage(nn.Module):
    """A network for bags of one image each: whatever the pooling, it leaves that image as it is."""

    def __init__(self, network: BagNetwork) -> None:
        super().__init__()
        self.encoder, self.classifier = network.encoder, network.classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, 2], as `BagNetwork` gives."""
        return nn.functional.pad(self.classifier(self.encoder(images).float()), (1, 0))


class Exported(nn.Module):
    """A training or an ensemble, from uint8 images [N, C, H, W] to float32 [N, K].

    Args:
        trained: The training or ensemble, on the CPU.
        probabilities: Whether the output is calibrated probabilities. If not, it is logits (for an
            ensemble log-probabilities), whose softmax after division by the temperature they are.
    """

    def __init__(self, trained: Trained, *, probabilities: bool) -> None:
        super().__init__()
        ensemble = trained.ensemble
        names = list(trained.members) if ensemble is None else members_of(ensemble)
        self.members = nn.ModuleList(Normalised(trained.members[name]) for name in names)
        classes = len(trained.meta.classes)
        self.vote = None if ensemble is None else _vote(ensemble, trained.voting, classes)
        self.temperature = trained.temperature if probabilities else None

    def forward(self, images: Tensor) -> Tensor:
        logits = [member(images) for member in self.members]
        found = logits[0] if self.vote is None else self.vote(torch.stack(logits))
        return found if self.temperature is None else (found / self.temperature).softmax(1)


def _vote(ensemble: Ensemble, voting: str, classes: int) -> nn.Module:
    if "votes" not in ensemble:
        return _Stack(ensemble, classes)
    votes = np.array(list(ensemble["votes"].values()), float)
    return _Vote(votes / votes.sum(), hard=voting == "hard")


class _Vote(nn.Module):
    """`voting.soft_vote` or `hard_vote` of logits float32 [M, N, K], as a logarithm."""

    def __init__(self, weights: np.ndarray, *, hard: bool) -> None:
        super().__init__()
        self.hard = hard
        kind = torch.float64 if hard else torch.float32  # so that ties are broken as in `hard_vote`
        self.register_buffer("weights", torch.tensor(weights, dtype=kind).reshape(-1, 1, 1))

    def forward(self, logits: Tensor) -> Tensor:
        if self.hard:
            votes = nn.functional.one_hot(logits.argmax(2), logits.shape[2]).double()
            shares = ((self.weights * votes).sum(0) * _TIED).round() / _TIED
        else:
            shares = (self.weights * logits.softmax(2)).sum(0)
        return shares.float().clamp(min=torch.finfo(torch.float32).tiny).log()


class _Stack(nn.Module):
    """`stacking.stacked` of logits float32 [M, N, K]: logits of the regression."""

    def __init__(self, stack: dict[str, Any], classes: int) -> None:
        super().__init__()
        seen, coefficients = stack["classes"], torch.tensor(stack["coefficients"])
        weight = torch.zeros(classes, coefficients.shape[1])
        weight[seen] = coefficients.float()
        bias = torch.full((classes,), _ABSENT)
        bias[seen] = torch.tensor(stack["intercepts"]).float()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, logits: Tensor) -> Tensor:
        features = logits.softmax(2).clamp(min=MIN_PROBABILITY).log()
        return nn.functional.linear(features.permute(1, 0, 2).flatten(1), self.weight, self.bias)


def output_name(*, probabilities: bool) -> str:
    """Name of the output."""
    return "probabilities" if probabilities else "logits"


def about(trained: Trained, *, probabilities: bool) -> str:
    """All that a program needs to give the network an image and to read its output, as JSON."""
    meta = trained.meta
    content = {
        "classes": meta.classes,
        "channels": meta.channels,
        "image_size": meta.image_size,
        "fit": meta.fit,
        "resampling": "bilinear over all pixels that a new one covers (antialiased)",
        "exif": "turn the image upright first",
        "transparency": "white",
        "grey": "0.299 R + 0.587 G + 0.114 B" if meta.channels == 1 else None,
        "depth": meta.depth,
        "mean": meta.mean,
        "std": meta.std,
        "normalisation": "in the graph",
        "input": {
            "name": "images",
            "dtype": "uint8",
            "shape": ["N", meta.channels, meta.image_size, meta.image_size],
        },
        "output": {
            "name": output_name(probabilities=probabilities),
            "dtype": "float32",
            "shape": ["N", len(meta.classes)],
            "temperature": "in the graph" if probabilities else "divide, then take the softmax",
        },
        "temperature": trained.temperature,
        "calibrated": trained.calibrated,
        "dataset": meta.dataset,
        "model": trained.title,
    }
    return json.dumps(content, sort_keys=True)
