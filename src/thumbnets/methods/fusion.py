"""Fusion: members that learn as one network."""

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.methods.members import Ensemble, mean_of_logits
from thumbnets.options import Several
from thumbnets.registry import METHODS
from thumbnets.training.settings import ModelSettings


@METHODS.register(excludes=("weights",), refuses={"optimizer": "muon"})
def fusion(settings: ModelSettings, meta: Meta, *, members: Several = 5) -> Method:
    """Cross-entropy of the mean of the members' logits, which is also the prediction.

    All members see the same batches, and their activations are held at the same time.

    Source: FusionClassifier of TorchEnsemble.
    """
    return Ensemble(settings, meta, members, mean_of_logits)
