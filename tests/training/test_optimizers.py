"""Optimizers: two steps by hand from weight 1, gradient 0.5, then 0.25; torch's; all on a toy."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, nn

from thumbnets.choices import Choice
from thumbnets.registry import OPTIMIZERS
from thumbnets.training.initialisation import initialise
from thumbnets.training.optimizers import build_optimizer, orthogonalise

LR, M, DECAY = 0.1, 0.9, 0.01


@pytest.fixture
def weights(train_settings):
    """The weight after each of the two steps."""

    def after_steps(optimizer, momentum: float = M, decay: float = DECAY) -> list[float]:
        settings = train_settings(optimizer=optimizer, lr=LR, momentum=momentum, weight_decay=decay)
        weight = nn.Parameter(torch.ones(1))
        build = build_optimizer(nn.ParameterList([weight]), settings)
        seen = []
        for gradient in (0.5, 0.25):
            weight.grad = torch.tensor([gradient])
            build.step()
            seen.append(weight.item())
        return seen

    return after_steps


def test_sgd(weights):
    v1 = 0.5 + DECAY * 1
    w1 = 1 - LR * v1  # 0.949
    v2 = M * v1 + 0.25 + DECAY * w1
    assert weights("sgd") == pytest.approx([0.949, w1 - LR * v2])
    assert weights("sgd", momentum=0.0, decay=0.0) == pytest.approx([0.95, 0.925])


def test_sgd_with_nesterov_momentum(weights):
    g1 = 0.5 + DECAY * 1
    w1 = 1 - LR * (g1 + M * g1)  # 0.9031
    g2 = 0.25 + DECAY * w1
    v2 = M * g1 + g2
    expected = [0.9031, w1 - LR * (g2 + M * v2)]
    assert weights({"name": "sgd", "nesterov": True}) == pytest.approx(expected)


def test_adam_takes_momentum_as_its_first_beta(weights):
    b1, b2, eps = 0.8, 0.99, 1e-8
    w, m, v = 1.0, 0.0, 0.0
    expected = []
    for t, gradient in enumerate((0.5, 0.25), 1):
        g = gradient + DECAY * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w -= LR * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        expected.append(w)
    assert expected[0] == pytest.approx(0.9)  # the first step is the learning rate
    assert weights({"name": "adam", "beta2": b2}, momentum=b1) == pytest.approx(expected)


def test_adamw_decays_apart_from_the_gradient(weights):
    w, m, v = 1.0, 0.0, 0.0
    expected = []
    for t, g in enumerate((0.5, 0.25), 1):
        w *= 1 - LR * DECAY
        m, v = M * m + (1 - M) * g, 0.999 * v + 0.001 * g**2
        w -= LR * (m / (1 - M**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        expected.append(w)
    assert weights("adamw") == pytest.approx(expected)
    assert weights("adamw") != pytest.approx(weights("adam"), abs=1e-5)


def test_rmsprop(weights):
    alpha = 0.9
    w, v, buffer = 1.0, 0.0, 0.0
    expected = []
    for gradient in (0.5, 0.25):
        g = gradient + DECAY * w
        v = alpha * v + (1 - alpha) * g**2
        buffer = M * buffer + g / (math.sqrt(v) + 1e-8)
        w -= LR * buffer
        expected.append(w)
    assert weights({"name": "rmsprop", "alpha": alpha}) == pytest.approx(expected)


def test_adadelta_has_no_momentum(weights):
    rho, eps = 0.8, 1e-6
    w, square, path = 1.0, 0.0, 0.0
    expected = []
    for gradient in (0.5, 0.25):
        g = gradient + DECAY * w
        square = rho * square + (1 - rho) * g**2
        step = math.sqrt(path + eps) / math.sqrt(square + eps) * g
        path = rho * path + (1 - rho) * step**2
        w -= LR * step
        expected.append(w)
    assert weights({"name": "adadelta", "rho": rho}) == pytest.approx(expected)
    assert weights("adadelta", momentum=0.0) == weights("adadelta")


# Layer by layer: a matrix of norm 5 and a bias.


@pytest.fixture
def layer(train_settings):
    """Matrix [[3, 4]] (or another) and bias [1] after steps with the given gradients."""

    def after(gradients: list, matrix=(3.0, 4.0), **changes) -> list[tuple]:
        network = nn.Linear(2, 1)
        network.weight.data[:] = torch.tensor([matrix])
        network.bias.data.fill_(1.0)
        optimizer = build_optimizer(network, train_settings(**changes))
        seen = []
        for *of_matrix, of_bias in gradients:
            network.weight.grad = torch.tensor([of_matrix])
            network.bias.grad = torch.tensor([of_bias])
            optimizer.step()
            seen.append((*network.weight[0].tolist(), network.bias.item()))
        return seen

    return after


def test_lars_scales_a_gradient_by_the_ratio_of_norms(layer):
    settings = {"optimizer": {"name": "lars", "trust": 0.1}, "lr": 0.5, "momentum": 0.5}
    (one, two) = layer([(0.0, 2.0, 0.5), (0.0, 0.0, 0.0)], weight_decay=0.1, **settings)
    # 0.1 * 5 / (2 + 0.1 * 5) = 0.2, times gradient and decay (0.3, 2.4); the bias: 0.5 + 0.1
    assert one == pytest.approx((3 - 0.5 * 0.06, 4 - 0.5 * 0.48, 1 - 0.5 * 0.6))
    # no gradient, no ratio: decay alone, after half the step before
    moved = 3 - 0.03 - (0.5 * 0.03 + 0.5 * 0.1 * 2.97), 4 - 0.24 - (0.5 * 0.24 + 0.5 * 0.1 * 3.76)
    assert two == pytest.approx((*moved, 1 - 0.3 - (0.5 * 0.3 + 0.5 * 0.1 * 0.7)))


def test_the_first_step_of_lamb_is_as_long_as_the_weights(layer):
    settings = {"optimizer": "lamb", "lr": 0.1}
    (one,) = layer([(0.01, -7.0, 0.5)], **settings)
    # Adam's first step is the sign, here of norm sqrt 2
    ratio = 5 / math.sqrt(2)
    assert one == pytest.approx((3 - 0.1 * ratio, 4 + 0.1 * ratio, 1 - 0.1), rel=1e-4)
    (one,) = layer([(0.01, -7.0, 0.5)], matrix=(0.0, 0.0), **settings)
    assert one == pytest.approx((-0.1, 0.1, 0.9), rel=1e-4)  # no weights, no ratio


def test_lamb_is_adam_with_decay_times_the_ratio(layer):
    gradients = [(0.5, -0.2, 0.1), (0.3, 0.4, -0.2), (-0.1, 0.2, 0.3)]
    beta2, decay, lr = 0.99, 0.1, 0.05
    w, b = np.array([3.0, 4.0]), np.array([1.0])
    m, v = np.zeros(3), np.zeros(3)
    expected = []
    for t, g in enumerate(map(np.array, gradients), 1):
        m, v = M * m + (1 - M) * g, beta2 * v + (1 - beta2) * g**2
        step = m / (1 - M**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-6)
        of_w, of_b = step[:2] + decay * w, step[2:] + decay * b
        w = w - lr * np.linalg.norm(w) / np.linalg.norm(of_w) * of_w
        b = b - lr * of_b
        expected.append((*w, *b))
    settings = {"optimizer": {"name": "lamb", "beta2": beta2}, "lr": lr, "weight_decay": decay}
    assert np.allclose(layer(gradients, **settings), expected, rtol=1e-5)


# Muon.


def matrices(low: int = 1, high: int = 12):
    sides = st.integers(low, high)
    return st.builds(
        lambda rows, columns, seed: torch.randn(
            rows, columns, generator=Generator().manual_seed(seed)
        ),
        sides,
        sides,
        st.integers(0, 10_000),
    )


@given(matrices(), st.floats(1e-3, 1e3))
def test_orthogonalised_singular_values_are_near_1_and_vectors_stay(matrix, scale):
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    near = left.T @ orthogonalise(matrix * scale) @ right.T  # diagonal, if the vectors stay
    assert (near - near.diag().diag()).abs().max() < 1e-3
    large = values > 0.002 * matrix.norm()
    assert (near.diag()[large] > 0.65).all() and (near.diag() < 1.2).all()


def perceptron(sizes=(6, 7, 4, 3)) -> nn.Sequential:
    network = nn.Sequential(*[nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)])
    initialise(network, Choice(name="he", options={}), Generator().manual_seed(0))
    return network


def give_gradients(network: nn.Module, seed: int) -> None:
    generator = Generator().manual_seed(seed)
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("sizes", [(6, 7, 4, 3), (6, 4, 7, 3)])
def test_muon_is_torchs_for_hidden_matrices_and_its_adamw_for_the_rest(train_settings, sizes):
    ours, theirs = perceptron(sizes), perceptron(sizes)
    settings = train_settings(optimizer="muon", lr=0.02, momentum=0.95, weight_decay=0.1)
    optimizer = build_optimizer(ours, settings)
    hidden = theirs[1].weight
    rest = [p for p in theirs.parameters() if p is not hidden]
    reference = [
        torch.optim.Muon([hidden], lr=0.02, momentum=0.95, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=0.002, betas=(0.95, 0.95), weight_decay=0.1, eps=1e-10),
    ]
    for seed in range(4):
        for network in (ours, theirs):
            give_gradients(network, seed)
        for each in (optimizer, *reference):
            each.step()
    of = [p for p in ours.parameters() if p is not ours[1].weight]
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(of, rest, strict=True))
    start = perceptron(sizes)[1].weight
    assert (ours[1].weight - hidden).norm() < 0.02 * (hidden - start).norm()  # torch: bfloat16


def test_muon_takes_a_kernel_as_a_matrix_in_any_memory_format(train_settings):
    def kernel(memory_format: torch.memory_format) -> torch.Tensor:
        network = nn.Sequential(*[nn.Conv2d(2, 2, 3, bias=False) for _ in range(3)])
        network = network.to(memory_format=memory_format)
        for p in network.parameters():
            p.data.zero_()
        give_gradients(network, 0)
        build_optimizer(network, train_settings(optimizer="muon", lr=1.0)).step()
        return network[1].weight.detach()

    step = kernel(torch.contiguous_format)
    rows = step.reshape(2, 18)
    assert torch.allclose(torch.linalg.svdvals(rows), torch.ones(2), atol=0.35)
    assert torch.equal(step, kernel(torch.channels_last))


def test_muon_refuses_a_network_without_hidden_layers(train_settings):
    with pytest.raises(ValueError, match="muon trains what lies between .* choose another"):
        build_optimizer(perceptron((6, 7, 3)), train_settings(optimizer="muon"))


# Every optimizer, on images to tell apart.

USUAL_LR = {"adadelta": 1.0, "lars": 5.0, "lamb": 0.03, "sgd": 0.05}


@pytest.fixture
def learn(train_settings, toy_images):
    """Trains a small network for so many steps; returns it, its optimizer and its losses."""
    data = toy_images(30)
    images = data.images.float() / 100

    def run(name: str, steps: int, start=None, **changes):
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2),
            nn.Flatten(),
            nn.Linear(16, 3),
        )
        initialise(network, Choice(name="he", options={}), Generator().manual_seed(0))
        settings = train_settings(optimizer=name, lr=USUAL_LR.get(name, 0.01), **changes)
        optimizer = build_optimizer(network, settings)
        if start:
            of_network, of_optimizer = start
            network.load_state_dict(of_network)
            optimizer.load_state_dict(of_optimizer)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images), data.labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return network, optimizer, losses

    return run


@pytest.fixture
def deterministic():
    """Kernels that are not deterministic raise, as in a run."""
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


def bits(network: nn.Module) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in network.state_dict().items()}


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_every_optimizer_learns_the_same_bits_each_time(learn, deterministic, name):
    network, _, losses = learn(name, 25, weight_decay=1e-4)
    assert losses[-1] < 0.5 * losses[0]
    assert bits(network) == bits(learn(name, 25, weight_decay=1e-4)[0])


@pytest.mark.parametrize("lookahead", [None, {"steps": 2, "alpha": 0.5}])
@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_every_optimizer_goes_on_where_its_state_was_saved(learn, name, lookahead):
    changes = {"lookahead": lookahead, "weight_decay": 1e-4, "decay_norms": False}
    through, _, _ = learn(name, 6, **changes)
    half, optimizer, _ = learn(name, 3, **changes)
    file = io.BytesIO()
    torch.save((half.state_dict(), optimizer.state_dict()), file)
    file.seek(0)
    start = torch.load(file, weights_only=True)
    assert bits(learn(name, 3, start, **changes)[0]) == bits(through)
    forgetful = start[0], learn(name, 0, **changes)[1].state_dict()
    assert bits(learn(name, 3, forgetful, **changes)[0]) != bits(through)


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_biases_and_norms_decay_on_request(learn, name):
    _, plain, _ = learn(name, 0, weight_decay=0.1)
    assert {group["weight_decay"] for group in plain.param_groups} == {0.1}
    network, spared, _ = learn(name, 0, weight_decay=0.1, decay_norms=False)
    groups = spared.param_groups
    found = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    expected = {id(p): 0.1 if p.ndim > 1 else 0.0 for p in network.parameters()}
    assert found == expected and sum(len(group["params"]) for group in groups) == len(expected)
    for key in plain.defaults.keys() - {"lr", "weight_decay"}:
        assert len({repr(group[key]) for group in groups}) == 1


def test_weights_without_gradient_are_left_alone(train_settings):
    for name in OPTIMIZERS.entries:
        network = perceptron()
        optimizer = build_optimizer(network, train_settings(optimizer=name, weight_decay=0.1))
        before = bits(network)
        optimizer.step()
        assert bits(network) == before, name


# Lookahead.


def test_lookahead_goes_back_part_of_the_way(train_settings):
    weight = nn.Parameter(torch.ones(1))
    lookahead = {"steps": 2, "alpha": 0.25}
    settings = train_settings(lr=0.1, momentum=0.0, lookahead=lookahead)
    optimizer = build_optimizer(nn.ParameterList([weight]), settings)
    seen = []
    for _ in range(5):
        weight.grad = torch.ones(1)
        optimizer.step()
        seen.append(weight.item())
    assert seen == pytest.approx([0.9, 0.95, 0.85, 0.9, 0.8])  # slow weights: 1, 0.95, 0.9


def test_lookahead_of_the_whole_way_is_the_optimizer_alone(learn):
    whole = {"lookahead": {"steps": 3, "alpha": 1.0}}
    assert bits(learn("adam", 7, **whole)[0]) == bits(learn("adam", 7)[0])
