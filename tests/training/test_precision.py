"""bf16: only where the device has it, only while training, and the same bits each time."""

import re
from pathlib import Path

import pytest
import torch

from thumbnets import runtime
from thumbnets.methods.base import build_method
from thumbnets.models.layers import Dropout
from thumbnets.training.loop import Training, fit

CPU = torch.device("cpu")
needs_bf16 = pytest.mark.skipif(not runtime.computes_bf16(CPU), reason="no bfloat16 on this CPU")


def test_a_device_without_it_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(runtime, "computes_bf16", lambda device: False)
    message = (
        "precision: bf16 needs a CPU with avx512_bf16 or a GPU with bfloat16 (without, it is many "
        "times slower than fp32): write precision: fp32."
    )
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        runtime.prepare(threads=before + 1, precision="bf16")
    assert torch.get_num_threads() == before


def test_fp32_asks_nothing_of_the_device(monkeypatch):
    def ask(device):
        raise AssertionError

    monkeypatch.setattr(runtime, "computes_bf16", ask)
    try:
        runtime.prepare(threads=torch.get_num_threads())
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="not Linux")
def test_the_check_reads_what_the_kernel_says():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert runtime.computes_bf16(CPU) == ("avx512_bf16" in flags)
    assert not runtime.computes_bf16(torch.device("meta"))


class Silent:
    def start(self, *_) -> None: ...

    def batch(self) -> None: ...

    def epoch(self, row) -> None: ...


@pytest.fixture
def train(model_settings, toy_images, meta):
    def run(precision: str = "bf16", **changes):
        changes = {"epochs": 5, "augment": ["shift"], **changes}
        settings = model_settings("cnn_c", {"dropout": 0.1}, precision=precision, **changes)
        return fit(
            build_method(settings, meta),
            toy_images(60),
            toy_images(30, 1),
            seed=0,
            watcher=Silent(),
        )

    return run


def bits(classifier) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in classifier.network.state_dict().items()}


@needs_bf16
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "lr": 0.01, "average": "swa"}])
def test_it_learns_the_same_bits_each_time_and_not_those_of_fp32(train, changes):
    classifier, curve = train(**changes)
    assert curve[-1].train_loss < 0.7 * curve[0].train_loss
    assert curve[-1].validation_accuracy > 0.9
    again, same = train(**changes)
    assert bits(again) == bits(classifier) and same == curve
    full, other = train("fp32", **changes)
    assert bits(full) != bits(classifier)
    assert 0 < abs(other[0].train_loss - curve[0].train_loss) < 0.05


@needs_bf16
@pytest.mark.parametrize("average", [None, "ema", "swa"])
def test_products_are_bfloat16_in_training_and_nothing_else_is(
    model_settings, toy_images, meta, average
):
    settings = model_settings(
        "cnn_c", {"dropout": 0.1}, precision="bf16", average=average, optimizer="adamw", epochs=1
    )
    training = Training(build_method(settings, meta), toy_images(60), toy_images(30, 1), seed=0)
    seen = {True: set(), False: set()}

    def note(layer, _, output):
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | Dropout):
            seen[layer.training].add(output.dtype)

    networks = [training.network, *([training.average._average] if average else [])]
    for network in networks:
        for layer in network.modules():
            layer.register_forward_hook(note)
    training.run(Silent())
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    classifier = training.classifier()
    assert classifier.logits(toy_images(5).images).dtype == "float32"
    states = [s for state in training.optimizer.state.values() for s in state.values()]
    for tensor in [*training.network.state_dict().values(), *states, training.losses]:
        assert tensor.dtype in (torch.float32, torch.int64)


@needs_bf16
def test_the_loss_is_computed_in_float32(model_settings, toy_images, meta, monkeypatch):
    """In bfloat16 a loss has three digits."""
    training = Training(
        build_method(model_settings(precision="bf16"), meta), toy_images(60), None, seed=0
    )
    dtypes = set()
    cross_entropy = torch.nn.functional.cross_entropy

    def note(logits, *given, **options):
        loss = cross_entropy(logits, *given, **options)
        dtypes.update({logits.dtype, loss.dtype})
        return loss

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", note)
    training.run(Silent())
    assert dtypes == {torch.float32}
