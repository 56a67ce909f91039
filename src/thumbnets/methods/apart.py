"""Members that learn at the same time and know nothing of one another."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from thumbnets.methods.members import Ensemble, Members
from thumbnets.training.batches import Batches, Images, Streams
from thumbnets.training.shards import Gradients, Shards, hand_over


class Apart(Ensemble):
    """Each member has its own weights, order of the images and draws of the augmentation.

    One optimizer steps them all, which is as one each, since it looks at each tensor by itself
    (so not Muon, and no clipping). The training figures are means over the members, validation is
    of the ensemble. The threads of a training share out the members, not the batch.
    """

    def batches(self, train: Images, streams: Streams) -> Batches:
        self.weigh(train)
        return MemberBatches(train, self, streams)

    def shards(self, learner: nn.Module, threads: int) -> Shards:
        return MemberShards(learner, threads)


class MemberBatches(Batches):
    """Batches of images float32 [N, M, C, H, W] with targets [N, M] or [N, M, K].

    Args:
        data: The images.
        method: Whose settings they follow; has M members.
        streams: Orders of the images and draws of the augmentation.

    Attributes:
        rows: int64 [len(data), M], which images each member learns from; None: all of them.
    """

    def __init__(self, data: Images, method: Ensemble, streams: Streams) -> None:
        super().__init__(data, method.train, method.meta, streams)
        self.members = method.members
        self.rows: Tensor | None = None

    @property
    def seen(self) -> int:
        """Images an epoch, counted once for each member."""
        return self.members * super().seen

    def shuffled(self) -> Tensor:
        """New random orders of each member's images: int64 [N, M]."""
        orders = torch.stack([Batches.shuffled(self) for _ in range(self.members)], 1)
        return orders if self.rows is None else self.rows.gather(0, orders)

    def run(self, order: Tensor, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        ways = [Batches.run(self, column, epoch, first) for column in order.unbind(1)]
        for batches in zip(*ways, strict=True):
            images, targets = map(torch.stack, zip(*batches, strict=True))
            yield images.transpose(0, 1), targets.transpose(0, 1)


class MemberShards(Shards):
    """Threads that train some members each, on whole batches: no member feels their number.

    Args:
        network: The ensemble, on the device that computes.
        threads: How many.
    """

    networks: list[nn.ModuleList]

    def divided(self, network: Members, threads: int) -> list[nn.Module]:
        return [nn.ModuleList(network.members[i::threads]) for i in range(threads)]

    def backward(
        self, gradients: Gradients, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As of `Shards`, for images [N, M, C, H, W]: sums over members of loss and of `right`."""
        threads = len(self.networks)

        def train(first: int) -> list[tuple[Tensor, Tensor]]:
            numbers = range(first, images.shape[1], threads)
            return [
                _backward(gradients, member, images[:, number], targets[:, number])
                for number, member in zip(numbers, self.networks[first], strict=True)
            ]

        results = chain(*self.at_once(train, [(i,) for i in range(threads)]))
        losses, rights = map(torch.stack, zip(*results, strict=True))
        return losses.sum(), rights.sum()


def _backward(
    gradients: Gradients, member: nn.Module, images: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    found, loss, right = gradients(member, images, targets, 1.0)
    hand_over(found, member.parameters())
    return loss, right
