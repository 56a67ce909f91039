"""How the random networks of RMDL (`rmdl_dnn`, `rmdl_cnn`, `rmdl_rnn`) draw their sizes."""

from collections.abc import Callable
from random import Random


def drawing(network: str, architecture: int) -> Callable[[int, int], int]:
    """Uniform draws of whole numbers that depend on the network and its architecture number alone.

    Args:
        network: Name of the network, so that networks with the same number are drawn independently.
        architecture: Number of the architecture.

    Returns:
        A function of the smallest and the largest number that may be drawn.
    """
    # `random.random` is the only generator whose draws Python and NumPy promise not to change.
    random = Random(f"{network} {architecture}").random
    return lambda least, most: least + int(random() * (most - least + 1))
