"""Networks by name. A network is one function in a file of this folder."""

from torch import nn

from thumbnets.choices import check_options
from thumbnets.registry import NETWORKS


def list_models() -> list[str]:
    """Names of all networks, sorted."""
    return list(NETWORKS.entries)


def create_model(
    name: str, *, in_channels: int, image_size: int, num_classes: int, **arch_params: object
) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's global generator.

    Args:
        name: Name of the network, one of `list_models()`.
        in_channels: Channels of the images.
        image_size: Height and width of the images in pixels.
        num_classes: Number of logits.
        **arch_params: Options of the network, as in its block of params.yaml.

    Returns:
        A module from float images [N, in_channels, image_size, image_size] to logits
        [N, num_classes].

    Raises:
        ValueError: The name or an option is unknown, or the images are too small for the network.
    """
    options = check_options(NETWORKS, name, arch_params)
    shape = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    return NETWORKS.load(name)(**shape, **options)


def count_parameters(network: nn.Module) -> int:
    """Number of learnable values."""
    return sum(p.numel() for p in network.parameters())
