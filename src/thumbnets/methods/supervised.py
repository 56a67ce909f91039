"""Learning from labelled images by the gradient of one loss at the end of the network."""

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.registry import METHODS
from thumbnets.training.settings import ModelSettings


@METHODS.register()
def supervised(settings: ModelSettings, meta: Meta) -> Method:
    """Cross-entropy of the last layer, backpropagated through all of them."""
    return Method(settings, meta)
