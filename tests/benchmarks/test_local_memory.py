"""What graphs keep is counted right, and is far less where each block's is freed at once."""

import pytest
import torch
from torch import nn

from benchmarks.local_memory import Saved, saved_bytes, training_of


def test_bytes_that_a_graph_keeps():
    network = nn.Sequential(nn.Linear(10, 20), nn.Sigmoid(), nn.Linear(20, 5))
    saved = Saved(network)
    with saved.hooks():
        out = network(torch.zeros(7, 10))
        assert saved.most == 4 * 7 * (10 + 20)  # the sigmoid's output once, though two need it
        out.sum().backward()
        for _ in range(3):  # what is freed does not add up
            network(torch.zeros(7, 10)).sum().backward()
    assert saved.most == 4 * 7 * (10 + 20)
    assert saved._now == 0


@pytest.fixture(scope="module")
def everything() -> int:
    """Bytes that a global loss keeps."""
    return saved_bytes(training_of("vgg8b", batch=4, side=16))


def test_a_global_loss_keeps_what_all_its_layers_need(everything):
    # Of the first two blocks alone: outputs of the convolution, for its norm, and of activation,
    # mask and dropout.
    assert everything > 4 * 4 * 16**2 * (128 + 256) * 3


@pytest.mark.parametrize("block", ["vgg8b_pred", "vgg8b_sim", "vgg8b_predsim"])
def test_local_losses_keep_clearly_less(block, everything):
    local = [saved_bytes(training_of(block, batch=4, side=16)) for _ in range(2)]
    assert local[0] == local[1] < 0.6 * everything
