"""Test images for augmentations, and what the tests of their draws share."""

import torch
from scipy import stats


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(
    n: int, channels: int = 1, size: int = 28, width: int | None = None, seed: int = 1
) -> torch.Tensor:
    """Images in which few pixels are alike, none of them 0."""
    shape = (n, channels, size, width or size)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator(seed))


def ones(n: int, size: int = 28) -> torch.Tensor:
    return torch.ones(n, 1, size, size, dtype=torch.uint8)


def uniform(counts: torch.Tensor) -> bool:
    """Whether counts fit a uniform law; wrong for one fair seed of ten thousand."""
    return stats.chisquare(counts.double().numpy()).pvalue > 1e-4


def moved(image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    """An image [C, H, W] moved down by dy and right by dx, zeros coming in: pixel by pixel."""
    result = torch.zeros_like(image)
    _, h, w = image.shape
    for y in range(h):
        for x in range(w):
            if 0 <= y - dy < h and 0 <= x - dx < w:
                result[:, y, x] = image[:, y - dy, x - dx]
    return result


def force(monkeypatch, name: str, *draws: torch.Tensor) -> None:
    """Let torch draw what is given."""
    waiting = list(draws)
    monkeypatch.setattr(torch, name, lambda *_, **__: waiting.pop(0))
