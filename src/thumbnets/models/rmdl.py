"""How the random networks of RMDL (`rmdl_dnn`, `rmdl_cnn`, `rmdl_rnn`) draw their sizes."""

from collections.abc import Callable
from random import Random


def drawing(network: str, architecture: int) -> Callable[[int, int], int]:
    """A uniform draw of whole numbers that goes by the network and its architecture's number alone.

    Args:
        network: Name of the network, so that networks of one number are drawn independently.
        architecture: Number of the architecture.

    Returns:
        A function of the least and the greatest number that may come.
    """
    # Of all that Python and NumPy draw, only `random` is promised to stay as it is.
    random = Random(f"{network} {architecture}").random
    return lambda least, most: least + int(random() * (most - least + 1))
