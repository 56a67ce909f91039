"""Voting: members that differ by their first weights and by chance alone."""

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.methods.independent import IndependentEnsemble
from thumbnets.options import Several
from thumbnets.registry import METHODS
from thumbnets.training.settings import ModelSettings


@METHODS.register(excludes=("clip", "weights"), refuses={"optimizer": "muon"})
def voting(settings: ModelSettings, meta: Meta, *, members: Several = 5) -> Method:
    """Independent members on the same images; the prediction is the mean of their probabilities.

    Source: Lakshminarayanan et al. 2017, arXiv:1612.01474, without the adversarial images.
    """
    return IndependentEnsemble(settings, meta, members)
