"""Shares of a batch on threads: the gradient of the whole batch, whatever the number of threads."""

from contextlib import ExitStack, closing

import numpy as np
import pytest
import torch
from torch import nn

from thumbnets.methods.independent import MemberReplicas
from thumbnets.methods.members import Members
from thumbnets.training.replicas import ReplicaPool


def dropout(threads: int) -> list[np.random.Generator]:
    """Random numbers of the dropout of so many replicas."""
    return [np.random.default_rng(thread) for thread in range(threads)]


@pytest.fixture
def shards_of():
    """Makes shards that are closed in the end."""
    with ExitStack() as stack:
        yield lambda network, threads: stack.enter_context(
            closing(ReplicaPool(network, dropout(threads)))
        )


def loss(network: nn.Module, images: torch.Tensor, targets: torch.Tensor):
    logits = network(images)
    return nn.functional.cross_entropy(logits, targets), (logits.argmax(1) == targets).sum()


def gradients(network: nn.Module, images: torch.Tensor, targets: torch.Tensor, share: float):
    mean, right = loss(network, images, targets)
    mean = mean * share
    return list(torch.autograd.grad(mean, list(network.parameters()))), mean.detach(), right


def network(norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(nn.Conv2d(1, 4, 3), *norms, nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


@pytest.mark.parametrize("n", [2, 3, 5, 7, 16])
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_gradient_loss_and_count_are_those_of_the_whole_batch(shards_of, threads, n):
    whole, images, targets = network(), *batch(n)
    expected, right = loss(whole, images, targets)
    expected.backward()
    shards = shards_of(network(), threads)
    mean, count = shards.backward(gradients, images, targets)
    assert mean.item() == pytest.approx(expected.item(), rel=1e-5) and count == right
    for ours, theirs in zip(shards.parameters, whole.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_one_share_is_plain_backpropagation_to_the_bit(shards_of):
    whole, images, targets = network(norm=True), *batch(16)
    loss(whole, images, targets)[0].backward()
    shards = shards_of(network(norm=True), 1)
    shards.backward(gradients, images, targets)
    assert all(
        torch.equal(a.grad, b.grad)
        for a, b in zip(shards.parameters, whole.parameters(), strict=True)
    )


def test_doubles_share_the_parameters_and_keep_statistics_of_their_own(shards_of):
    shards = shards_of(network(norm=True).train(), 2)
    first, second = shards.networks
    assert all(a is b for a, b in zip(first.parameters(), second.parameters(), strict=True))
    images, targets = batch(16)
    shards.backward(gradients, images, targets)
    alone = network(norm=True).train()
    alone(images[:8])
    assert torch.equal(first[1].running_mean, alone[1].running_mean)
    assert not torch.equal(first[1].running_mean, second[1].running_mean)


def test_the_same_bits_whichever_thread_is_first(shards_of):
    images, targets = batch(64)
    found = set()
    for _ in range(20):
        shards = shards_of(network(norm=True), 4)
        shards.backward(gradients, images, targets)
        found.add(b"".join(p.grad.numpy().tobytes() for p in shards.parameters))
    assert len(found) == 1


@pytest.mark.parametrize("kind", [ReplicaPool, MemberReplicas])
@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {"lr": 0.1}), ("Adam", {"lr": 0.1, "eps": 1.0})]
)
def test_a_gradient_that_lies_otherwise_moves_the_weights_that_it_is_of(kind, name, options):
    """torch's fused optimizers would apply it to the wrong weights."""

    def gradients(network, images, targets, share):
        found = [torch.linspace(-1, 1, p.numel()).view(p.shape) for p in network.parameters()]
        return found, torch.zeros(()), torch.zeros(())

    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        convolution = nn.Conv2d(4, 8, 3).to(memory_format=layout)
        optimizer = getattr(torch.optim, name)(convolution.parameters(), fused=True, **options)
        training_module, (images, targets) = convolution, batch(4)
        if kind is MemberReplicas:  # a batch for each member, of which there is one
            training_module, images, targets = (
                Members([training_module], ...),
                images[:, None],
                targets[:, None],
            )
        with closing(kind(training_module, dropout(1))) as shards:
            shards.backward(gradients, images, targets)
        optimizer.step()
        moved.append(convolution.weight.detach())
    torch.testing.assert_close(*moved)


@pytest.mark.parametrize(("n", "threads"), [(7, 3), (13, 4), (21, 5), (5, 2), (3, 4)])
def test_no_share_has_a_single_image(shards_of, n, threads):
    """Batch norm refuses one; torch's `chunk` cuts 7 into 3, 3 and 1."""
    seen = []

    def note(network, images, targets, share):
        seen.append(len(images))
        return gradients(network, images, targets, share)

    shards_of(network(norm=True), threads).backward(note, *batch(n))
    assert sum(seen) == n and min(seen) >= 2 and max(seen) - min(seen) <= 1


def test_what_fails_in_a_thread_is_raised(shards_of):
    def fails(network, images, targets, share):
        raise ValueError("a share failed")

    with pytest.raises(ValueError, match="a share failed"):
        shards_of(network(), 2).backward(fails, *batch(8))


@pytest.mark.slow
def test_a_process_that_used_threads_ends_in_peace(python):
    code = """
import numpy, torch
from torch import nn
from thumbnets.training.replicas import ReplicaPool
def gradients(network, images, targets, share):
    logits = network(images)
    loss = nn.functional.cross_entropy(logits, targets) * share
    return list(torch.autograd.grad(loss, list(network.parameters()))), loss.detach(), logits.sum()
dropout = [numpy.random.default_rng(thread) for thread in range(3)]
for _ in range(4):
    shards = ReplicaPool(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), dropout)
    shards.backward(gradients, torch.zeros(9, 1, 8, 8), torch.arange(9) % 3)
    shards.close()
print("done")
"""
    assert [python(code) for _ in range(6)] == ["done\n"] * 6
