"""Adversarial training: members that also learn from adversarial images."""

import torch
from torch import Tensor, nn

from thumbnets.data.arrays import Meta
from thumbnets.data.constants import constant
from thumbnets.methods.base import Method
from thumbnets.methods.independent import IndependentEnsemble
from thumbnets.options import Portion, Several
from thumbnets.registry import METHODS
from thumbnets.training.settings import ModelSettings


@METHODS.register(excludes=("clip", "weights"), refuses={"optimizer": "muon"})
def adversarial(
    settings: ModelSettings, meta: Meta, *, members: Several = 5, epsilon: Portion = 0.01
) -> Method:
    """Members as in `voting`; the loss is that of a batch plus that of its adversarial images.

    Args:
        members: Number of members.
        epsilon: Distance that every pixel is moved, a share of the range from black to white.

    Source: Goodfellow et al. 2015, arXiv:1412.6572, section 4 (fast gradient sign); with ensembles
    Lakshminarayanan et al. 2017, arXiv:1612.01474, whose 1 % is the default (TorchEnsemble: 50 %).
    """
    return Adversarial(settings, meta, members, epsilon)


class Adversarial(IndependentEnsemble):
    """See `adversarial`."""

    def __init__(self, settings: ModelSettings, meta: Meta, members: int, epsilon: float) -> None:
        super().__init__(settings, meta, members)
        self.epsilon = epsilon

    def gradients(
        self, module: nn.Module, images: Tensor, targets: Tensor, share: float
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        images = images.detach().requires_grad_()
        loss, correct = self.loss(module, images, targets)
        loss = loss * share
        *found, slope = torch.autograd.grad(loss, [*module.parameters(), images])
        adversarial_images = self.attacked(images.detach(), slope)
        more, more_loss, _ = super().gradients(module, adversarial_images, targets, share)
        torch._foreach_add_(found, more)
        return found, loss.detach() + more_loss, correct

    def attacked(self, images: Tensor, slope: Tensor) -> Tensor:
        """Move every pixel by epsilon to where the loss grows, but not beyond black and white.

        Args:
            images: Normalised, float32 [N, C, H, W].
            slope: Gradient of the loss with respect to them.
        """
        mean, std = (
            constant(tuple(values), images.device)[:, None, None]
            for values in (self.meta.mean, self.meta.std)
        )
        moved = torch.addcmul(images, slope.sign(), self.epsilon / std)
        return moved.clamp(-mean / std, (1 - mean) / std)
