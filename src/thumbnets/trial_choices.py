"""A trial of what a block chooses besides network and method: augmentations, mix, optimizer, …

Each is asked for once, as in the first step of a training: a mistake in a function of one's own is
known before anything trains, and named with its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thumbnets import compiler, registry
from thumbnets.data.arrays import Meta
from thumbnets.messages import listed
from thumbnets.training.settings import ModelSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from thumbnets.methods.base import Method

_STEPS = 100  # batches per epoch, of which schedule and average may count any number


def check_augmentation(settings: ModelSettings, channels: int, side: int) -> None:
    """Refuse an augmentation that does not return images of the dtype and shape it takes.

    Raises:
        ValueError: It does not: training would go on with values in another range.
    """
    import torch

    from thumbnets.data.augment import pipeline

    images = torch.zeros(2, channels, side, side, dtype=torch.uint8)
    given = {"generator": torch.Generator(), "epoch": 1, "index": torch.arange(2)}
    for choice in settings.train.augment:
        with _named(f"augmentation {choice.name}"):
            found = described(pipeline([choice])(images, **given))
        if found != (wanted := described(images)):
            raise ValueError(f"augmentation {choice.name} must return {wanted}, got {found}.")


def check_mix(settings: ModelSettings, meta: Meta) -> None:
    """Refuse a mix that does not return images as they were, and a distribution over the classes.

    Raises:
        ValueError: It does not, or fails.
    """
    import torch

    from thumbnets.data.mix import mixer

    choice, classes = settings.train.mix, len(meta.classes)
    if choice is None:
        return
    images = torch.rand(2, meta.channels, meta.image_size, meta.image_size)
    with _named(f"mix {choice.name}"):
        found = mixer(choice, classes)(images, torch.tensor([0, 1]), torch.Generator())
    wanted = described(images), f"float32 [2, {classes}]"
    if (got := described(found)) != ", ".join(wanted):
        raise ValueError(
            f"mix {choice.name} must return images, {wanted[0]}, and targets, {wanted[1]}, got "
            f"{got}."
        )
    if not torch.allclose(found[1].sum(1), torch.ones(2), atol=1e-3):
        raise ValueError(f"mix {choice.name}: the targets of an image must sum to 1.")


@compiler.restored()
def check_training(method: "Method", train: TrainSettings) -> None:
    """Refuse an initialisation, optimizer, schedule or average that fails in a first step.

    A small network takes it: what the block's own would need of memory is not known yet.

    Args:
        method: The method of the block.
        train: The block's settings.

    Raises:
        ValueError: It fails, or is none.
    """
    import torch
    from torch import nn

    from thumbnets.training.averaging import Average, build_average
    from thumbnets.training.initialisation import initialise
    from thumbnets.training.optimizers import build_optimizer

    compiler.defer()  # else the optimizer imports it, for a second
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    with _named(f"init {train.init.name}"):
        initialise(network, train.init, torch.Generator())
    with _named(name := f"optimizer {train.optimizer.name}"):
        optimizer = build_optimizer(network, train)
    _check_optimizer(name, optimizer, network)
    with _named(f"schedule {train.schedule.name} with {name}"):
        schedule = method.schedule(optimizer, train, _STEPS)
    network(torch.rand(4, 1, 6, 6)).square().mean().backward()
    with _named(name):
        optimizer.step()
    with _named(f"schedule {train.schedule.name} with {name}"):
        schedule.after_step()
        schedule.after_epoch(1.0)
    if train.average:
        with _named(name := f"average {train.average.name}"):
            average = build_average(network, train, _STEPS)
        if not isinstance(average, Average):
            raise ValueError(f"{name} must return an Average, got {average!r:.40}.")


def _check_optimizer(name: str, optimizer: Any, network: "nn.Module") -> None:
    """Refuse an optimizer that would leave parameters as they were initialised.

    Raises:
        ValueError: It is refused, or is none.
    """
    import torch

    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ValueError(f"{name} must return a torch.optim.Optimizer, got {optimizer!r:.40}.")
    updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
    left = [key for key, p in network.named_parameters() if id(p) not in updated]
    if left:
        raise ValueError(
            f"{name} must update every parameter of the network, also biases and those of norms: "
            f"of a small network it leaves out {listed(left)}."
        )


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Tell what failed, with the place in code of this project if it is there."""
    try:
        yield
    except Exception as error:
        tell_mistake(what, error)
        raise ValueError(f"{what}: {error}") from error


def described(value: Any) -> str:
    """Dtype and shape of a tensor, or of each in a tuple, as `uint8 [2, 1, 28, 28]`.

    Of anything else its type.
    """
    import torch

    if isinstance(value, tuple):
        return ", ".join(map(described, value))
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{value.dtype} {list(value.shape)}".removeprefix("torch.")


def tell_mistake(what: str, error: BaseException) -> None:
    """Report in one line an error in the code of a network, method or other registered function.

    Raises:
        ValueError: The error is from such code, and not itself a ValueError.
    """
    if (place := registry.place_of(error)) and not isinstance(error, ValueError):
        raise ValueError(f"{what}: {place}: {type(error).__name__}: {error}") from error
