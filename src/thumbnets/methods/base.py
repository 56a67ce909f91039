"""What every way of learning decides, and the defaults that they share."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.models.patches import build
from thumbnets.models.pooling import pool_first
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.class_scores import macro_f1
from thumbnets.training.classifier import Classifier
from thumbnets.training.imagenet import IMAGENET, published
from thumbnets.training.method import Validation
from thumbnets.training.replicas import ReplicaPool
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, PowerWeights, TrainSettings

Part = Literal["train", "validation", "test"]


class Method:
    """Supervised learning; other ways of learning are subclasses that override what they change.

    Registered functions of this folder return one. Their keyword-only arguments are its options; an
    option `encoder` is the name of a block whose encoder it begins with. Their metadata:

    - `whole_batch=True`: the loss of a batch is not a mean over its shares (threads: 1).
    - `excludes`: keys of `train` that must be empty. `refuses`: choices that are refused, by key.
    - `files`: options that are files in `pretrained/`, each with what to do if it is missing; a
      change of one retrains the block.
    - `parts`: the option that must divide the epochs. `walk`: the options members and cycle, if
      that many cycles but half of one follow the schedule.
    - `pretrains=True`: it trains an encoder, in stage `pretrain`.
    - If examples are not images, `example`: what they are called; `classes`: how many classes they
      have; `examples`: the options that models must share to be evaluated on the same examples.

    Args:
        settings: The model block.
        meta: Shape, classes and normalisation of the images.
    """

    def __init__(self, settings: ModelSettings, meta: Meta) -> None:
        self.settings, self.meta = settings, meta
        self.class_weights: Tensor | None = None

    @property
    def train(self) -> TrainSettings:
        """What controls the training."""
        return self.settings.train

    @property
    def example_meta(self) -> Meta:
        """Shape, classes and normalisation of the examples: those of the images, but for classes.

        Raises:
            ValueError: An option names no class.
        """
        return self.meta

    def build_examples(self, images: Images, part: Part, seed: int = 0) -> Images:
        """What is learned from and validated on: the images, or something made of them.

        Args:
            images: Images of that part of the data.
            part: Part of the data; examples for `test` are the same for every seed.
            seed: Seed of the run.

        Raises:
            ValueError: Too few images, or not of the classes that the method needs.
        """
        return images

    def network(self) -> nn.Module:
        """What predicts, and is saved: a module from images to logits, with fresh weights.

        Raises:
            ValueError: The network does not fit the images.
        """
        return build(self.settings, **self.meta.shape)

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        """All that is trained: the network, and whatever only helps it to learn.

        Called once the network has its first weights.

        Args:
            network: Module from `network`, on the device that computes.
            seed: Seed of the run.
        """
        return pool_first(network)

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        """The images to learn from, batch after batch. Called once, before the first loss.

        Raises:
            ValueError: The method can't learn from these images.
        """
        self.set_class_weights(train)
        return Batches(train, self.train, self.meta, streams)

    def set_class_weights(self, train: Images) -> None:
        """Set the weights of the classes in the loss, from the block and the training images."""
        self.class_weights = class_weights(self.train.class_weights, train, len(self.meta.classes))

    def loss(self, module: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What the training minimises.

        Args:
            module: Module from `training_module`, or a replica that shares its parameters.
            images: Images from `batches`, float32 [N, C, H, W].
            targets: Labels int64 [N], or float32 [N, K] if they are mixed.

        Returns:
            The mean loss, and the number of correct predictions.
        """
        with autocast(images.device, self.train.precision):
            logits = module(images).float()
        labels = targets.argmax(1) if targets.ndim == 2 else targets  # the greater share
        correct = (logits.detach().argmax(1) == labels).sum()
        return self.cross_entropy(logits, targets), correct

    def cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy with the block's label smoothing and class weights.

        With class weights, the loss of each image is multiplied by the weight of its class, and the
        sum is divided by the number of images, whatever their weights: shares of a batch add up.
        """
        smoothing = self.train.label_smoothing
        if self.class_weights is None:
            return nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        loss = nn.functional.cross_entropy(
            logits, targets, self.class_weights, label_smoothing=smoothing, reduction="sum"
        )
        return loss / len(targets)

    def replicas(self, module: nn.Module, streams: RandomStreams) -> ReplicaPool:
        """How the threads of a training divide a batch: there are as many as `streams.dropout`."""
        return ReplicaPool(module, streams.dropout)

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        """The course of the learning rate.

        Args:
            optimizer: Optimizer before its first step.
            settings: The block's `train`, with the rate that is used (halved on divergence).
            steps_per_epoch: Batches per epoch.
        """
        return Schedule(optimizer, settings, steps_per_epoch)

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Gradients of the loss, which the optimizer steps along.

        Args:
            module: Module from `training_module`, or a replica of it.
            images: Images of a share of a batch, float32 [N, C, H, W].
            targets: Labels int64 [N], or float32 [N, K].
            share: Share of the batch that the images make up, 0 to 1.

        Returns:
            `share` times the gradient, one tensor per parameter of the module; `share` times the
            loss; the number of correct predictions.
        """
        loss, correct = self.loss(module, images, targets)
        loss = loss * share
        return list(torch.autograd.grad(loss, list(module.parameters()))), loss.detach(), correct

    def report_arrays(self, classifier: Classifier, examples: Images) -> dict[str, np.ndarray]:
        """Arrays by name that the report shows of validation examples, besides logits.

        Args:
            classifier: The trained network.
            examples: Validation examples from `build_examples`.
        """
        return {}

    def after_epoch(self, epochs: int) -> None:
        """Called when an epoch has been validated, with the number of epochs so far."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes besides the module in training, for `load_state_dict` after a kill."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called."""

    def validate(self, network: nn.Module, data: Images) -> Validation:
        """Scores on images without augmentation, which early stopping looks at.

        Args:
            network: Module from `network`, trained so far.
            data: Images that are not trained on.
        """
        return evaluate(Classifier(network, self.meta), data)


def build_method(settings: ModelSettings, meta: Meta) -> Method:
    """How the network of a block learns.

    Raises:
        ValueError: The method does not support a setting, or an option is out of range.
    """
    settings.train.check_method()
    choice = settings.train.method
    if settings.train.weights == IMAGENET:  # the normalisation that these weights expect
        normal = published(settings.arch).normalisation(meta.channels)
        meta = replace(meta, **normal)
    return METHODS.load(choice.name)(settings, meta, **choice.options)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Matrix products and convolutions in bfloat16, if the precision is bf16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def class_weights(
    weights: str | list[float] | PowerWeights | None, train: Images, classes: int
) -> Tensor | None:
    """How much an image of each class counts in the loss.

    Args:
        weights: None, `balanced`, a power of the counts, or one weight per class.
        train: The images to learn from.
        classes: Number of classes.

    Returns:
        float32 [K]. Balanced: N / (K * images of the class), as in scikit-learn, with K the number
        of classes that have images: the mean over all images is 1, every class counts alike, and a
        class without images has 0. Power: (images of the class)^-power, divided by its mean over
        all images.

    Raises:
        ValueError: There are not as many weights as classes, or no image has a weight.
    """
    if weights is None:
        return None
    device = train.labels.device
    if weights == "balanced":
        counts = torch.bincount(train.labels.cpu(), minlength=classes).double()
        present = int((counts > 0).sum())
        balanced = torch.where(counts > 0, len(train) / (present * counts), 0.0)
        return balanced.float().to(device)
    if isinstance(weights, PowerWeights):
        counts = torch.bincount(train.labels.cpu(), minlength=classes).double()
        powers = torch.where(counts > 0, counts**-weights.power, 0.0)
        return (powers * len(train) / (powers @ counts)).float().to(device)
    if len(weights) != classes:
        raise ValueError(
            f"class_weights must have {classes} weights, one per class, got {len(weights)}."
        )
    found = torch.tensor(weights, device=device)
    if not found[train.labels].any():
        raise ValueError("class_weights leave no training image: all of its classes have weight 0.")
    return found


def evaluate(classifier: Classifier, data: Images) -> Validation:
    """Scores on images without augmentation."""
    return validation(torch.from_numpy(classifier.logits(data)), data.labels.cpu())


def validation(logits: Tensor, labels: Tensor) -> Validation:
    """Mean cross-entropy, accuracy and macro F1 of logits float32 [N, K] and labels int64 [N]."""
    loss, predicted = nn.functional.cross_entropy(logits, labels), logits.argmax(1)
    accuracy = float((predicted == labels).float().mean())
    f1 = macro_f1(labels.cpu().numpy(), predicted.cpu().numpy(), logits.shape[1])
    return Validation(float(loss), accuracy, f1)
