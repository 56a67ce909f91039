"""Mixes: hand-worked images and targets, and the law of the shares."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from thumbnets.choices import Choice
from thumbnets.data.mix import beta, cut, cutmix, mixer, mixup
from thumbnets.registry import MIXES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def choice(name: str) -> Choice:
    return Choice(name=name, options=MIXES.options(name)().model_dump())


def numbered(n: int, *shape: int) -> torch.Tensor:
    """Images whose pixels are all the number of the image."""
    return torch.arange(n).float()[:, None, None, None].expand(n, *shape).contiguous()


@pytest.fixture
def force(monkeypatch):
    """Lets a mix draw this share, and pair the images in this order."""

    def draw(share: float, other: list[int]) -> None:
        value = torch.tensor(share, dtype=torch.float64)
        monkeypatch.setattr("thumbnets.data.mix.beta", lambda *_: value)
        monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.tensor(other))

    return draw


# Contract of all.


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 7, 5)])
@pytest.mark.parametrize("name", MIXES.entries)
def test_targets_are_shares_and_the_generator_decides(name, shape):
    mix, images = mixer(choice(name), 5), torch.randn(16, *shape, generator=generator(9))
    labels, before = torch.arange(16) % 4, images.clone()
    (one, targets), (same, again), (other, _) = (
        mix(images, labels, generator(s)) for s in (1, 1, 4)
    )
    assert one.shape == images.shape and one.dtype == targets.dtype == torch.float32
    assert torch.equal(images, before)
    assert torch.equal(one, same) and torch.equal(targets, again) and not torch.equal(one, other)
    assert targets.shape == (16, 5) and (targets >= 0).all() and (targets[:, 4] == 0).all()
    assert targets.sum(1).numpy() == pytest.approx(1)
    assert ((targets > 0).sum(1) <= 2).all()  # of labels
    torch.nn.functional.cross_entropy(torch.zeros(16, 5), targets, label_smoothing=0.1)


@pytest.mark.parametrize("name", MIXES.entries)
def test_does_not_touch_the_global_generator(name):
    torch.manual_seed(5)
    mixer(choice(name), 3)(
        torch.randn(4, 1, 8, 8, generator=generator()), torch.zeros(4).long(), generator()
    )
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("name", MIXES.entries)
def test_a_batch_of_one_label_keeps_it(name):
    labels = torch.full((6,), 2)
    _, targets = mixer(choice(name), 3)(torch.randn(6, 1, 8, 8), labels, generator())
    assert targets.numpy() == pytest.approx(torch.eye(3)[labels].numpy())


def test_without_a_choice_nothing_changes():
    images, labels = torch.randn(4, 1, 8, 8), torch.arange(4)
    mixed, targets = mixer(None, 4)(images, labels, generator())
    assert mixed is images and targets is labels


# Mixup.


def test_mixup_by_hand(force):
    force(0.75, [1, 2, 0])
    images = torch.tensor([0.0, 4.0, 8.0])[:, None, None, None].expand(3, 1, 2, 2)
    mixed, targets = mixup(images, torch.tensor([0, 2, 2]), generator=generator(), classes=3)
    assert mixed[:, 0, 0, 0].tolist() == [1.0, 5.0, 6.0]  # 3/4 of itself, 1/4 of the next
    assert targets.tolist() == [[0.75, 0.0, 0.25], [0.0, 0.0, 1.0], [0.25, 0.0, 0.75]]


def test_the_loss_of_mixed_targets_is_the_papers_mixture_of_two(force):
    force(0.3, [2, 0, 1])
    labels, other = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    logits = torch.randn(3, 3, generator=generator())
    _, targets = mixup(torch.zeros(3, 1, 2, 2), labels, generator=generator(), classes=3)
    loss = torch.nn.functional.cross_entropy
    expected = 0.3 * loss(logits, labels) + 0.7 * loss(logits, other)
    assert loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_images_and_targets_are_mixed_alike():
    labels = torch.arange(50)
    mixed, targets = mixup(numbered(50, 1, 2, 2), labels, generator=generator(), classes=50)
    assert (targets * labels).sum(1).numpy() == pytest.approx(mixed[:, 0, 1, 1].numpy(), abs=1e-5)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_follow_the_beta_law(alpha):
    one = generator()
    shares = torch.stack([beta(alpha, one) for _ in range(2_000)])
    assert stats.kstest(shares.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert torch.corrcoef(torch.stack([shares[1:], shares[:-1]]))[0, 1].abs() < 0.09


def test_the_least_alpha_gives_shares_too():
    one = generator()
    shares = torch.stack([beta(0.05, one) for _ in range(5_000)])
    assert ((shares >= 0) & (shares <= 1)).all()  # none is nan


# Cutmix.


@pytest.mark.parametrize(
    ("length", "side", "centre", "expected"),
    [
        (28, 0.5, 0.5, slice(7, 21)),
        (28, 0.5, 0.0, slice(0, 7)),
        (28, 0.5, 0.99, slice(20, 28)),
        (28, 0.33, 0.5, slice(10, 18)),  # 9 pixels, halved downwards as in the authors' code
        (28, 1.0, 0.5, slice(0, 28)),
        (28, 0.0, 0.5, slice(14, 14)),
        (5, 0.5, 0.3, slice(0, 2)),
    ],
)
def test_the_rectangle_is_cut_off_at_the_edges(length, side, centre, expected):
    inside = cut(length, *(torch.tensor(value, dtype=torch.float64) for value in (side, centre)))
    assert inside.nonzero().flatten().tolist() == list(range(length))[expected]


def test_cutmix_by_hand(force, monkeypatch):
    force(0.75, [1, 0])  # the sides are sqrt(1 - 0.75), half of the image's
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([0.0, 0.5]))
    images = numbered(2, 1, 4, 8)
    mixed, targets = cutmix(images, torch.tensor([0, 2]), generator=generator(), classes=3)
    expected = torch.zeros(4, 8)
    expected[0, 2:6] = 1  # 2 by 4 pixels about row 0 and column 4; the upper half is cut off
    assert torch.equal(mixed[0, 0], expected) and torch.equal(mixed[1, 0], 1 - expected)
    assert targets.tolist() == [[0.875, 0, 0.125], [0.125, 0, 0.875]]


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(1, 28, 28), (3, 8, 8), (1, 7, 5)]),
    st.sampled_from([0.2, 1.0]),
)
def test_the_share_of_a_label_is_that_of_its_pixels(seed, shape, alpha):
    labels, n = torch.arange(6), 6
    mixed, targets = cutmix(
        numbered(n, *shape), labels, generator=generator(seed), classes=n, alpha=alpha
    )
    pixels = torch.nn.functional.one_hot(mixed.long(), n).sum((1, 2, 3))
    assert (targets * math.prod(shape) - pixels).abs().max() < 1e-3  # of one pixel
    assert torch.equal(mixed, mixed[:, :1].expand_as(mixed))  # all channels alike


def test_centres_and_sizes_follow_the_paper():
    """With a uniform share the sides are sqrt(1 - share) before they are cut off."""
    one, size, n = generator(), 200, 3_000
    images, labels = numbered(2, 1, size, size), torch.arange(2)
    replaced = []
    for _ in range(n):
        mixed, _ = cutmix(images, labels, generator=one, classes=2)
        replaced.append((mixed[0] == 1).double().mean().item())
    # A pair is an image with itself half of the time. Of a square of side s about a uniform
    # centre s - s^2 / 4 remains on each axis. Its square is s^2 - s^3 / 2 + s^4 / 16, with s^2
    # uniform.
    expected = 0.5 * (1 / 2 - 1 / 5 + 1 / 48)
    assert sum(replaced) / n == pytest.approx(expected, abs=0.02)
