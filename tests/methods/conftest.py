"""What tests of ensembles share."""

import pytest

from thumbnets.training.settings import ModelSettings


@pytest.fixture
def ensemble(model_settings):
    """Makes the settings of a block that trains an ensemble of 3 for 6 epochs."""

    def make(name: str, arch: str = "lenet_300_100", members: int = 3, **train) -> ModelSettings:
        cycle = {"cycle": 2} if name == "fast_geometric" else {}
        method = {"name": name, "members": members, **cycle}
        return model_settings(arch, **{"method": method, "epochs": 6, "threads": 1, **train})

    return make
