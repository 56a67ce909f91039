"""What a trial of a block finds and refuses: on 8x8 grey images, three classes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from thumbnets.methods.base import Method
from thumbnets.models import create_model
from thumbnets.registry import AVERAGES, METHODS, MIXES, NETWORKS, OPTIMIZERS, PACKAGE, SCHEDULES
from thumbnets.trial import measure

SHAPE = {"in_channels": 1, "image_size": 8, "num_classes": 3}


def test_parameters_and_a_batch_counted_by_hand(model_settings):
    settings = model_settings("lenet_300_100", momentum=0.9, batch_size=16)
    found = measure(settings, **SHAPE)
    assert found.parameters == 64 * 300 + 300 + 300 * 100 + 100 + 100 * 3 + 3
    # The image, and the activations of two layers; those of the last one are the loss's.
    assert found.batch >= 4 * 16 * (64 + 300 + 100)
    assert found.batch <= 4 * 16 * (64 + 2 * (300 + 100))
    copies = 3  # weights, gradients, momentum
    assert found.bytes(settings) == 4 * copies * found.parameters + found.batch
    adam = model_settings("lenet_300_100", optimizer="adam", average={"name": "ema"})
    assert found.bytes(adam) == 4 * 5 * found.parameters + found.batch


@pytest.mark.parametrize(
    ("arch", "train", "message"),
    [
        (
            "mlp",
            {"threads": 1, "method": {"name": "local", "few_classes": 16}},
            "fewer images than a batch",
        ),
        ("lenet_300_100", {"threads": 1, "method": "local"}, "must be a flat sequence of blocks"),
        ("torchvision/alexnet", {}, "models.toy: torchvision/alexnet needs images of at least 63"),
        ("lenet5", {"patches": {"size": 1, "mode": "shared"}}, "models.toy: lenet5 .*pixel"),
    ],
)
def test_what_can_not_be_trained(model_settings, arch, train, message):
    with pytest.raises(ValueError, match=message):
        measure(model_settings(arch, **train), **SHAPE)


class Tied(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Linear(64, 3)

    def forward(self, images):
        return self.first(images.flatten(1)) + self.second(images.flatten(1))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: None, "must return a torch.nn.Module, got None"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5)),
            r"\[2, 3\] for 2 images, got \[2, 5\]",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(65, 3)), "does not take images of 8 pixels"),
        (lambda: nn.Module(), "must return a module that has a method forward"),
        (lambda: Tied(), "has two names for one tensor, first.weight and second.weight"),
    ],
)
def test_a_network_that_gives_no_logits(model_settings, monkeypatch, made, message):
    monkeypatch.setattr("thumbnets.models.create_model", lambda *_, **__: made())
    with pytest.raises(ValueError, match=f"models.toy: lenet5 .*{message}"):
        measure(model_settings("lenet5"), **SHAPE)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\nwidth", "NameError: name 'width'"),
        ("\nimport pil2", "Module.*pil2"),
        ("\nraise SystemExit(3)", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("file", ["models/mine.py", "data/mix.py", "training/optimizers.py"])
def test_a_mistake_in_registered_code_is_told_with_its_line(
    model_settings, monkeypatch, code, said, file
):
    mine = PACKAGE / file
    program = compile(code, mine, "exec")
    monkeypatch.setattr("thumbnets.models.create_model", lambda *_, **__: exec(program))
    with pytest.raises(ValueError, match=rf"^models.toy: lenet5: {mine}, line 2: {said}"):
        measure(model_settings("lenet5"), **SHAPE)


def test_a_failing_layer_is_told_with_its_place(model_settings, monkeypatch):
    mine = PACKAGE / "models/mine.py"
    program = compile("\nraise RuntimeError('sizes differ')", mine, "exec")
    monkeypatch.setattr("thumbnets.models.create_model", lambda *_, **__: exec(program))
    with pytest.raises(ValueError, match=rf"8 pixels: sizes differ \({mine}, line 2\)$"):
        measure(model_settings("lenet5"), **SHAPE)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda images: images / 255, r"uint8 \[2, 1, 8, 8\], got float32 \[2, 1, 8, 8\]"),
        (lambda images: images[:, :, 1:], r"got uint8 \[2, 1, 7, 8\]"),
        (lambda images: None, "got NoneType"),
    ],
)
def test_an_augmentation_that_gives_no_such_images(model_settings, monkeypatch, made, said):
    monkeypatch.setattr(
        "thumbnets.data.augment.pipeline", lambda _: lambda images, **_: made(images)
    )
    with pytest.raises(ValueError, match=f"^models.toy: augmentation flip must return .*{said}"):
        measure(model_settings("lenet_300_100", augment=["flip"]), **SHAPE)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda images, labels, **_: images, "must return images.*, got float32 \\[2, 1, 8, 8\\]"),
        (lambda images, labels, **_: (images, labels), r"targets, float32 \[2, 3\], got .* int64"),
        (lambda images, labels, **_: (images, torch.ones(2, 3)), ": .* must sum to 1"),
        (lambda *_, **__: 1 // 0, "mix.py, line .*: ZeroDivisionError"),
    ],
)
def test_a_mix_that_gives_no_such_images_and_targets(model_settings, monkeypatch, made, said):
    monkeypatch.setattr(MIXES, "load", lambda _: made)
    with pytest.raises(ValueError, match=f"^models.toy: mix mixup.*{said}"):
        measure(model_settings("lenet_300_100", mix="mixup"), **SHAPE)


def _without_momentum(network, *, lr, **_):
    return torch.optim.Adagrad(network.parameters(), lr=lr)


def _without_biases(network, *, lr, **_):
    return torch.optim.SGD([p for p in network.parameters() if p.ndim > 1], lr)


@pytest.mark.parametrize(
    ("registry", "made", "said"),
    [
        (OPTIMIZERS, lambda *_, **__: None, "optimizer sgd must return a torch.optim.Optimizer"),
        (
            OPTIMIZERS,
            _without_biases,
            "optimizer sgd must .* leaves out 0.bias, 1.weight, ",
        ),
        (OPTIMIZERS, _without_momentum, "schedule onecycle with optimizer sgd: optimizer must sup"),
        (
            SCHEDULES,
            lambda *_, **__: 1 // 0,
            "schedule onecycle with optimizer sgd: .*schedules.py",
        ),
        (AVERAGES, lambda *_, **__: None, "average ema must return an Average, got None"),
    ],
)
def test_what_a_block_chooses_is_built_once(model_settings, monkeypatch, registry, made, said):
    monkeypatch.setattr(registry, "load", lambda _: made)
    settings = model_settings("lenet_300_100", schedule="onecycle", average="ema")
    with pytest.raises(ValueError, match=f"^models.toy: {said}"):
        measure(settings, **SHAPE)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda *_: None, "method supervised must return a Method, got None"),
        (lambda settings: None, "methods/base.py, line .*: TypeError: .* takes 1 positional"),
    ],
)
def test_a_method_that_is_none(model_settings, monkeypatch, made, said):
    monkeypatch.setattr(METHODS, "load", lambda _: made)
    with pytest.raises(ValueError, match=f"^models.toy: .*{said}"):
        measure(model_settings("lenet_300_100"), **SHAPE)


class Frozen(nn.Sequential):
    """A network whose first layer does not learn."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 9), nn.Linear(9, 3))
        self[1].requires_grad_(False)


class Unused(nn.Sequential):
    """A network with a layer that gives nothing."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 3), nn.Linear(9, 3))

    def forward(self, images):
        return self[1](self[0](images))


class Constant(nn.Sequential):
    """A network whose output has no gradient."""

    @torch.no_grad()
    def forward(self, images):
        return super().forward(images)


class Auxiliary(nn.Sequential):
    """A network with two outputs in training."""

    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Frozen, "lenet_300_100: 1.weight, 1.bias would get no gradient"),
        (Unused, "lenet_300_100: 2.weight, 2.bias would get no gradient"),
        (lambda: Constant(nn.Flatten(), nn.Linear(64, 3)), "1.weight, 1.bias would get no"),
        (
            lambda: Auxiliary(nn.Flatten(), nn.Linear(64, 3)),
            "a tensor of logits in training as well, got tuple",
        ),
    ],
)
def test_a_network_that_does_not_learn_as_a_whole(model_settings, monkeypatch, made, said):
    for module in ("models", "models.patches"):
        monkeypatch.setattr(f"thumbnets.{module}.create_model", lambda *_, **__: made())
    with pytest.raises(ValueError, match=f"models.toy: .*{said}"):
        measure(model_settings("lenet_300_100"), **SHAPE)


def test_a_loss_for_as_many_classes_as_there_are_is_not_refused_for_guessed_ones(
    model_settings, monkeypatch
):
    class Own(Method):
        def loss(self, module, images, targets):
            loss, correct = super().loss(module, images, targets)
            return loss + module(images).topk(4).values.mean(), correct

    monkeypatch.setattr(METHODS, "load", lambda _: Own)
    measure(model_settings("lenet_300_100"), **SHAPE, guessed=True)
    with pytest.raises(ValueError, match="selected index k out of range"):
        measure(model_settings("lenet_300_100"), **SHAPE)


def test_a_training_module_that_is_no_network(model_settings, monkeypatch):
    class Own(Method):
        def training_module(self, network, seed):
            return nn.ModuleDict({"network": network, "head": nn.Linear(3, 3)})

        def loss(self, module, images, targets):
            return super().loss(nn.Sequential(*module.values()), images, targets)

    monkeypatch.setattr(METHODS, "load", lambda _: Own)
    settings = model_settings("lenet_300_100")
    plain = 64 * 300 + 300 + 300 * 100 + 100 + 100 * 3 + 3
    assert measure(settings, **SHAPE).parameters == plain + 12


@pytest.mark.parametrize("train", [{}, {"mix": "mixup"}, {"precision": "bf16"}])
def test_a_loss_of_ones_own(model_settings, monkeypatch, train):
    class Own(Method):
        def loss(self, module, images, targets):
            assert (targets.shape == (2, 3)) is bool(self.train.mix)
            return super().loss(module, images, targets)

    settings = model_settings("lenet_300_100", **train)
    plain = measure(settings, **SHAPE)
    monkeypatch.setattr(METHODS, "load", lambda _: Own)
    assert measure(settings, **SHAPE) == plain


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda loss, correct: loss, r"loss must return two tensors.*, got float32 \[\]\."),
        (lambda loss, correct: (loss[None], correct), r"got float32 \[1\], int64 \[\]\."),
        (lambda loss, correct: (loss.double(), correct), r"got float64 \[\], int64 \[\]\."),
        (lambda loss, correct: (loss, 1), r"got float32 \[\], int\."),
        (lambda loss, correct: (loss, correct / 16), r"got float32 \[\], float32 \[\]\."),
        (lambda loss, correct: None, "got NoneType"),
        (lambda loss, correct: (loss.detach(), correct), "it has no gradient"),
    ],
)
def test_a_loss_of_another_form(model_settings, monkeypatch, returned, said):
    class Own(Method):
        def loss(self, module, images, targets):
            return returned(*super().loss(module, images, targets))

    monkeypatch.setattr(METHODS, "load", lambda _: Own)
    with pytest.raises(ValueError, match=f"^models.toy: method supervised: .*{said}"):
        measure(model_settings("lenet_300_100"), **SHAPE)


def test_a_mistake_in_a_loss_is_told_with_its_line(model_settings, monkeypatch):
    mine = PACKAGE / "methods/mine.py"
    program = compile("def loss(*_):\n    return torch.exp(1)\n", mine, "exec")
    exec(program, own := {"torch": torch})
    monkeypatch.setattr(METHODS, "load", lambda _: type("Own", (Method,), {"loss": own["loss"]}))
    with pytest.raises(ValueError, match=f"^models.toy: method .*: {mine}, line 2: TypeError"):
        measure(model_settings("lenet_300_100"), **SHAPE)


def test_our_own_mistake_keeps_its_traceback(model_settings, monkeypatch):
    monkeypatch.setattr("thumbnets.models.create_model", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure(model_settings("lenet5"), **SHAPE)


def test_weights_that_are_none_or_of_another_network(model_settings, tmp_path):
    path = tmp_path / "some.pth"
    settings = model_settings("lenet_300_100", weights=str(path))
    path.write_bytes(b"none")
    with pytest.raises(ValueError, match=f"models.toy: {path}"):
        measure(settings, **SHAPE)
    torch.save(nn.Linear(1, 1).state_dict(), path)
    with pytest.raises(ValueError, match="is of another network"):
        measure(settings, **SHAPE)
    plain = measure(model_settings("lenet_300_100"), **SHAPE)
    torch.save(create_model("lenet_300_100", **SHAPE).state_dict(), path)
    assert measure(settings, **SHAPE) == plain


def test_a_network_that_needs_values_to_be_built_is_refused(model_settings):
    """Regnets compute their widths by what torch's meta device does not have."""
    with pytest.raises(ValueError, match="regnet_y_400mf computes with tensors while it is built"):
        measure(model_settings("torchvision/regnet_y_400mf"), **{**SHAPE, "image_size": 64})


def test_a_network_must_take_what_it_is_given(model_settings, monkeypatch):
    entry = replace(NETWORKS["lenet5"], parameters={"in_channels": ("int", ...)})
    monkeypatch.setitem(NETWORKS.entries, "lenet5", entry)
    with pytest.raises(
        ValueError, match="lenet5 in thumbnets.models.lenet5 must take image_size, n"
    ):
        measure(model_settings("lenet5"), **SHAPE)


class NeedsValues(nn.Linear):
    """Looks at its images."""

    def forward(self, images):
        return super().forward(images.flatten(1)) * (1 if images.sum() > 0 else 2)


def test_a_network_that_needs_values_to_compute_is_left_to_the_training(
    model_settings, monkeypatch
):
    monkeypatch.setattr("thumbnets.models.create_model", lambda *_, **__: NeedsValues(64, 3))
    monkeypatch.setattr(
        "thumbnets.models.patches.create_model", lambda *_, **__: NeedsValues(64, 3)
    )
    assert measure(model_settings("lenet5"), **SHAPE).batch == 0
