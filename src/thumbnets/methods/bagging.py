"""Bagging: every member learns from a resample of the images."""

import torch

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.methods.independent import IndependentEnsemble
from thumbnets.options import Several
from thumbnets.registry import METHODS
from thumbnets.training.batches import Batches, Images, RandomStreams
from thumbnets.training.settings import ModelSettings


@METHODS.register(excludes=("clip", "sampling", "weights"), refuses={"optimizer": "muon"})
def bagging(settings: ModelSettings, meta: Meta, *, members: Several = 5) -> Method:
    """Members as in `voting`, each on as many images as there are, drawn once with replacement.

    A member sees about 63 % of the images, some of them several times an epoch.

    Source: Breiman 1996, Machine Learning 24.
    """
    return Bagging(settings, meta, members)


class Bagging(IndependentEnsemble):
    """See `bagging`."""

    def batches(self, train: Images, streams: RandomStreams) -> Batches:
        batches = super().batches(train, streams)
        batches.rows = torch.randint(
            len(train),
            (len(train), self.members),
            generator=streams.order,
            device=train.labels.device,
        )
        return batches
