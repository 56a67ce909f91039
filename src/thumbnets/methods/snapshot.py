"""Snapshot ensembles: one training that ends several times."""

from torch.optim import Optimizer

from thumbnets.data.arrays import Meta
from thumbnets.methods.base import Method
from thumbnets.methods.sequential import Restarts, SequentialEnsemble
from thumbnets.options import Several
from thumbnets.registry import METHODS
from thumbnets.training.schedules import Schedule
from thumbnets.training.settings import ModelSettings, TrainSettings


@METHODS.register(excludes=("average", "early_stopping", "weights"), parts="members")
def snapshot(settings: ModelSettings, meta: Meta, *, members: Several = 5) -> Method:
    """The schedule runs `members` times; the weights at the end of each cycle are a member.

    Every cycle begins with the weights and momenta from the end of the previous one. With
    `schedule: cosine` the rate of step i is lr / 2 * (cos(pi * (i mod T) / T) + 1), T being the
    steps of a cycle, as in the source; other schedules work as well. The prediction is the mean of
    the members' probabilities.

    Source: Huang et al. 2017, arXiv:1704.00109.
    """
    return Snapshot(settings, meta, members)


class Snapshot(SequentialEnsemble):
    """See `snapshot`."""

    def schedule(
        self, optimizer: Optimizer, settings: TrainSettings, steps_per_epoch: int
    ) -> Schedule:
        return Restarts(
            optimizer, settings, steps_per_epoch, parts=self.members, clears_state=False
        )
