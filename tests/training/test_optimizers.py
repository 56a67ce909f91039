"""Optimizers: two steps by hand from weight 1, gradient 0.5, then 0.25."""

import math

import pytest
import torch

from thumbnets.training.optimizers import build_optimizer

LR, M, DECAY = 0.1, 0.9, 0.01


@pytest.fixture
def weights(train_settings):
    """The weight after each of the two steps."""

    def after_steps(optimizer, momentum: float = M, decay: float = DECAY) -> list[float]:
        settings = train_settings(optimizer=optimizer, lr=LR, momentum=momentum, weight_decay=decay)
        weight = torch.ones(1, requires_grad=True)
        build = build_optimizer([weight], settings)
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


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_same_gradients_give_the_same_bits(weights, name):
    assert weights(name) == weights(name)
