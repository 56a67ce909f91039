"""Local error signals: the source's numbers by hand, and blocks that learn on their own."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from thumbnets.methods import local
from thumbnets.methods.base import build_method, evaluate
from thumbnets.methods.weights import load_weights, save_weights
from thumbnets.models import count_parameters, create_model
from thumbnets.models.blocks import Block, conv_block, linear_block
from thumbnets.models.patches import build
from thumbnets.registry import NETWORKS
from thumbnets.training.loop import Training, fit

KINDS = [  # of loss, and of head
    {"loss": "pred"},
    {"loss": "sim"},
    {"loss": "predsim"},
    {"loss": "pred", "bio": True},
    {"loss": "sim", "bio": True},
    {"loss": "predsim", "bio": True, "beta": 0.01},
]


def name_of(kind: dict) -> str:
    return f"{'bio ' if kind.get('bio') else ''}{kind['loss']}"


of_every_kind = pytest.mark.parametrize("kind", KINDS, ids=name_of)


@pytest.fixture
def settings_of(model_settings):
    """Makes the settings of a block that learns by local losses."""

    def make(kind: dict, arch: str = "mlp", options: dict | None = None, **train):
        defaults = {"optimizer": "adam", "lr": 0.005, "threads": 1, "method": {"name": "local"}}
        changes = defaults | {"method": {"name": "local", **kind}} | train
        options = {"width": 24, "dropout": 0.1} if options is None else options
        return model_settings(arch, options, **changes)

    return make


@pytest.fixture
def method_of(settings_of, meta):
    """Makes the method of such a block."""
    return lambda kind=None, **train: build_method(settings_of(kind or {}, **train), meta)


def convolutions(dropout: float = 0.2) -> nn.Sequential:
    """Two blocks of maps with a pooling, and a linear one, for 8x8 images of three classes."""
    torch.manual_seed(1)
    return nn.Sequential(
        conv_block(1, 4, dropout=dropout, activation="leaky_relu"),
        nn.MaxPool2d(2),
        conv_block(4, 8, dropout=dropout),
        nn.Flatten(),
        linear_block(128, 12, dropout=dropout),
        nn.Linear(12, 3),
    )


def some(n: int = 12) -> tuple[Tensor, Tensor]:
    """Noise as images, and labels."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


# Similarities, by the source's numbers.


def labels_of(*labels: int, classes: int = 10) -> Tensor:
    return functional.one_hot(torch.tensor(labels), classes).double()


def off_diagonal(x: Tensor) -> float:
    return local.similarity(x)[0, 1].item()


A = [[0, 2, 4, 6], [1, 1, 1, 1], [0, 0, 0, 4], [3, 3, 5, 5]]
B = [[1, 1, 3, 3], [0, 6, 0, 6], [2, 2, 2, 2], [0, 0, 0, 8]]


def test_similarities_of_rows():
    x = torch.tensor([[1.0, 2, 3], [3, 2, 1], [1, 0, 2]]).double()
    found = local.similarity(x)
    expected = torch.tensor([[1, -1, 0.5], [-1, 1, -0.5], [0.5, -0.5, 1]]).double()
    torch.testing.assert_close(found, expected)
    wanted = local.similarity(labels_of(0, 1, 0))
    assert [wanted[0, 1], wanted[0, 2], wanted[1, 2]] == pytest.approx([-1 / 9, 1, -1 / 9])
    assert functional.mse_loss(found, wanted).item() == pytest.approx(0.2647462, abs=1e-7)
    assert off_diagonal(labels_of(0, 1, classes=2)) == pytest.approx(-1)


def test_similarities_of_maps_are_of_their_standard_deviations():
    maps = torch.tensor([A, B]).double().view(2, 4, 2, 2)
    assert off_diagonal(maps) == pytest.approx(-0.7471175, abs=1e-7)
    loss = functional.mse_loss(local.similarity(maps), local.similarity(labels_of(0, 1)))
    assert loss.item() == pytest.approx(0.2022520, abs=1e-7)
    shuffled = maps.flatten(2)[..., torch.randperm(4)].view_as(maps)
    offset = shuffled + torch.tensor([5.0, 0, -3, 2]).view(4, 1, 1)
    torch.testing.assert_close(local.similarity(offset), local.similarity(maps))


def test_similarities_of_few_maps_or_of_a_row_are_of_all_values():
    maps = torch.tensor([A, B]).double().view(2, 4, 2, 2)
    assert off_diagonal(maps.flatten(1)) == pytest.approx(0.1452786, abs=1e-7)
    assert off_diagonal(maps[:, :, :1, :1]) == pytest.approx(-0.7385489, abs=1e-7)
    for flattened in (maps[:, :3], maps[:, :, :1]):
        assert off_diagonal(flattened) == pytest.approx(off_diagonal(flattened.flatten(1)))


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(2, 40))
def test_similarities_are_correlations(seed, n, width):
    x = torch.randn(n, width, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    found = local.similarity(x)
    torch.testing.assert_close(found, torch.corrcoef(x))
    assert found.abs().max() <= 1
    torch.testing.assert_close(local.similarity(7 * x - 3), found)


@pytest.mark.parametrize("x", [torch.zeros(3, 5), torch.full((3, 5), 0.3), torch.zeros(3, 5, 2, 2)])
def test_examples_that_are_constant_have_no_gradient(x):
    x = x.clone()
    x[1] = torch.linspace(-1, 2, x[1].numel()).view_as(x[1]) ** 2
    x.requires_grad_()
    found = local.similarity(x)
    assert (
        found.isfinite().all()
        and found[0].abs().sum() == 0
        and found[1, 1].item() == pytest.approx(1)
    )
    loss = functional.mse_loss(found, local.similarity(labels_of(0, 1, 1).float()))
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient.isfinite().all() and gradient[0].abs().sum() == 0


def test_maps_of_one_deviation_have_no_gradient():
    """The deviations are all the same and positive: the source's root is not a number there."""
    x = torch.tensor([[1.0, -1], [-1, 1]]).repeat(3, 5, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad((local.similarity(x) - 1).square().sum(), x)
    assert gradient.abs().sum() == 0


# A linear block, by the source's numbers.


@pytest.fixture
def by_hand(method_of):
    """Gradients of a block of three units over two inputs; their names and the local loss."""

    def find(kind: dict):
        method = method_of(kind)
        method.meta = replace(method.meta, classes=["a", "b"])
        block = Block(nn.Linear(2, 3), nn.ReLU())
        network = nn.Sequential(block, nn.Linear(3, 2))
        h = torch.zeros(1, 3)
        training_module = nn.Module()
        training_module.network, training_module.heads = network, nn.ModuleList()
        training_module.heads.append(local.Head(h, 2, method.choices))
        with torch.no_grad():
            block[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1], [1, 1]]))
            block[0].bias.zero_()
            for name, p in training_module.heads.named_parameters():
                p.copy_(torch.eye(3)) if "compare" in name else p.zero_()
        x, y = torch.tensor([[1.0, 2], [3, -1], [2, 0.5]]), torch.tensor([0, 1, 1])
        found, _, _ = method.gradients(training_module, x, y, 1.0)
        names = [name for name, _ in training_module.named_parameters()]
        h = block(x)
        return (
            dict(zip(names, found, strict=True)),
            method.block_loss(training_module.heads[0], h, y),
            h,
        )

    return find


SIM_WEIGHT = [[-0.5566404, 0.3792624], [-0.3190292, -0.9057862], [0.9660194, 0.4964073]]
SIM_BIAS = [-0.1301995, -0.3955229, 0.5558390]


def close(found: Tensor, expected: list, scale: float = 1.0) -> None:
    torch.testing.assert_close(found, scale * torch.tensor(expected), atol=1e-6, rtol=0)


def test_pred_by_hand(by_hand):
    found, loss, h = by_hand({"loss": "pred"})
    close(h, [[1, 2, 3], [3, 0, 2], [2, 0.5, 2.5]])
    assert loss.item() == pytest.approx(0.6931472, abs=1e-6)
    row = [0.6666667, -0.25, 0.25]
    close(found["heads.0.predict.2.weight"], [row, [-x for x in row]])
    close(found["heads.0.predict.2.bias"], [0.1666667, -0.1666667])
    assert found["network.0.0.weight"].abs().sum() == 0


def test_sim_by_hand(by_hand):
    found, loss, h = by_hand({"loss": "sim"})
    matrix = local.similarity(h)
    close(matrix[[0, 0, 1], [1, 2, 2]], [-0.3273268, 0.2401922, 0.8386279])
    assert loss.item() == pytest.approx(0.4481348, abs=1e-6)
    close(found["network.0.0.weight"], SIM_WEIGHT)
    close(found["network.0.0.bias"], SIM_BIAS)


@pytest.mark.parametrize(("beta", "expected"), [(0.99, 0.4505850), (0.01, 0.6906971)])
def test_predsim_by_hand(by_hand, beta, expected):
    found, loss, _ = by_hand({"loss": "predsim", "beta": beta})
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    close(found["network.0.0.weight"], SIM_WEIGHT, beta)
    close(found["network.0.0.bias"], SIM_BIAS, beta)
    assert found["heads.0.predict.2.bias"][0].item() == pytest.approx((1 - beta) / 6, abs=1e-6)


# The pooling before a decoder.

# Maps, side, limit, kernel, padding, inputs of the decoder.
POOL_TABLE = """
128 28 1024 16,8 8,4 1024
256 28 1024 16,16 8,8 1024
256 14 1024 8,8 4,4 1024
512 14 1024 16,8 8,4 1024
512 7 1024 8,4 4,2 1024
512 3 1024 4,2 2,1 1024
128 28 2048 8,8 4,4 2048
256 28 2048 16,8 8,4 2048
256 14 2048 8,4 4,2 2048
512 14 2048 8,8 4,4 2048
512 7 2048 4,4 2,2 2048
512 3 2048 2,2 1,1 2048
128 28 4096 8,4 4,0 3584
256 28 4096 8,8 4,4 4096
256 14 4096 4,4 2,2 4096
512 14 4096 8,4 4,2 4096
512 7 4096 4,2 2,1 4096
512 3 4096 2,1 1,0 3072
512 28 4096 16,8 8,4 4096
1024 14 4096 8,8 4,4 4096
1024 7 4096 4,4 2,2 4096
1024 3 4096 2,2 1,1 4096
128 32 1024 16,8 0,0 1024
256 32 1024 16,16 0,0 1024
256 16 1024 8,8 0,0 1024
512 16 1024 16,8 0,0 1024
512 8 1024 8,4 0,0 1024
512 4 1024 4,2 0,0 1024
128 32 2048 8,8 0,0 2048
256 32 2048 16,8 0,0 2048
256 16 2048 8,4 0,0 2048
512 16 2048 8,8 0,0 2048
512 8 2048 4,4 0,0 2048
512 4 2048 2,2 0,0 2048
128 32 4096 8,4 0,0 4096
256 32 4096 8,8 0,0 4096
256 16 4096 4,4 0,0 4096
512 16 4096 8,4 0,0 4096
512 8 4096 4,2 0,0 4096
512 4 4096 2,1 0,0 4096
384 32 4096 16,8 0,0 3072
768 32 4096 16,16 0,0 3072
768 16 4096 8,8 0,0 3072
1536 16 4096 16,8 0,0 3072
1536 8 4096 8,4 0,0 3072
1536 4 4096 4,2 0,0 3072
128 48 2048 16,16 0,0 1152
256 48 2048 32,16 16,0 1536
256 24 2048 16,8 8,0 1536
512 24 2048 16,16 8,8 2048
512 12 2048 8,8 4,4 2048
512 6 2048 4,4 2,2 2048
128 48 4096 16,8 0,0 2304
256 48 4096 16,16 0,0 2304
256 24 4096 8,8 0,0 2304
512 24 4096 16,8 8,0 3072
512 12 4096 8,4 4,0 3072
512 6 4096 4,2 2,0 3072
1536 4 1024 4,4 0,0 1536
"""


def test_decoder_pools_of_the_source():
    rows = [line.split() for line in POOL_TABLE.strip().splitlines()]
    for maps, side, limit, kernel, padding, inputs in rows:
        h = torch.zeros(1, int(maps), int(side), int(side), device="meta")
        pool = local.decoder_pool(h, int(limit))
        found = ["{},{}".format(*pair) for pair in (pool.kernel_size, pool.padding)]
        assert [*found, pool(h).numel()] == [kernel, padding, int(inputs)], (maps, side, limit)


def test_a_decoder_pool_counts_the_zeros_around_a_map():
    ones = torch.ones(1, 1, 3, 3)
    pool = nn.AvgPool2d(2, padding=1)
    close(pool(ones)[0, 0], [[0.25, 0.5], [0.5, 1]])
    close(local.decoder_pool(torch.ones(1, 512, 3, 3), 2048)(ones)[0, 0], [[0.25, 0.5], [0.5, 1]])
    wide = local.decoder_pool(torch.ones(1, 128, 28, 28), 1024)(torch.ones(1, 1, 28, 28))
    close(wide[0, 0], [[0.25, 0.5, 0.5, 0.5], [0.5, 1, 1, 1]])


def test_nothing_is_pooled_that_is_small_enough():
    for h in (torch.zeros(1, 5000), torch.zeros(1, 4, 8, 8)):
        assert isinstance(local.decoder_pool(h, 256), nn.Identity)


# Parameters, with heads, as the source's code has them.

# Network, options, channels, pixels, classes, limit of the decoder; network alone, with pred, sim
# and predsim heads.
COUNTS = [
    ("mlp", {}, 1, 28, 10, 4096, 2_919_434, 2_950_184, 6_065_162, 6_095_912),
    ("mlp", {"width": 3000}, 3, 32, 100, 4096, 27_543_100, 28_443_400, 54_543_100, 55_443_400),
    ("vgg8b", {}, 1, 28, 10, 1024, 7_328_266, 7_400_016, 16_781_834, 16_853_584),
    ("vgg8b", {"multiplier": 2}, 1, 28, 10, 4096, 28_209_162, 28_465_232, 62_877_706, 63_133_776),
    ("vgg8b", {}, 3, 32, 10, 2048, 8_903_434, 9_036_624, 18_357_002, 18_490_192),
    ("vgg8b", {}, 3, 32, 100, 4096, 8_995_684, 11_556_384, 18_449_252, 21_009_952),
    ("vgg8b", {}, 3, 96, 10, 2048, 11_540_234, 11_654_224, 20_993_802, 21_107_792),
    ("vgg11b", {}, 1, 28, 10, 1024, 9_984_778, 10_087_278, 22_092_554, 22_195_054),
    ("vgg11b", {}, 3, 32, 10, 2048, 11_559_946, 11_754_606, 23_667_722, 23_862_382),
    ("vgg11b", {"multiplier": 2}, 3, 32, 10, 4096, 41_980_938, 42_359_918, 87_266_314, 87_645_294),
    ("vgg11b", {"multiplier": 3}, 3, 32, 100, 4096, 91_368_548, 94_236_748, 191_949_924,
     194_818_124),
]  # fmt: skip


@pytest.mark.parametrize("row", COUNTS, ids=lambda row: f"{row[0]}-{row[2:6]}")
def test_counts_with_heads(settings_of, meta, row):
    arch, options, channels, size, classes, decoder, alone, *counts = row
    seen = replace(meta, channels=channels, image_size=size, classes=[""] * classes)
    for loss, count in zip(("pred", "sim", "predsim"), counts, strict=True):
        settings = settings_of({"loss": loss, "decoder": decoder}, arch, options)
        with torch.device("meta"):
            method = build_method(settings, seen)
            network = method.network()
            training_module = method.training_module(network, 0)
        assert count_parameters(training_module) == count
        assert count_parameters(network) == alone


# Blocks learn on their own.


def begin(method, network: nn.Module | None = None):
    """A training_module whose heads and output layer are not 0, in train mode."""
    torch.manual_seed(5)
    training_module = method.training_module(
        convolutions() if network is None else network, 0
    ).train()
    with torch.no_grad():
        for p in training_module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return training_module


def reseed(network: nn.Module) -> None:
    """Let dropout draw the same again."""
    for layer in network.modules():
        if hasattr(layer, "random"):
            layer.random = type(layer.random)(type(layer.random.bit_generator)(7))


def gradients(method, training_module, images, labels) -> dict[str, Tensor]:
    reseed(training_module)
    found, _, _ = method.gradients(training_module, images, labels, 1.0)
    return dict(zip((name for name, _ in training_module.named_parameters()), found, strict=True))


@of_every_kind
def test_gradients_are_those_of_all_losses_added_up_with_outputs_detached(method_of, kind):
    """One backward pass over the sum gives the same, so the order of the blocks does not matter."""
    method = method_of(kind)
    training_module, (images, labels) = begin(method), some()
    found = gradients(method, training_module, images, labels)
    reseed(training_module)
    total, x, heads = 0.0, images, iter(training_module.heads)
    for layer in list(training_module.network)[:-1]:
        if isinstance(layer, Block):
            h = layer[2](layer[1](layer[0](x)))
            total = total + method.block_loss(next(heads), h, labels)
            x = layer[3](h).detach()
        else:
            x = layer(x)
    scale = 1 - kind.get("beta", 0.99) if kind["loss"] == "predsim" else 1
    total = total + scale * functional.cross_entropy(training_module.network[-1](x), labels)
    total.backward()
    for name, p in training_module.named_parameters():
        torch.testing.assert_close(found[name], p.grad, msg=name)
        assert p.grad.abs().sum() > 0 or "bias" in name


BLOCKS = [0, 2, 4]  # of `convolutions`


def place(name: str) -> int:
    """Index of the part of the network that a parameter belongs to, or whose loss it serves."""
    part, index = name.split(".")[:2]
    return int(index) if part == "network" else BLOCKS[int(index)]


@of_every_kind
@pytest.mark.parametrize("number", [2, 4, 5])
def test_no_gradient_crosses_a_block(method_of, kind, number):
    """Changes to blocks from one onwards, and to their heads, do not affect the blocks before."""
    method = method_of(kind)
    training_module, (images, labels) = begin(method), some()
    before = gradients(method, training_module, images, labels)
    with torch.no_grad():
        for name, p in training_module.named_parameters():
            if place(name) >= number:
                p.mul_(-1.7)
    after = gradients(method, training_module, images, labels)
    for name in before:
        assert torch.equal(before[name], after[name]) == (place(name) < number), name


@of_every_kind
def test_a_block_learns_as_if_it_were_trained_alone(method_of, kind):
    """With its own optimizer, on the outputs of the blocks before it: the same bits."""
    method = method_of(kind)
    training_module, (images, labels) = begin(method), some()
    block, head = (
        copy.deepcopy(module) for module in (training_module.network[2], training_module.heads[1])
    )
    optimizer = Adam(training_module.parameters(), 0.01, fused=True)
    alone = Adam([*block.parameters(), *head.parameters()], 0.01, fused=True)
    seen: list[Tensor] = []
    training_module.network[1].register_forward_hook(lambda *args: seen.append(args[2]))
    for _ in range(4):
        found, _, _ = method.gradients(training_module, images, labels, 1.0)
        for p, gradient in zip(training_module.parameters(), found, strict=True):
            p.grad = gradient
        optimizer.step()
        alone.zero_grad()
        method.block_loss(head, block[:3](seen[-1]), labels).backward()
        alone.step()
    pairs = ((training_module.network[2], block), (training_module.heads[1], head))
    for (name, ours), other in (
        pair
        for module, own in pairs
        for pair in zip(module.named_parameters(), own.parameters(), strict=True)
    ):
        assert torch.equal(ours, other), name
    assert torch.equal(training_module.network[2][1].running_mean, block[1].running_mean)
    assert len(seen) == 4 and not any(x.requires_grad for x in seen)


@pytest.mark.parametrize("multiplier", [0.02, 0.1])
def test_gradients_lie_in_memory_as_their_parameters_do(settings_of, meta, multiplier):
    """A fused optimizer takes both as plain rows of values; 0.02 has maps as torch lays them."""
    options = {"multiplier": multiplier}
    method = build_method(settings_of({}, "vgg8b", options), replace(meta, image_size=16))
    training_module = method.training_module(method.network(), 0)
    found, _, _ = method.gradients(
        training_module, torch.randn(4, 1, 16, 16), torch.arange(4) % 3, 1.0
    )
    for (name, p), gradient in zip(training_module.named_parameters(), found, strict=True):
        assert p.stride() == gradient.stride(), name


# The first step.


@of_every_kind
def test_predictors_and_output_layer_begin_at_zero(method_of, kind):
    method = method_of(kind)
    training_module, (images, labels) = method.training_module(convolutions(), 0), some()
    assert (
        training_module.network[5].weight.abs().sum()
        == 0
        < training_module.network[5].bias.abs().sum()
    )
    bio = kind.get("bio", False)
    for head in training_module.heads:
        if "pred" not in kind["loss"]:
            continue
        decoder = head.predict[2]
        assert decoder.weight.abs().sum() == 0
        assert (decoder.bias.abs().sum() == 0) == bio
    if kind["loss"] == "pred":
        loss = method.block_loss(
            training_module.heads[0], training_module.network[0](images), labels
        ).item()
        assert loss == pytest.approx(math.log(2 if bio else 3), abs=1e-6 if bio else 0.3)
        found = gradients(method, training_module, images, labels)
        moved = found["network.0.0.weight"].abs().sum() > 0
        assert moved == bio  # feedback reaches the block at once, backpropagation does not


def test_an_output_layer_from_a_file_is_kept(method_of, tmp_path):
    method = method_of(weights="pretrained/some.pth")
    network = convolutions()
    before = network[5].weight.clone()
    method.training_module(network, 0)
    assert torch.equal(network[5].weight, before)


# Without backpropagation.


def test_feedback_takes_other_weights_back():
    layer = local.FeedbackLinear(6, 4)
    assert layer.feedback.shape == (4, 6) and layer.feedback.abs().max() <= 1 / math.sqrt(6)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x, out_gradient = torch.randn(5, 6, requires_grad=True), torch.randn(5, 4)
    plain = nn.Linear(6, 4)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "feedback"})
    out = layer(x)
    assert torch.equal(out, plain(x))
    of_x, *found = torch.autograd.grad(out, [x, layer.weight, layer.bias], out_gradient)
    torch.testing.assert_close(of_x, out_gradient @ layer.feedback)
    expected = torch.autograd.grad(plain(x), [plain.weight, plain.bias], out_gradient)
    torch.testing.assert_close(found, list(expected))


def test_bio_targets_are_random_and_fixed(method_of):
    method = method_of({"loss": "predsim", "bio": True})
    training_module, (images, labels) = begin(method), some()
    fixed = {name: b.clone() for name, b in training_module.named_buffers() if place(name) >= 0}
    fixed = {k: v for k, v in fixed.items() if k.endswith(("projection", "feedback"))}
    assert len(fixed) == 6
    projections = [head.projection for head in training_module.heads]
    assert all(p.shape == (128, 3) and p.abs().max() <= 1 / math.sqrt(3) for p in projections)
    assert len({p.numpy().tobytes() for p in projections}) == 3
    wanted = training_module.heads[0].wanted(labels)
    assert wanted.shape == (12, 128) and torch.equal(wanted[0], wanted[3])
    torch.testing.assert_close(wanted[1], projections[0][:, 1])
    trained = dict(training_module.named_parameters())
    assert not trained.keys() & fixed.keys()
    found = gradients(method, training_module, images, labels)
    assert found.keys() == trained.keys()
    for name, before in fixed.items():
        assert torch.equal(training_module.get_buffer(name), before)


def test_bio_compares_what_the_block_gives(method_of):
    method = method_of({"loss": "sim", "bio": True, "decoder": 64})
    training_module, (images, labels) = begin(method), some()
    h = local.split(training_module.network[0])[0](images)
    pooled = functional.avg_pool2d(h, (2, 2))  # 4 maps of 8x8 to 64 values
    expected = functional.mse_loss(
        local.similarity(pooled), local.similarity(training_module.heads[0].wanted(labels))
    )
    torch.testing.assert_close(method.block_loss(training_module.heads[0], h, labels), expected)
    assert not list(training_module.heads.parameters())


# Targets and precision.


@of_every_kind
def test_mixed_targets_that_are_not_mixed_are_labels(method_of, kind):
    method = method_of(kind)
    training_module, (images, labels) = begin(method), some()
    hard = gradients(method, training_module, images, labels)
    soft = gradients(method, training_module, images, functional.one_hot(labels, 3).float())
    torch.testing.assert_close(hard, soft)


def test_label_smoothing_and_class_weights_count_in_pred(method_of):
    method = method_of({"loss": "pred"}, label_smoothing=0.1)
    method.class_weights = torch.tensor([1.0, 2, 3])
    training_module, (images, labels) = begin(method), some()
    h = local.split(training_module.network[0])[0](images)
    logits = training_module.heads[0].predict(h)
    torch.testing.assert_close(
        method.block_loss(training_module.heads[0], h, labels), method.cross_entropy(logits, labels)
    )


@of_every_kind
def test_bf16_is_near_fp32(method_of, kind):
    exact, rough = method_of(kind), method_of(kind, precision="bf16")
    training_module, (images, labels) = begin(exact, convolutions(dropout=0)), some(48)
    for name, found in gradients(exact, training_module, images, labels).items():
        if name.endswith("0.bias"):  # before a norm: 0 but for rounding
            continue
        other = gradients(rough, training_module, images, labels)[name]
        assert other.dtype == torch.float32
        assert functional.cosine_similarity(found.flatten(), other.flatten(), dim=0) > 0.95, name


# Whole trainings.


@pytest.fixture
def trained(settings_of, toy_images, meta, watcher):
    """Trains on toy images."""

    def run(kind: dict, **train) -> Training:
        settings = settings_of(kind, **{"epochs": 6, **train})
        training = Training(build_method(settings, meta), toy_images(90), toy_images(30, 1), seed=1)
        training.run(watcher)
        return training

    return run


def local_losses(training: Training, images: Tensor, labels: Tensor) -> list[float]:
    """The loss of every block on a batch, without dropout."""
    x, found, heads = images, [], iter(training.module.heads)
    training.module.train()
    for layer in training.network[:-1]:
        x = local.split(layer)[0](x) if isinstance(layer, Block) else layer(x)
        if isinstance(layer, Block):
            found.append(training.method.block_loss(next(heads), x, labels).item())
    return found


@of_every_kind
def test_every_block_learns(trained, settings_of, toy_images, meta, kind):
    training = trained(kind, epochs=20)
    assert training.curve[-1].validation_accuracy > 0.9  # a third is chance
    images, labels = next(training.batches.run(torch.arange(90), 1))
    fresh = Training(build_method(settings_of(kind), meta), toy_images(90), None, seed=1)
    before, after = (local_losses(t, images, labels) for t in (fresh, training))
    assert len(before) == 3 and all(b < a / 2 for a, b in zip(before, after, strict=True))


def test_kinds_of_loss_end_elsewhere_from_one_start(trained, settings_of, toy_images, meta):
    starts = [
        Training(build_method(settings_of(k), meta), toy_images(90), None, seed=1) for k in KINDS
    ]
    first = {t.network[1][0].weight.detach().numpy().tobytes() for t in starts}
    last = {trained(k, epochs=1).network[1][0].weight.detach().numpy().tobytes() for k in KINDS}
    assert len(first) == 1 and len(last) == len(KINDS)


def test_evaluation_needs_neither_labels_nor_heads(trained, toy_images, tmp_path):
    training = trained({})
    classifier, data = training.classifier(), toy_images(30, 1)
    logits = classifier.logits(data.images)
    assert (classifier.logits(data.images) == logits).all()
    del training.module.heads
    assert (classifier.logits(data.images) == logits).all()
    assert evaluate(classifier, data)[1] == training.curve[-1].validation_accuracy


def test_weights_file_has_the_network_alone(settings_of, toy_images, meta, watcher, tmp_path):
    settings = settings_of({}, epochs=1)
    classifier, _ = fit(build_method(settings, meta), toy_images(50), None, seed=0, watcher=watcher)
    path = tmp_path / "0.safetensors"
    save_weights(path, classifier, settings)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(build(settings, **meta.shape).state_dict())
    loaded, images = load_weights(path, torch.device("cpu")), toy_images(9).images
    assert (loaded.logits(images) == classifier.logits(images)).all()


@of_every_kind
def test_the_same_seed_gives_the_same_bits(trained, kind):
    def bits(training: Training) -> dict[str, bytes]:
        return {k: v.numpy().tobytes() for k, v in training.module.state_dict().items()}

    assert bits(trained(kind, epochs=1)) == bits(trained(kind, epochs=1))


# What is refused.


OF_BLOCKS = {"mlp", "vgg8b", "vgg11b", "vgg11"}


def test_which_networks_are_of_blocks():
    for name in NETWORKS.entries:
        with torch.device("meta"):
            network = create_model(name, in_channels=1, image_size=28, num_classes=10)
        expected = name in OF_BLOCKS or name.startswith("simplenet")
        assert local.is_of_blocks(network) == expected, name


@pytest.mark.parametrize(
    ("arch", "train", "what"),
    [
        ("cnn_c", {}, "cnn_c is not"),
        ("mlp", {"patches": {"size": 4, "mode": "permute"}}, "mlp in patches is not"),
        ("mlp", {"patches": {"size": 4, "mode": "shared"}}, "mlp in patches is not"),
    ],
)
def test_other_networks_are_refused(settings_of, meta, arch, train, what):
    method = build_method(settings_of({}, arch, {}, **train), meta)
    with pytest.raises(ValueError, match=f"^models.toy, method: local: the network .*; {what}"):
        method.training_module(method.network(), 0)


@pytest.mark.parametrize("kind", [{"loss": "sim"}, {}, {"loss": "pred", "bio": True}])
def test_class_weights_need_a_cross_entropy(method_of, kind):
    with pytest.raises(ValueError, match="models.toy, method: local: class_weights must be null"):
        method_of(kind, class_weights="balanced")
    assert method_of({"loss": "pred"}, class_weights="balanced")


@pytest.mark.parametrize(
    ("train", "what"),
    [
        ({"clip": 1.0}, "clip must be null for method: local"),
        ({"optimizer": "muon"}, "optimizer can't be muon for method: local"),
    ],
)
def test_what_ties_blocks_together_is_refused(settings_of, train, what):
    with pytest.raises(ValueError, match=what):
        settings_of({}, **train)


def test_batches_stay_whole(settings_of):
    with pytest.raises(ValueError, match="threads must be 1 for method: local, got 2"):
        settings_of({}, threads=2)


@pytest.mark.parametrize("beta", [1.0, -0.1])
def test_beta_leaves_something_to_the_output_layer(settings_of, beta):
    with pytest.raises(ValueError, match="method 'local': beta must be"):
        settings_of({"beta": beta})
