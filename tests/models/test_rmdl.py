"""RMDL's random networks: the source's ranges and sizes, and a draw of their own."""

from collections import Counter

import pytest
import torch
from scipy import stats
from torch import nn

from thumbnets.models import count_parameters, create_model, rmdl
from thumbnets.models.rmdl import drawing
from thumbnets.models.rmdl_cnn import _MaxNormLinear

GREY = {"in_channels": 1, "image_size": 28, "num_classes": 10}
NETWORKS = ["rmdl_dnn", "rmdl_cnn", "rmdl_rnn"]


def make(name: str, **changes) -> nn.Module:
    return create_model(name, **{**GREY, **changes})


def sizes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in network.parameters()]


# Smallest and largest for grey images of 28 pixels, colour images of 32 and of 96.
EXTREMES = {
    "rmdl_dnn": [(101_770, 7_098_607), (394_634, 9_439_231), (3_540_362, 34_580_479)],
    "rmdl_cnn": [(889_354, 11_891_752), (891_658, 11_900_950), (4_561_674, 16_602_150)],
    "rmdl_rnn": [(13_258, 197_368), (13_514, 198_384), (13_514, 198_384)],
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("place", "shape"), list(enumerate([(1, 28), (3, 32), (3, 96)])))
def test_smallest_and_largest_have_the_published_sizes(monkeypatch, name, place, shape):
    channels, side = shape
    for always, expected in zip((0.0, 1 - 2**-53), EXTREMES[name][place], strict=True):
        monkeypatch.setattr(rmdl.Random, "random", lambda _, always=always: always)
        with torch.device("meta"):
            network = make(name, in_channels=channels, image_size=side)
        assert count_parameters(network) == expected


def test_draws_are_uniform_and_hold_both_ends():
    draws = [drawing("rmdl_dnn", architecture)(1, 7) for architecture in range(3_500)]
    counts = Counter(draws)
    assert sorted(counts) == list(range(1, 8))
    assert stats.chisquare([counts[k] for k in range(1, 8)]).pvalue > 1e-3
    widths = {drawing("rmdl_rnn", architecture)(32, 127) for architecture in range(3_000)}
    assert widths == set(range(32, 128))


def test_draws_stay_as_they_are():
    """Weights and metrics of old runs rest on them: never change these."""
    draw = drawing("rmdl_cnn", 0)
    assert [draw(128, 511) for _ in range(5)] == [483, 343, 158, 344, 309]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_architecture_goes_by_its_number_alone(name):
    with torch.device("meta"):
        torch.manual_seed(0)
        one = sizes(make(name, architecture=5))
        torch.manual_seed(1)
        assert sizes(make(name, architecture=5)) == one
        assert sizes(make(name, architecture=6)) != one


def test_drawing_leaves_torch_alone():
    before = torch.get_rng_state()
    drawing("rmdl_dnn", 3)(1, 7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("side", "depths"), [(28, {3, 4}), (32, {3, 4}), (96, {3, 4, 5, 6})])
def test_cnns_are_as_deep_as_fits(side, depths):
    found = Counter()
    for architecture in range(40):
        with torch.device("meta"):
            network = make("rmdl_cnn", image_size=side, architecture=architecture)
        found[sum(isinstance(m, nn.MaxPool2d) for m in network.modules())] += 1
        maps = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert maps[0] == maps[1] and 128 <= min(maps) <= max(maps) <= 511
    assert set(found) == depths


def test_max_norm_shortens_long_rows_only():
    layer = _MaxNormLinear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[6.0, 8.0], [0.6, 0.8]]))
    out = layer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert torch.allclose(out, torch.tensor([[1.8, 0.6], [2.4, 0.8]]))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_rnns_read_rows(cell):
    """Rows are coded alike wherever they stand; the order of the rows matters."""
    network = make("rmdl_rnn", architecture=2, cell=cell).eval()
    assert isinstance(network.row, nn.LSTM if cell == "lstm" else nn.GRU)
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    codes = []
    network.image.register_forward_pre_hook(lambda _, inputs: codes.append(inputs[0]))
    logits = network(x)
    assert not torch.allclose(network(x.mT), logits, atol=1e-4)
    assert not torch.allclose(network(x.flip(2)), logits, atol=1e-4)
    assert torch.allclose(codes[0].flip(1), codes[2], atol=1e-6)
    assert codes[0].shape[:2] == (2, 28)


def test_lstms_remember_at_first():
    network = make("rmdl_rnn")
    for layer in (network.row, network.image):
        units = layer.hidden_size
        ones = layer.bias_ih_l0.detach() == 1
        assert ones[units : 2 * units].all() and ones.sum() == units


def test_rnns_refuse_images_that_are_too_large():
    with torch.device("meta"):
        make("rmdl_rnn", image_size=96)
        with pytest.raises(ValueError, match="rmdl_rnn reads images of at most 96 .*, got 224"):
            make("rmdl_rnn", image_size=224)
