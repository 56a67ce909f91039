"""Local error signals: every block of a network learns by a loss of its own, and by no other.

Source: Nøkland and Eidnes 2019, arXiv:1901.06656.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbnets.data.arrays import Meta
from thumbnets.data.constants import one_hot
from thumbnets.methods.base import Method, autocast
from thumbnets.methods.few_classes import FewClasses
from thumbnets.models.blocks import Block
from thumbnets.models.layers import Dropout
from thumbnets.options import Count, Probability
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.settings import ModelSettings

_BITS = 128  # of a target's random projection


# Clipping by one norm would tie blocks together; Muon is for networks with one last layer.
@METHODS.register(whole_batch=True, excludes=("clip",), refuses={"optimizer": "muon"})
def local(
    settings: ModelSettings,
    meta: Meta,
    *,
    loss: Literal["predsim", "pred", "sim"] = "predsim",
    beta: Probability = 0.99,
    decoder: Count = 4096,
    bio: bool = False,
    few_classes: Count | None = None,
) -> Method:
    """A loss for every block; the output layer learns by cross-entropy.

    Args:
        loss: pred, the cross-entropy of a linear layer on the block's output; sim, the distance
            between the similarities of outputs and those of labels; predsim, both.
        beta: Weight of sim in predsim; the rest is that of pred and of the output layer's loss.
        decoder: Largest number of inputs of pred's linear layer; larger maps are averaged first.
        bio: Nothing is backpropagated: targets are random projections of the labels, the gradient
            of pred comes back through fixed random weights (feedback alignment), and sim compares
            the outputs as they are. The source then has a beta of 0.01.
        few_classes: Number of images drawn first for a batch; up to the epoch halfway, the others
            are of their classes (the source has 20 for 100 classes). None: any classes.
    """
    return Local(settings, meta, Choices(loss, beta, decoder, bio, few_classes))


@dataclass(frozen=True)
class Choices:
    """The options of `local`."""

    loss: str
    beta: float
    decoder: int
    bio: bool
    few_classes: int | None

    @property
    def shares(self) -> dict[str, float]:
        """Weight of each part of a block's loss."""
        if self.loss == "predsim":
            return {"pred": 1 - self.beta, "sim": self.beta}
        return {self.loss: 1.0}

    @property
    def output_share(self) -> float:
        """Weight of the output layer's loss: in predsim that of pred."""
        return self.shares.get("pred", 1.0)


class Local(Method):
    """Learning block after block, in every batch.

    One optimizer has all parameters. Ours move a tensor by its own gradients alone, so this equals
    one optimizer per block (the source's way). In both, blocks pass on the outputs of the weights
    before the step. What looks at all gradients at once is refused.

    Label smoothing and class weights apply to cross-entropies. Mixed targets have similarities and
    projections like any others.

    Raises:
        ValueError: Class weights are set where no loss can use them, or a batch has too few images.
    """

    def __init__(self, settings: ModelSettings, meta: Meta, choices: Choices) -> None:
        super().__init__(settings, meta)
        self.choices = choices
        if reason := self._refusal():
            raise ValueError(f"models.{settings.name}, method: local: {reason}.")

    def _refusal(self) -> str | None:
        """Why the settings are refused, if they are."""
        if self.train.class_weights and (self.choices.loss != "pred" or self.choices.bio):
            return "class_weights must be null, but for loss: pred without bio"
        if (self.choices.few_classes or 0) >= self.train.batch_size:
            return (
                f"few_classes must be fewer images than a batch has, {self.train.batch_size}, got "
                f"{self.choices.few_classes}"
            )
        return None

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        if self.choices.few_classes is None:
            return super().batches(train, streams)
        self.set_class_weights(train)
        return FewClasses(train, self.train, self.meta, streams, self.choices.few_classes)

    def training_module(self, network: nn.Module, seed: int) -> nn.Module:
        """The network, and a head for each block. Its output layer begins at 0, as in the source.

        (Not if weights were read from a file.)

        Raises:
            ValueError: The network is not made of blocks.
        """
        if not is_of_blocks(network):
            raise ValueError(
                f"models.{self.settings.name}, method: local: the network must be a flat sequence "
                f"of blocks with a linear layer at its end, such as vgg8b; {self.settings.arch} "
                f"{'in patches ' if self.train.patches else ''}is not."
            )
        if not self.train.weights:
            nn.init.zeros_(network[-1].weight)
        return TrainingModule(network, self.meta, self.choices)

    def gradients(
        self, module: "TrainingModule", images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Differentiate the loss of each block, and free its graph before the next block computes.

        Args:
            module: Module from `training_module`.
            images: float32 [N, C, H, W].
            targets: int64 [N], or float32 [N, K].
            share: 1, as batches stay whole.

        Returns:
            One tensor per parameter of the module; the loss of the output layer, which can be
            compared with that of other methods; the number of images recognised.
        """
        found: dict[nn.Parameter, Tensor] = {}
        x, heads = images, iter(module.heads)
        for layer in module.network[:-1]:
            if not isinstance(layer, Block):
                x = layer(x)
                continue
            head, (inner, dropout) = next(heads), split(layer)
            with autocast(x.device, self.train.precision):
                h = inner(x)
            _differentiate(self.block_loss(head, h, targets), (inner, head), found)
            x = dropout(h.detach())
        loss, correct = self.loss(module.network[-1], x, targets)
        _differentiate(self.choices.output_share * loss, (module.network[-1],), found)
        return [found[p] for p in module.parameters()], loss.detach(), correct

    def block_loss(self, head: "Head", h: Tensor, targets: Tensor) -> Tensor:
        """The local loss of a block.

        Args:
            head: Head of the block.
            h: Output of its activation, [N, D] or [N, C, H, W].
            targets: int64 [N], or float32 [N, K] if they are mixed.
        """
        parts = {"pred": self._pred, "sim": self._sim}
        return sum(
            share * parts[name](head, h, targets) for name, share in self.choices.shares.items()
        )

    def _pred(self, head: "Head", h: Tensor, targets: Tensor) -> Tensor:
        with autocast(h.device, self.train.precision):
            logits = head.predict(h).float()
        if self.choices.bio:
            bits = (head.wanted(targets) > 0).float()
            return functional.binary_cross_entropy_with_logits(logits, bits)
        return self.cross_entropy(logits, targets)

    def _sim(self, head: "Head", h: Tensor, targets: Tensor) -> Tensor:
        with autocast(h.device, self.train.precision):
            features = head.compare(h)
        return functional.mse_loss(similarity(features), similarity(head.wanted(targets)))


def _differentiate(
    loss: Tensor, modules: tuple[nn.Module, ...], found: dict[nn.Parameter, Tensor]
) -> None:
    """Add to `found` the gradients of a loss with respect to the parameters of some modules."""
    parameters = [p for module in modules for p in module.parameters()]
    found.update(zip(parameters, torch.autograd.grad(loss, parameters), strict=True))


def is_of_blocks(network: nn.Module) -> bool:
    """Whether it is a sequence of blocks and layers without parameters, then a linear layer."""
    if not isinstance(network, nn.Sequential) or not isinstance(network[-1], nn.Linear):
        return False
    others = [layer for layer in network[:-1] if not isinstance(layer, Block)]
    return len(others) < len(network) - 1 and not any(list(x.parameters()) for x in others)


def split(block: Block) -> tuple[nn.Sequential, nn.Module]:
    """A block up to its activation, whose output the local loss sees, and its dropout, if any."""
    if isinstance(block[-1], Dropout):
        return block[:-1], block[-1]
    return block, nn.Identity()


class TrainingModule(nn.Module):
    """A network, with a head for the loss of each of its blocks. Calling it calls the network.

    Heads are trained with their blocks and saved in checkpoints, but not with the weights.

    Args:
        network: Network of blocks, with its first weights.
        meta: Shape and classes of the images.
        choices: Options of the method.
    """

    def __init__(self, network: nn.Module, meta: Meta, choices: Choices) -> None:
        super().__init__()
        self.network = network
        build = BioHead if choices.bio else Head
        outputs = block_outputs(network, meta)
        self.heads = nn.ModuleList(build(h, len(meta.classes), choices) for h in outputs)
        # A fused optimizer needs weights laid out as their gradients, which follow the blocks.
        if not all(p.is_contiguous() for p in network.parameters()):
            self.heads.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


@torch.no_grad()
def block_outputs(network: nn.Module, meta: Meta) -> list[Tensor]:
    """Outputs of all blocks' activations for one black image, [1, D] or [1, C, H, W]."""
    shape = (1, meta.channels, meta.image_size, meta.image_size)
    x, outputs = torch.zeros(shape, device=next(network.parameters()).device), []
    was_training = network.training
    network.eval()
    for layer in network[:-1]:
        x = layer(x)  # dropout does nothing
        outputs += [x] if isinstance(layer, Block) else []
    network.train(was_training)
    return outputs


class Head(nn.Module):
    """Turns the output of a block into the predictions and features that its loss compares.

    Args:
        h: An output of the block, [1, D] or [1, C, H, W].
        classes: Number of classes, K.
        choices: Options of the method.

    Attributes:
        predict: Module from [N, D] or [N, C, H, W] to logits [N, K] (bio: [N, 128]); for pred.
        compare: Module to features, whose similarities are taken; for sim.
    """

    def __init__(self, h: Tensor, classes: int, choices: Choices) -> None:
        super().__init__()
        self.classes = classes
        pool = decoder_pool(h, choices.decoder)
        if "pred" in choices.shares:
            inputs = pool(h).numel()
            self.predict = nn.Sequential(pool, nn.Flatten(), self._decoder(inputs))
        if "sim" in choices.shares:
            self.compare = self._features(h.shape[1], pool, maps=h.ndim == 4)

    def wanted(self, targets: Tensor) -> Tensor:
        """Targets whose similarities the features are to reproduce: float32 [N, K]."""
        if targets.ndim == 2:
            return targets
        return one_hot(targets, self.classes)

    def _decoder(self, inputs: int) -> nn.Module:
        """A linear layer whose weight begins at 0 (its bias does not)."""
        layer = nn.Linear(inputs, self.classes)
        nn.init.zeros_(layer.weight)
        return layer

    def _features(self, width: int, pool: nn.Module, *, maps: bool) -> nn.Module:
        """A layer as wide as the block: linear, or a 3x3 convolution."""
        if maps:
            return nn.Conv2d(width, width, 3, padding=1, bias=False)
        return nn.Linear(width, width, bias=False)


class BioHead(Head):
    """The head of a block that learns without backpropagation: section 2.4 of the source.

    The labels are projected by a fixed random matrix of its own, uniform as torch draws the weights
    of a linear layer. Predictions are of the signs of the projection, similarities of its values;
    the output of the block is compared as it is, or averaged as for the decoder.
    """

    def __init__(self, h: Tensor, classes: int, choices: Choices) -> None:
        super().__init__(h, classes, choices)
        self.register_buffer("projection", nn.Linear(classes, _BITS).weight.detach())

    def wanted(self, targets: Tensor) -> Tensor:
        """The projected targets: float32 [N, 128]."""
        return super().wanted(targets) @ self.projection.T

    def _decoder(self, inputs: int) -> nn.Module:
        return FeedbackLinear(inputs, _BITS)

    def _features(self, width: int, pool: nn.Module, *, maps: bool) -> nn.Module:
        return pool


class FeedbackLinear(nn.Linear):
    """A linear layer that begins at 0, and whose input gradient uses fixed random weights.

    Source: Lillicrap et al. 2016, doi:10.1038/ncomms13276 (feedback alignment).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("feedback", self.weight.detach().clone())  # 1 / sqrt(inputs) at most
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        random = functional.linear(x, self.feedback)
        return super().forward(x.detach()) + (random - random.detach())  # adds 0, and its gradient


def decoder_pool(h: Tensor, limit: int) -> nn.Module:
    """The averaging that leaves at most `limit` values of a block's maps, if it can.

    Height and width of the kernel are doubled in turn. Where it does not divide the map, zeros are
    added around it and count in the averages, and some rows at the end may not be seen, as in the
    source, whose layers have the same width.

    Args:
        h: An output of the block, [1, D] or [1, C, H, H].
        limit: Values per image.
    """
    if h.ndim == 2:
        return nn.Identity()
    maps, side = h.shape[1:3]
    kernel, out = [1, 1], [side, side]
    while maps * out[0] * out[1] > limit and kernel[0] < side:
        for axis in (0, 1):
            if maps * out[0] * out[1] > limit:
                kernel[axis] *= 2
                out[axis] = -(-side // kernel[axis])
    if kernel == [1, 1]:
        return nn.Identity()
    padding = [k * (o - side // k) // 2 for k, o in zip(kernel, out, strict=True)]
    return nn.AvgPool2d(tuple(kernel), padding=tuple(padding))


def similarity(x: Tensor) -> Tensor:
    """Correlations between the examples of a batch.

    Args:
        x: [N, D] or [N, C, H, W]. If there are more than three maps, of more than one row, their
            standard deviations are compared, else all values.

    Returns:
        [N, N] within -1..1, float32 or wider. An example whose values are all the same, to
        rounding, is similar to none, not even to itself, and has no gradient (in the source it is
        not a number).
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if x.ndim == 4 and x.shape[1] > 3 and x.shape[2] > 1:
        x = x.std((2, 3))
    x = x.flatten(1)
    centred = x - x.mean(1, keepdim=True)
    squares, before = (of.square().sum(1, keepdim=True) for of in (centred, x))
    varies = squares > 1e-12 * before
    x = centred * torch.where(varies, squares, 1.0).rsqrt() * varies
    return (x @ x.T).clamp(-1, 1)
