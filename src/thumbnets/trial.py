"""A trial of one block: is its network built, does it learn as the block says, and how large is it?

It is built on torch's meta device, where shapes are computed but no memory is taken.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thumbnets import registry
from thumbnets.data.arrays import Meta
from thumbnets.messages import listed
from thumbnets.registry import NETWORKS
from thumbnets.training.settings import ModelSettings
from thumbnets.trial_choices import (
    check_augmentation,
    check_mix,
    check_training,
    described,
    tell_mistake,
)

if TYPE_CHECKING:
    from torch import nn

    from thumbnets.methods.base import Method

_VALUE_BYTES = 4  # of a float32
# Tensors of a parameter's shape that an optimizer keeps. (Others, as of Adadelta, are small.)
_STATES = {"adam": 2, "adamw": 2, "lamb": 2, "adadelta": 2, "rmsprop": 1}
_NO_FORWARD = 'missing the required "forward"'  # what torch says


@dataclass(frozen=True)
class Extent:
    """Least size of a training.

    Attributes:
        parameters: Number of values that are trained.
        batch: Bytes of the activations of a batch that the backward pass needs.
    """

    parameters: int
    batch: int

    def bytes(self, settings: ModelSettings) -> int:
        """Memory of the training: parameters, gradients, states of the optimizer, a batch."""
        train = settings.train
        copies = 2 + _STATES.get(train.optimizer.name, train.momentum > 0)
        copies += bool(train.average) + bool(train.lookahead) + bool(train.early_stopping)
        return _VALUE_BYTES * self.parameters * copies + self.batch


def measure(
    settings: ModelSettings,
    *,
    in_channels: int,
    image_size: int,
    num_classes: int,
    guessed: bool = False,
) -> Extent:
    """Build all that a block trains, pass a batch through it, and count.

    Args:
        settings: The block.
        in_channels: Channels of the images.
        image_size: Height and width of the images in pixels.
        num_classes: Number of classes.
        guessed: Whether channels and classes are guessed, so that a loss may fail by them.

    Raises:
        ValueError: The network can't be built for the images, or can't learn by the method; or a
            weights file is not valid, or is of another network.
    """
    import torch

    from thumbnets.methods.base import Method, build_method
    from thumbnets.training.pretrained import take_weights

    name, side, network = settings.name, image_size, None
    meta = Meta(name, [""] * num_classes, in_channels, side, [0.0], [1.0], [], "")
    try:
        check_block(settings, in_channels, side, num_classes)
        check_augmentation(settings, in_channels, side)
        check_mix(settings, meta)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # copying into a tensor of no memory does nothing
            method = build_method(settings, meta)
            if not isinstance(method, Method):
                learns = settings.train.method.name
                raise ValueError(f"method {learns} must return a Method, got {method!r:.40}.")
            network = method.network()
            if settings.train.weights and settings.train.weights != "imagenet":  # not fetched yet
                take_weights(network, Path(settings.train.weights))
            module = method.training_module(network, 0)
        images = torch.empty(settings.train.batch_size, in_channels, side, side, device="meta")
        own, held = _changed(method, "gradients", "training_module", "loss"), 0
        # Own gradients may free what is held part by part; parts need not be called as one module.
        if "gradients" not in own and type(module).forward is not torch.nn.Module.forward:
            logits, held = _held_by_backward(module.train(), images)
            if not own:
                _check_gradients(settings.arch, module, logits)
        _check_loss(settings, meta, guessed)
        check_training(method, settings.train)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if f"models.{name}" in text else f"models.{name}: {text}") from error
    except RuntimeError as error:  # of a layer
        if _needs_values(error):
            return Extent(_count(network), 0)
        raise ValueError(f"models.{name}: {_refusal(settings.arch, side, error)}") from None
    except (Exception, SystemExit) as error:
        tell_mistake(f"models.{name}", error)
        raise
    return Extent(_count(module), held)


def _changed(method: "Method", *names: str) -> list[str]:
    """Those of the functions of a method that are its own."""
    from thumbnets.methods.base import Method

    return [name for name in names if getattr(type(method), name) is not getattr(Method, name)]


def _check_gradients(arch: str, module: "nn.Module", logits: Any) -> None:
    """Refuse a network of which a parameter gets no gradient from its logits in training.

    Raises:
        ValueError: It is refused.
    """
    import torch

    if not isinstance(logits, torch.Tensor):
        raise ValueError(
            f"{arch} must return a tensor of logits in training as well, got "
            f"{type(logits).__name__}."
        )
    named = dict(module.named_parameters())
    left = [name for name, parameter in named.items() if not parameter.requires_grad]
    if not left and logits.requires_grad:
        try:
            found = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True)
        except RuntimeError:  # a layer whose backward pass the meta device does not have
            return
        left = [name for name, of in zip(named, found, strict=True) if of is None]
    elif not left:
        left = list(named)  # under no_grad
    if left:
        raise ValueError(
            f"{arch}: {listed(left, 3)} would get no gradient: a parameter must require one and "
            "take part in the output. What does not learn belongs into a buffer "
            "(register_buffer) or out of the network."
        )


def _check_loss(settings: ModelSettings, meta: Meta, guessed: bool) -> None:
    """Refuse a loss of another form than that of `Method.loss`.

    Only of methods that change nothing else: others may learn from more than images and labels. It
    is computed for two images on the CPU, since the meta device has no autocast.

    Raises:
        ValueError: The loss is refused, or fails.
    """
    import torch

    from thumbnets.methods.base import build_method

    method = build_method(settings, meta)
    if _changed(method, "loss", "batches", "build_examples", "gradients") != ["loss"]:
        return
    module = method.training_module(method.network(), 0).train()
    images = torch.zeros(2, meta.channels, meta.image_size, meta.image_size)
    targets = torch.tensor([0, 1])
    if settings.train.mix:
        targets = torch.nn.functional.one_hot(targets, len(meta.classes)).float()
    learns = f"method {settings.train.method.name}"
    try:
        found = method.loss(module, images, targets)
    except Exception as error:
        if guessed:  # it may be for the images that there are
            return
        tell_mistake(learns, error)
        raise
    if (got := described(found)) != "float32 [], int64 []":
        raise ValueError(
            f"{learns}: loss must return two tensors, the mean loss, float32 [], and the number "
            f"of correct predictions, int64 [], got {got}."
        )
    if not found[0].requires_grad:
        raise ValueError(f"{learns}: the loss does not depend on the network: it has no gradient.")


def check_block(settings: ModelSettings, in_channels: int, side: int, num_classes: int) -> bool:
    """As `check_network`, for the network of a block, which may see single patches of images."""
    patches = settings.train.patches
    seen = patches.size if patches and patches.mode == "shared" else side
    return check_network(settings.arch, settings.options, in_channels, seen, num_classes)


def check_network(
    arch: str, options: Mapping[str, Any], in_channels: int, image_size: int, num_classes: int
) -> bool:
    """Refuse a network that does not give a logit for each class of each image.

    Args:
        arch: Its name.
        options: Its options.
        in_channels: Channels of the images.
        image_size: Height and width of the images in pixels.
        num_classes: Number of classes.

    Returns:
        Whether it was tried: a network that looks at values can't be, on the meta device.

    Raises:
        ValueError: It does not, or can't be built for such images.
    """
    import torch

    from thumbnets.models import create_model

    shape = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    entry, network = NETWORKS[arch], None
    if missing := [name for name in NETWORKS.given if name not in entry.parameters]:
        raise ValueError(
            f"{arch} in {entry.module} must take {', '.join(missing)} as keyword-only arguments."
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = create_model(arch, **shape, **options)
            if not isinstance(network, torch.nn.Module):
                raise ValueError(f"{arch} must return a torch.nn.Module, got {network!r:.40}.")
            logits = network.eval()(torch.empty(2, in_channels, image_size, image_size))
            _check_memory(arch, network)
    except RuntimeError as error:
        if not _needs_values(error):
            raise ValueError(_refusal(arch, image_size, error)) from None
        if network is None:  # so `load_weights`, which builds it there first, would fail
            raise ValueError(
                f"{arch} computes with tensors while it is built, which torch's meta device can't: "
                "its weights could be saved, but not loaded. Use another network, or compute with "
                "numpy or math there."
            ) from None
        return False
    except (Exception, SystemExit) as error:
        tell_mistake(arch, error)
        raise
    found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != [2, num_classes]:
        raise ValueError(
            f"{arch} must return a logit per class, [2, {num_classes}] for 2 images, got {found}."
        )
    return True


def _check_memory(arch: str, network: "nn.Module") -> None:
    """Refuse a network with two names for one tensor, which can't be saved as safetensors.

    Raises:
        ValueError: It has some.
    """
    names: dict[int, str] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        other = names.setdefault(tensor.untyped_storage()._cdata, name)
        if other != name:
            raise ValueError(
                f"{arch} has two names for one tensor, {other} and {name}, so its weights could "
                "not be saved: keep the module under one name, and call it twice in forward."
            )


def _needs_values(error: RuntimeError) -> bool:
    """Whether a network failed for want of values, which the meta device does not hold."""
    return "meta" in str(error).lower() and _NO_FORWARD not in str(error)


def _refusal(arch: str, side: int, error: RuntimeError) -> str:
    reason = " ".join(str(error).split())[:200]
    if _NO_FORWARD in reason:
        return f"{arch} must return a module that has a method forward."
    place = registry.place_of(error)
    where = f" ({place})" if place else ""
    return f"{arch} does not take images of {side} pixels: {reason}{where}"


def _count(module: "nn.Module | None") -> int:
    """Number of trained values; 0 for a network that can't be built without values."""
    return sum(p.numel() for p in module.parameters()) if module else 0


def _held_by_backward(module: "nn.Module", images: Any) -> tuple[Any, int]:
    """What a forward pass returns, and bytes kept for the backward one, without the parameters."""
    import torch

    parameters = {p.untyped_storage()._cdata for p in module.parameters()}
    storages = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            storages[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = module(images)
    return found, sum(storage.nbytes() for storage in storages.values())
