"""Optimizers by name: torch's own, and three that torch lacks (LAMB, LARS, Muon for kernels)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer, RMSprop

from thumbnets.options import Positive, Probability
from thumbnets.registry import OPTIMIZERS
from thumbnets.training.settings import Lookahead, TrainSettings


def build_optimizer(network: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimizer that `settings` names, with its learning rate, momentum and weight decay.

    The network has its first weights and is on the device that computes.
    """
    build = OPTIMIZERS.load(settings.optimizer.name)
    optimizer = build(
        network,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        **settings.optimizer.options,
    )
    if not settings.decay_norms:
        _spare_vectors(optimizer)
    if settings.lookahead:
        SlowWeights(optimizer, settings.lookahead)
    return optimizer


def _spare_vectors(optimizer: Optimizer) -> None:
    """Take biases and the gains of norms out of every group, into one without weight decay."""
    for group in list(optimizer.param_groups):
        matrices = [p for p in group["params"] if p.ndim > 1]
        vectors = [p for p in group["params"] if p.ndim <= 1]
        if not matrices:
            group["weight_decay"] = 0.0
        elif vectors:
            group["params"] = matrices
            optimizer.add_param_group({**group, "params": vectors, "weight_decay": 0.0})


class SlowWeights:
    """Lookahead: every few steps, slow weights move towards the optimizer's and replace them.

    Hangs on the optimizer's own hooks, so that its state holds the slow weights. Momentum stays.
    Between two such steps the network has the fast weights, also at the end of the run.

    Source: Zhang et al. 2019, arXiv:1907.08610, algorithm 1.
    """

    def __init__(self, optimizer: Optimizer, settings: Lookahead) -> None:
        self.settings = settings
        self.fast = [p for group in optimizer.param_groups for p in group["params"]]
        self.slow = [p.detach().clone() for p in self.fast]
        self.steps = 0
        optimizer.register_step_post_hook(self._after_step)
        optimizer.register_state_dict_post_hook(self._save)
        optimizer.register_load_state_dict_pre_hook(self._load)

    @torch.no_grad()
    def _after_step(self, *_: object) -> None:
        self.steps += 1
        if self.steps % self.settings.steps == 0:
            torch._foreach_lerp_(self.slow, self.fast, self.settings.alpha)
            torch._foreach_copy_(self.fast, self.slow)

    def _save(self, _: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "lookahead": {"steps": self.steps, "slow": self.slow}}

    def _load(self, _: Optimizer, state: dict[str, Any]) -> None:
        self.steps = state["lookahead"]["steps"]
        torch._foreach_copy_(self.slow, state["lookahead"]["slow"])


@OPTIMIZERS.register()
def sgd(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum, optionally Nesterov's."""
    parameters = network.parameters()
    return SGD(parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True)


@OPTIMIZERS.register()
def adam(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    beta2: Probability = 0.999,
) -> Optimizer:
    """Adam, `momentum` being its first beta. Source: Kingma and Ba 2015, arXiv:1412.6980."""
    betas = (momentum, beta2)
    return Adam(network.parameters(), lr, betas, weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register()
def adamw(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    beta2: Probability = 0.999,
) -> Optimizer:
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv:1711.05101."""
    betas = (momentum, beta2)
    return AdamW(network.parameters(), lr, betas, weight_decay=weight_decay, fused=True)


@OPTIMIZERS.register()
def rmsprop(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    alpha: Probability = 0.99,
) -> Optimizer:
    """RMSProp with momentum. Source: Hinton 2012, Coursera lecture 6e."""
    parameters = network.parameters()
    return RMSprop(parameters, lr, alpha, weight_decay=weight_decay, momentum=momentum)


@OPTIMIZERS.register(has_momentum=False)
def adadelta(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    rho: Probability = 0.9,
    eps: Positive = 1e-6,
) -> Optimizer:
    """Adadelta, without momentum; its usual `lr` is 1. Source: Zeiler 2012, arXiv:1212.5701."""
    return Adadelta(network.parameters(), lr, rho, eps, weight_decay=weight_decay)


@OPTIMIZERS.register()
def lamb(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    beta2: Probability = 0.999,
) -> Optimizer:
    """Adam with steps as long as the weights: see `Lamb`."""
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return Lamb(network.parameters(), {**settings, "beta2": beta2, "eps": 1e-6})


@OPTIMIZERS.register()
def lars(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    trust: Positive = 0.001,
) -> Optimizer:
    """Momentum with steps as long as the weights: see `Lars`. Its usual `lr` is 1 to 10."""
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return Lars(network.parameters(), {**settings, "trust": trust})


@OPTIMIZERS.register()
def muon(
    network: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    adam_factor: Positive = 0.1,
    beta2: Probability = 0.95,
) -> Optimizer:
    """Orthogonal steps for hidden layers, AdamW for the rest: see `Muon`. Its usual `lr` is 0.02.

    Args:
        adam_factor: AdamW's learning rate is lr * adam_factor; its first beta is `momentum` …
        beta2: … and this its second.

    Raises:
        ValueError: The network has no layer between its first and its last.
    """
    layers = [m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hidden = layers[1:-1]
    if not hidden:
        raise ValueError(
            "muon trains what lies between a network's first and last layer, and here is nothing: "
            "choose another optimizer."
        )
    ours = {id(weight) for weight in hidden}
    rest = [p for p in network.parameters() if id(p) not in ours]
    groups = [
        {"params": hidden, "orthogonal": True},
        {"params": rest, "orthogonal": False, "lr": lr * adam_factor},
    ]
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    return Muon(groups, {**settings, "beta2": beta2, "eps": 1e-10})


class _ByGroup(Optimizer):
    """What our own optimizers share: a step of a whole group of parameters at a time."""

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._move(parameters, [p.grad for p in parameters], group)

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        raise NotImplementedError

    def _buffers(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """State of that name, 0 at first, each of its parameter's shape."""
        for p in parameters:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p)
        return [self.state[p][name] for p in parameters]

    def _adam(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> list[Tensor]:
        """Adam's steps before decay and learning rate. Source: arXiv:1412.6980, algorithm 1."""
        beta1, beta2 = group["momentum"], group["beta2"]
        counts = [self.state[p].get("step", 0) + 1 for p in parameters]
        means, squares = (self._buffers(parameters, name) for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_div(squares, [1 - beta2**count for count in counts])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, group["eps"])
        steps = torch._foreach_div(means, [1 - beta1**count for count in counts])
        torch._foreach_div_(steps, roots)
        for p, count in zip(parameters, counts, strict=True):
            self.state[p]["step"] = count
        return list(steps)


def _scale_matrices(
    steps: list[Tensor],
    parameters: list[Tensor],
    measured: list[Tensor],
    ratio: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Multiply, in place, steps of matrices and kernels by a ratio of two norms.

    Biases and norms are left alone: one that begins at 0 could hardly grow.

    Args:
        steps: Steps, each of its parameter's shape.
        parameters: Parameters in training.
        measured: Tensor that each parameter's norm is compared with.
        ratio: Function of the norms [P] of parameters and of `measured`; 1 is taken where
            either is 0.
    """
    chosen = [i for i, p in enumerate(parameters) if p.ndim > 1]
    if not chosen:
        return
    norms = [
        torch.stack(torch._foreach_norm([of[i] for i in chosen])) for of in (parameters, measured)
    ]
    some = (norms[0] > 0) & (norms[1] > 0)
    ratios = torch.where(some, ratio(*norms), 1.0)
    torch._foreach_mul_([steps[i] for i in chosen], list(ratios.unbind()))


class Lamb(_ByGroup):
    """Adam with decay, each step scaled to the norm of its weights (the trust ratio).

    Source: You et al. 2020, arXiv:1904.00962, algorithm 2 with the identity for phi; here biases
    and norms keep Adam's own step.
    """

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        steps = self._adam(parameters, gradients, group)
        torch._foreach_add_(steps, parameters, alpha=group["weight_decay"])
        _scale_matrices(steps, parameters, steps, lambda weight, step: weight / step)
        torch._foreach_add_(parameters, steps, alpha=-group["lr"])


class Lars(_ByGroup):
    """Momentum, each gradient scaled by the ratio of the norm of its weights to its own.

    Source: You et al. 2017, arXiv:1708.03888, algorithm 1 (the learning rate enters before the
    momentum); here biases and norms take the plain gradient.
    """

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        trust, decay = group["trust"], group["weight_decay"]
        steps = torch._foreach_add(gradients, parameters, alpha=decay)
        _scale_matrices(steps, parameters, gradients, lambda w, g: trust * w / (g + decay * w))
        velocities = self._buffers(parameters, "velocity")
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, steps, alpha=group["lr"])
        torch._foreach_sub_(parameters, velocities)


class Muon(_ByGroup):
    """Nesterov momentum, orthogonalised, for groups marked `orthogonal`; AdamW for the others.

    First and last layer, biases and norms belong to the others, as the source has it. Decay is
    decoupled. torch's Muon takes neither kernels nor the others.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, kernels as matrices
    [out, in * height * width]; there in bfloat16, here in float32.
    """

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        move = self._orthogonal if group["orthogonal"] else self._adam
        steps = move(parameters, gradients, group)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, steps, alpha=-group["lr"])

    def _orthogonal(
        self, parameters: list[Tensor], gradients: list[Tensor], group: dict
    ) -> list[Tensor]:
        momenta = self._buffers(parameters, "momentum")
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        steps = []
        for update in ahead:
            step = orthogonalise(update.flatten(1))
            rows, columns = step.shape
            steps.append(step.view(update.shape) * max(1.0, rows / columns) ** 0.5)
        return steps


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix near 1 (0.7 to 1.2), and leave its singular vectors.

    Args:
        matrix: float32 [M, N].

    Returns:
        float32 [M, N]; singular values below 0.002 of the matrix's norm end lower.

    Source: five Newton-Schulz iterations with the coefficients of Jordan et al. 2024.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
