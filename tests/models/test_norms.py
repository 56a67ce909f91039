"""Norms that networks share."""

import pytest
import torch
from torch import nn

from thumbnets.models.norms import BatchNorm2d, ShiftNorm


@pytest.mark.parametrize("channels", [4, 8, 12])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_batch_norm_is_that_of_torch(channels: int, layout: torch.memory_format):
    draw = torch.Generator().manual_seed(0)
    values, gradient = (torch.randn(6, channels, 5, 4, generator=draw) for _ in range(2))

    def trained(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
        images = values.contiguous(memory_format=layout).requires_grad_()
        normed = norm(images)
        normed.backward(gradient)
        assert normed.is_contiguous(memory_format=layout)
        running = [norm.running_mean, norm.running_var, norm.eval()(values)]
        return [normed, images.grad, norm.weight.grad, norm.bias.grad, *running]

    torch.testing.assert_close(
        trained(BatchNorm2d(channels)), trained(nn.BatchNorm2d(channels)), rtol=1e-5, atol=1e-5
    )


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
