"""Optimizers by name; all are torch's own."""

from collections.abc import Iterable

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from thumbnets.options import Probability
from thumbnets.registry import OPTIMIZERS
from thumbnets.training.settings import TrainSettings

Parameters = Iterable[Tensor]


def build_optimizer(parameters: Parameters, settings: TrainSettings) -> Optimizer:
    """The optimizer that `settings` names, with its learning rate, momentum and weight decay."""
    build = OPTIMIZERS.load(settings.optimizer.name)
    return build(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        **settings.optimizer.options,
    )


@OPTIMIZERS.register()
def sgd(
    parameters: Parameters,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum, on request Nesterov's."""
    return SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)


@OPTIMIZERS.register()
def adam(
    parameters: Parameters,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    beta2: Probability = 0.999,
) -> Optimizer:
    """Adam, `momentum` being its first beta. Source: Kingma and Ba 2015, arXiv:1412.6980."""
    return Adam(parameters, lr, (momentum, beta2), weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register()
def adamw(
    parameters: Parameters,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    beta2: Probability = 0.999,
) -> Optimizer:
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv:1711.05101."""
    return AdamW(parameters, lr, (momentum, beta2), weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register()
def rmsprop(
    parameters: Parameters,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    alpha: Probability = 0.99,
) -> Optimizer:
    """RMSProp with momentum. Source: Hinton 2012, Coursera lecture 6e."""
    return RMSprop(parameters, lr, alpha, weight_decay=weight_decay, momentum=momentum)
