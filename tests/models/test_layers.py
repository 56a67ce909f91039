"""Layers that several networks share: dropout has the law of `nn.Dropout`, value by value."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from thumbnets.models.layers import Dropout, _successes, perceptron


def test_perceptron_lists_its_layers():
    layers = perceptron([4, 3, 2], nn.ReLU, 0.5)
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert [type(layer).__name__ for layer in perceptron([4, 2], nn.ReLU, 0.5)] == ["Linear"]


# Dropout: the law of nn.Dropout from its own random numbers.


def dropout(p: float, seed: int = 0) -> Dropout:
    layer = Dropout(p).train()
    layer.random = np.random.Generator(np.random.SFC64(seed))
    return layer


@pytest.mark.parametrize("p", [0.025, 0.2, 0.5, 0.9])
def test_dropout_zeroes_the_share_p_and_keeps_the_mean(p):
    n = 400_003
    out = dropout(p)(torch.ones(n))
    dropped = (out == 0).double().mean().item()
    assert abs(dropped - p) < 4 * math.sqrt(p * (1 - p) / n)
    kept = out[out != 0]
    assert (kept == kept[0]).all() and kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert out.mean().item() == pytest.approx(1, abs=5 * math.sqrt(p / (1 - p) / n))


def test_dropout_draws_every_value_and_call_independently():
    layer = dropout(0.5)
    masks = torch.stack([layer(torch.ones(4, 5_000)) for _ in range(5)]).view(20, -1) > 0
    correlation = torch.corrcoef(masks.double())
    assert (correlation - torch.eye(20)).abs().max() < 0.07  # 5 sd of 5,000 pairs
    neighbours = masks[0].view(-1, 4).double().T  # gaps between them are drawn, not values
    assert (torch.corrcoef(neighbours) - torch.eye(4)).abs().max() < 0.15


def test_dropout_is_the_identity_where_it_should_be():
    x = torch.randn(4, 1, 28, 28)
    assert dropout(0.5).eval()(x) is x
    assert dropout(0.0)(x) is x


def test_dropout_is_decided_by_its_bits():
    x = torch.ones(1000)
    torch.manual_seed(0)
    one = dropout(0.5, seed=7)(x)
    torch.manual_seed(1)
    assert torch.equal(one, dropout(0.5, seed=7)(x))
    assert not torch.equal(one, dropout(0.5, seed=8)(x))


def test_dropout_lets_the_gradient_through_where_it_let_the_value():
    x = torch.full((2, 3, 50), 2.0, requires_grad=True)
    out = dropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach() / 2)


def test_dropout_of_almost_everything():
    assert dropout(0.999999)(torch.ones(8)).isfinite().all()


# The law, by the gaps that are drawn and by the values that they stand for.

SHARES = [0.001, 0.025, 0.2, 0.5, 0.500001, 0.8, 0.975, 0.999]


def agrees(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Pearson's chi-square test of counts, of which each is expected at least 5 times."""
    assert expected.min() >= 5 and counts.sum() == pytest.approx(expected.sum())
    return stats.chisquare(counts, expected).pvalue > 0.001


@pytest.mark.parametrize("p", SHARES)
def test_gaps_between_the_rarer_outcome_are_geometric(p):
    q = min(p, 1 - p)
    dropped = (dropout(p)(torch.ones(int(4_000 / q))) == 0).numpy()
    gaps = np.diff(np.flatnonzero(dropped == (p <= 0.5)))
    law = stats.geom(q)
    edges = np.unique(law.ppf(np.linspace(0, 1, 21)[1:-1]))  # about 20 bins of equal weight
    counts = np.histogram(gaps, [0.5, *(edges + 0.5), np.inf])[0]
    shares = np.diff([0, *law.cdf(edges), 1])
    assert agrees(counts, shares * len(gaps))


@pytest.mark.parametrize("p", SHARES)
def test_runs_are_as_many_as_of_independent_draws(p):
    """Wald and Wolfowitz: given how many of each, the number of runs has a known mean and sd."""
    dropped = (dropout(p, seed=1)(torch.ones(1_000_000)) == 0).numpy()
    ones, zeros = float(dropped.sum()), float((~dropped).sum())
    n = ones + zeros
    mean = 2 * ones * zeros / n + 1
    sd = math.sqrt((mean - 1) * (mean - 2) / (n - 1))
    assert abs(1 + (dropped[1:] != dropped[:-1]).sum() - mean) < 4 * sd


@pytest.mark.parametrize("p", [0.2, 0.5, 0.7])
def test_every_pattern_of_four_values_has_its_probability(p):
    """Of four values all calls draw the end of the mask, where gaps are cut off."""
    layer, x = dropout(p), torch.ones(4)
    masks = torch.stack([layer(x) == 0 for _ in range(8_000)]).long()
    patterns = (masks * torch.tensor([8, 4, 2, 1])).sum(1)
    counts = torch.bincount(patterns, minlength=16).numpy()
    probability = [
        math.prod(p if d else 1 - p for d in of) for of in itertools.product((0, 1), repeat=4)
    ]
    assert agrees(counts, 8_000 * np.array(probability))


@pytest.mark.parametrize("p", [0.025, 0.5, 0.9])
def test_every_place_is_dropped_as_often(p):
    layer, x = dropout(p), torch.ones(10, 10)
    times = sum((layer(x) == 0).long() for _ in range(3_000)).flatten().numpy()
    z = (times - 3_000 * p) / math.sqrt(3_000 * p * (1 - p))
    assert stats.chi2(100).sf((z**2).sum()) > 0.001
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.9, 0.999])
def test_a_single_value(p):
    layer, x = dropout(p), torch.ones(1)
    times = sum(int(layer(x) == 0) for _ in range(5_000))
    assert stats.binomtest(times, 5_000, p).pvalue > 0.001


def test_no_value_at_all():
    assert dropout(0.3)(torch.ones(0, 5)).shape == (0, 5)


@pytest.mark.parametrize("p", [1e-15, 1e-30, 1e-300])
def test_dropout_of_almost_nothing(p):
    assert torch.equal(dropout(p)(torch.ones(1000)), torch.ones(1000))


class Waits:
    """Stands for a generator: gives these numbers, as many at a time as are asked for."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = iter(numbers)

    def standard_exponential(self, n: int, dtype: type) -> np.ndarray:
        return np.array(list(itertools.islice(self.numbers, n)), dtype)


def test_successes_by_hand():
    """With p = 1/2 a wait of E has floor(E / log 2) failures before the success."""
    waits = [0.1, 0.7, 1.4, 0.0, 0.69, 2.1, 9.0]  # 0, 1, 2, 0, 0, 3, 12 failures
    draws = Waits([*waits, *([9.0] * 20)])
    assert _successes(draws, 12, 0.5).tolist() == [0, 2, 5, 6, 7, 11]
    assert _successes(Waits([0.0] * 40), 20, 0.1).tolist() == list(range(20))  # several chunks


# Where the values lie.


def layouts() -> dict[str, torch.Tensor]:
    x = torch.randn(16, 8, 20, 20, generator=torch.Generator().manual_seed(0)) + 9  # none is 0
    wide = torch.cat([x, x], 1)
    return {
        "contiguous": x,
        "channels_last": x.to(memory_format=torch.channels_last),
        "permuted": x.permute(3, 1, 0, 2),
        "every other channel": wide[:, ::2],
        "every other channel, channels_last": wide.to(memory_format=torch.channels_last)[:, ::2],
        "a window": torch.cat([x, x], 3)[..., 5:25],
        "expanded": x[:1].expand(16, 8, 20, 20),
        "matrix, transposed": x.view(320, 160).T,
        "bfloat16": x.bfloat16(),
        "bfloat16, channels_last": x.bfloat16().to(memory_format=torch.channels_last),
        "float64": x.double(),
    }


@pytest.mark.parametrize("p", [0.2, 0.7])
@pytest.mark.parametrize("name", layouts())
def test_dropout_of_any_layout(name, p):
    x = layouts()[name]
    out = dropout(p)(x)
    assert out.dtype == x.dtype and out.shape == x.shape
    assert out.stride() == torch.nn.functional.dropout(x, p).stride()
    scale = torch.tensor(1 / (1 - p), dtype=x.dtype)
    assert torch.equal(out, torch.where(out == 0, 0, x * scale))
    for axis in range(x.ndim):  # the share is right along every axis
        dropped = (out == 0).movedim(axis, 0).flatten(1).double().mean(1)
        sd = math.sqrt(p * (1 - p) / (x.numel() / x.shape[axis]))
        assert (dropped - p).abs().max() < 4.5 * sd


def test_masks_go_by_the_order_in_memory():
    """So the same draws drop other values of channels-last images."""
    flat = dropout(0.4)(torch.ones(2 * 3 * 4 * 5))
    images = torch.ones(2, 3, 4, 5)
    assert torch.equal(dropout(0.4)(images).flatten(), flat)
    last = dropout(0.4)(images.to(memory_format=torch.channels_last))
    assert torch.equal(last.permute(0, 2, 3, 1).flatten(), flat)
    assert not torch.equal(last, dropout(0.4)(images))
