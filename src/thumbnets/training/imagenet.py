"""Weights of networks that were trained on ImageNet, as torchvision publishes them.

Stage `download` fetches them (see `thumbnets.fetching`). torchvision is imported only where it is
needed, since that takes seconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from thumbnets import paths
from thumbnets.artifacts import sha256

IMAGENET = "imagenet"  # the value of `weights`
FOLDER = paths.PRETRAINED / "imagenet"
_LIBRARY = "torchvision/"
# SHA-256 of files where all of it is known; other files' names end with its first 8 to 10 digits.
_KNOWN = (
    "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",  # resnet18
    "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",  # mobilenet_v3_small
)
# Networks that turn the usual normalisation back into this one before their first layer.
_HALVES = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Published:
    """Weights of one network.

    Attributes:
        file: Name of their file.
        sha256: Its SHA-256, or the first 8 to 10 digits where no source states all 64.
        mean: Mean that the network expects subtracted from each channel, fractions of 255.
        std: Standard deviation that it expects each channel divided by, likewise.
        source: Name in torchvision, and licence.
    """

    file: str
    sha256: str
    mean: list[float]
    std: list[float]
    source: str

    def normalisation(self, channels: int) -> dict[str, list[float]]:
        """Mean and std of grey or colour images; grey ones have the mean of the three channels.

        Raises:
            ValueError: The images have neither 1 nor 3 channels.
        """
        if channels not in (1, len(self.mean)):
            raise ValueError(f"weights: {IMAGENET} needs grey or colour images, got {channels}.")
        if channels == len(self.mean):
            return {"mean": self.mean, "std": self.std}
        return {"mean": [sum(self.mean) / 3], "std": [sum(self.std) / 3]}


def published(arch: str) -> Published:
    """The weights that torchvision names as the best of a network.

    Args:
        arch: Name of the network, `torchvision/NAME`.

    Raises:
        ValueError: There are none.
    """
    from torchvision import models

    name = arch.removeprefix(_LIBRARY)
    try:
        if name == arch:
            raise ValueError
        weights = models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):
        raise ValueError(
            f"weights: {IMAGENET} is for networks of torchvision, as torchvision/resnet18; "
            f"there is none for {arch}."
        ) from None
    file = weights.url.rpartition("/")[2]
    digits = re.fullmatch(r".*-([0-9a-f]{8,})\.pth", file)[1]
    whole = next((known for known in _KNOWN if known.startswith(digits)), digits)
    preset = weights.transforms()
    halves = [0.5, 0.5, 0.5]
    mean, std = (halves, halves) if name in _HALVES else (preset.mean, preset.std)
    source = f"torchvision's {weights} ({file}; BSD-3-Clause), learnt from ImageNet"
    return Published(file, whole, list(mean), list(std), source)


def file_of(arch: str) -> Path:
    """The file of a network's weights, which `fetch_weights` has put there.

    Raises:
        ValueError: There are none, or the file is missing or has another content.
    """
    found = published(arch)
    path = FOLDER / found.file
    if not path.is_file() or not sha256(path).startswith(found.sha256):
        what = "has another content" if path.is_file() else "is missing"
        raise ValueError(f"{path} {what}: run `thumbnets fetch {arch}`.")
    return path


def fitted(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under their current names, fitted to the size and channels of the images.

    For grey images, whose three channels would be alike, the filters of a first layer for colour
    are added up; position embeddings of a vision transformer are interpolated.

    Args:
        found: Names and tensors of the file.
        own: Those of the network.
    """
    from torchvision.models.vision_transformer import interpolate_embeddings

    # Files of densenets are older than the rule that no module has a dot in its name.
    dotted = re.compile(r"(.*denselayer\d+\.(?:norm|conv))\.([12]\..*)")
    weights = {dotted.sub(r"\1\2", name): tensor for name, tensor in found.items()}
    first = next(name for name, tensor in own.items() if tensor.ndim == 4)
    if own[first].shape[1] == 1 and first in weights and weights[first].shape[1] == 3:
        weights[first] = weights[first].sum(1, keepdim=True)
    positions = "encoder.pos_embedding"
    if positions in weights and (length := own[positions].shape[1]) != weights[positions].shape[1]:
        side = round((length - 1) ** 0.5)  # in patches of one pixel, so to say
        weights = dict(interpolate_embeddings(side, 1, weights))
    return weights
