"""Members that learn at the same time and are independent of one another."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from thumbnets.methods.members import Ensemble, Members
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.replicas import Gradients, ReplicaPool, assign_gradients


class IndependentEnsemble(Ensemble):
    """Each member has its own weights, order of the images and draws of the augmentation.

    One optimizer steps them all, which is the same as one for each, since it treats each tensor by
    itself (so not Muon, and no clipping). Training figures are means over the members, validation
    figures those of the ensemble. The threads of a training share out the members, not the batch.
    """

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        self.set_class_weights(train)
        return MemberBatches(train, self, streams)

    def replicas(self, module: nn.Module, streams: RandomStreams) -> ReplicaPool:
        return MemberReplicas(module, streams.dropout)


class MemberBatches(Batches):
    """Batches of images float32 [N, M, C, H, W] with targets [N, M] or [N, M, K].

    Args:
        data: The images.
        method: Method whose settings the batches follow, with M members.
        streams: Orders of the images and draws of the augmentation.

    Attributes:
        rows: int64 [len(data), M], which images each member learns from; None: all of them.
    """

    def __init__(self, data: Images, method: Ensemble, streams: RandomStreams) -> None:
        super().__init__(data, method.train, method.meta, streams)
        self.members = method.members
        self.rows: Tensor | None = None

    @property
    def seen(self) -> int:
        """Images per epoch, counted once for each member."""
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


class MemberReplicas(ReplicaPool):
    """Threads that train some members each, on whole batches.

    So no member depends on the number of threads, except for its dropout masks.

    Args:
        network: The ensemble, on the device that computes.
        dropout: Random numbers of each thread's dropout; as many as there are threads.
    """

    networks: list[nn.ModuleList]

    def replicas_of(self, network: Members, threads: int) -> list[nn.Module]:
        return [nn.ModuleList(network.members[i::threads]) for i in range(threads)]

    def backward(
        self, gradients: Gradients, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As in `ReplicaPool`, for images [N, M, C, H, W]: sums over the members."""
        threads = len(self.networks)

        def train(first: int) -> list[tuple[Tensor, Tensor]]:
            numbers = range(first, images.shape[1], threads)
            return [
                _backward(gradients, member, images[:, number], targets[:, number])
                for number, member in zip(numbers, self.networks[first], strict=True)
            ]

        results = chain(*self.at_once(train, [(i,) for i in range(threads)]))
        losses, corrects = map(torch.stack, zip(*results, strict=True))
        return losses.sum(), corrects.sum()


def _backward(
    gradients: Gradients, member: nn.Module, images: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    found, loss, correct = gradients(member, images, targets, 1.0)
    assign_gradients(found, member.parameters())
    return loss, correct
