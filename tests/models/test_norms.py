"""Norms that networks share."""

import torch
from torch import nn

from thumbnets.models.norms import ShiftNorm


def test_shift_norm_is_batch_norm_with_a_gain_of_one():
    shift, batch = ShiftNorm(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        shift.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
        batch.bias.copy_(shift.bias)
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        assert torch.equal(shift.train(mode)(x), batch.train(mode)(x))
    assert [name for name, _ in shift.named_parameters()] == ["bias"]
    assert "weight" not in shift.state_dict()
