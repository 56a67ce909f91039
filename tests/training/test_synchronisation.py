"""A training step waits for nothing: on a GPU, computed values are never read back.

Without a GPU, operations that would wait are counted: those that read a value or whose shape
depends on values, and numbers sent to the device. What only happens on CPUs is left out.
"""

from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from torch.nn.functional import dropout
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from thumbnets.artifacts import write_arrays
from thumbnets.data.arrays import Meta
from thumbnets.data.augment import color
from thumbnets.methods.base import build_method
from thumbnets.models.layers import Dropout
from thumbnets.registry import AUGMENTATIONS, AVERAGES, MIXES, OPTIMIZERS, SCHEDULES
from thumbnets.training.batches import Images
from thumbnets.training.loop import Training

# Of aten: reading a value, shapes that go by values, and numbers sent to the device.
WAITS = {
    *("_local_scalar_dense", "is_nonzero", "equal"),
    *("nonzero", "masked_select", "unique_consecutive", "_unique2", "bincount"),
    "lift_fresh",
}

META = Meta("toy", ["dark", "left", "right"], 3, 20, [0.2] * 3, [0.3] * 3, [20] * 3, "0" * 64)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


class ReadsBack(TorchFunctionMode):
    """Notes methods that copy to the CPU, which there leave no trace in operations."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ("tolist", "cpu", "numpy"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Notes operations that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in WAITS or masks:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_waits(device: str) -> AbstractContextManager[None]:
    """Fails at the first operation that waits for the device."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    else:
        with Waits() as waits, ReadsBack(waits.found):
            yield
        assert waits.found == []


def images(device: str) -> Images:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (60, 3, 20, 20)).astype(np.uint8))
    return Images(pixels.to(device), (torch.arange(60) % 3).to(device))


@pytest.fixture(params=DEVICES)
def check(request, model_settings, monkeypatch):
    """Trains a batch, then sees that another waits for nothing."""
    device = request.param
    # As on a GPU: masks of dropout are drawn there, and all hues are computed.
    monkeypatch.setattr(Dropout, "forward", lambda self, x: dropout(x, self.p, self.training))
    monkeypatch.setattr(color, "counts_freely", lambda device: False)

    def run(arch: str = "tiny_cnn", options: dict | None = None, **train) -> None:
        settings = model_settings(arch, options, threads=1, **train)
        training = Training(build_method(settings, META), images(device), None, seed=0)
        training.module.train()
        batches = training.batches.run(training.order, 1)
        training._step(*next(batches))  # numbers that stay the same are sent once
        with nothing_waits(device):
            training._step(*next(batches))
        training.replicas.close()

    return run


def test_waiting_is_noticed():
    x = torch.arange(3.0)
    for wait in (
        lambda: x.sum().item(),
        lambda: x.tolist(),
        lambda: bool(x[0]),
        lambda: x[x > 1],
        lambda: torch.tensor([1.0]),
        lambda: x.nonzero(),
        lambda: x.cpu(),
    ):
        with pytest.raises(AssertionError), nothing_waits("cpu"):
            wait()
    with nothing_waits("cpu"):
        x.index_select(0, torch.arange(2)).where(x[:2] > 0, 1.0).sum()


@pytest.mark.parametrize("name", AUGMENTATIONS.entries)
def test_every_augmentation(check, name):
    options = {"saturation": 0.4, "hue": 0.1, "p": 0.8} if name == "colour_jitter" else {}
    check("lenet_300_100", augment=[{"name": name, **options}])


@pytest.mark.parametrize("name", MIXES.entries)
def test_every_mix(check, name):
    check("lenet_300_100", mix=name, label_smoothing=0.1)


@pytest.mark.parametrize("name", OPTIMIZERS.entries)
def test_every_optimizer(check, name):
    check("lenet_300_100", optimizer=name, clip=1.0, lookahead={"steps": 1, "alpha": 0.5})


@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_every_schedule(check, name):
    check("lenet_300_100", schedule=name, warmup=0.5)


@pytest.mark.parametrize("name", AVERAGES.entries)
def test_every_average(check, name):
    check(average=name, class_weights="balanced")


@pytest.mark.parametrize("arch", ["mlp4", "cnn_c", "tiny_cnn", "resnet20", "airbench94", "vgg8b"])
def test_networks(check, arch):
    options = {"mlp4": {"dropout": 0.2}, "airbench94": {"width": 8}}
    check(arch, options.get(arch, {}))


@pytest.mark.parametrize(
    "method",
    [
        {"name": "local", "loss": "predsim"},
        {"name": "local", "loss": "predsim", "bio": True},
        "simclr",
        *(
            {"name": name, "members": 2, **more}
            for name, more in {
                "voting": {},
                "bagging": {},
                "fusion": {},
                "adversarial": {},
                "gradient_boosting": {},
                "soft_gradient_boosting": {},
                "snapshot": {},
            }.items()
        ),
    ],
    ids=str,
)
def test_methods(check, method):
    arch = "mlp" if isinstance(method, dict) and method["name"] == "local" else "lenet_300_100"
    check(arch, method=method, mix=None)


def test_distillation(check, tmp_path):
    rng = np.random.default_rng(0)
    taught = rng.random((10, 60, 3)).astype(np.float32)
    taught = np.log(taught / taught.sum(2, keepdims=True))
    write_arrays(
        tmp_path / "teacher.npz",
        log_probabilities=taught,
        views=np.array("flip_shift"),
        classes=np.array(META.classes),
        sha256=np.array(META.sha256),
    )
    check(method={"name": "distill", "teacher": str(tmp_path / "teacher.npz")})
