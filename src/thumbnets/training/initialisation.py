"""How weights are drawn before training; norms stay as they are, biases are set to 0."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from thumbnets.choices import Choice
from thumbnets.options import Positive
from thumbnets.registry import INITIALISATIONS


def initialise(network: nn.Module, choice: Choice, generator: Generator) -> None:
    """Draw the weights of all linear and convolutional layers anew, by the chosen rule."""
    rule = INITIALISATIONS.load(choice.name)
    rule(network, generator=generator, **choice.options)


def _draw(network: nn.Module, kinds: tuple, draw: Callable[[Tensor], object]) -> None:
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, kinds):
                draw(layer.weight)
                if layer.bias is not None:
                    layer.bias.zero_()


_LINEAR, _CONVOLUTION = (nn.Linear,), (nn.Conv2d,)


@INITIALISATIONS.register()
def default(network: nn.Module, *, generator: Generator) -> None:
    """Keep what each layer of torch draws when it is made (uniform, He 2015 with a = sqrt 5)."""


@INITIALISATIONS.register()
def xavier_uniform(network: nn.Module, *, generator: Generator) -> None:
    """Uniform with variance 2 / (inputs + outputs). Source: Glorot and Bengio 2010, eq. 16."""
    draw = nn.init.xavier_uniform_
    _draw(network, _LINEAR + _CONVOLUTION, lambda w: draw(w, generator=generator))


@INITIALISATIONS.register()
def xavier_normal(network: nn.Module, *, generator: Generator) -> None:
    """Normal with variance 2 / (inputs + outputs). Source: Glorot and Bengio 2010, eq. 12."""
    draw = nn.init.xavier_normal_
    _draw(network, _LINEAR + _CONVOLUTION, lambda w: draw(w, generator=generator))


@INITIALISATIONS.register()
def he(network: nn.Module, *, generator: Generator) -> None:
    """Normal with variance 2 / inputs. Source: He et al. 2015, arXiv:1502.01852, eq. 10."""
    draw = nn.init.kaiming_normal_
    kinds = _LINEAR + _CONVOLUTION
    _draw(network, kinds, lambda w: draw(w, nonlinearity="relu", generator=generator))


@INITIALISATIONS.register()
def normal(network: nn.Module, *, generator: Generator, std: Positive = 0.05) -> None:
    """Normal with one standard deviation for all layers."""
    _draw(
        network, _LINEAR + _CONVOLUTION, lambda w: nn.init.normal_(w, std=std, generator=generator)
    )


@INITIALISATIONS.register()
def by_layer(network: nn.Module, *, generator: Generator, std: Positive = 0.05) -> None:
    """Normal for linear layers, He for convolutions: the choice of the five networks."""
    _draw(network, _LINEAR, lambda w: nn.init.normal_(w, std=std, generator=generator))
    _draw(
        network,
        _CONVOLUTION,
        lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=generator),
    )
