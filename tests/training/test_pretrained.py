"""Weights from a file: what fits is taken, ends that do not are told, anything else is refused."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from thumbnets.methods.base import build_method
from thumbnets.models import create_model
from thumbnets.training.loop import fit
from thumbnets.training.pretrained import take_weights

LENET = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def lenet(seed: int = 0, name: str = "lenet5", **changes) -> nn.Module:
    torch.manual_seed(seed)
    return create_model(name, **{**LENET, **changes})


def write(path, weights: dict):
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    return path


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_all_is_taken_where_all_fits(tmp_path, name):
    given, network = lenet(1).state_dict(), lenet(2)
    told = take_weights(network, write(tmp_path / name, given))
    assert all(torch.equal(given[key], value) for key, value in network.state_dict().items())
    assert told == f"10 tensors from {tmp_path / name}"


def test_first_layer_and_head_are_drawn_where_they_do_not_fit(tmp_path):
    given, network = lenet(1, in_channels=3, num_classes=100).state_dict(), lenet(2)
    drawn = {key: value.clone() for key, value in network.state_dict().items()}
    told = take_weights(network, write(tmp_path / "w.pth", given))
    ends = ["0.weight", "11.weight", "11.bias"]
    assert told == (
        f"7 tensors from {tmp_path / 'w.pth'}; initialised, since their shapes differ: "
        f"{', '.join(ends)}"
    )
    for key, value in network.state_dict().items():
        assert torch.equal(value, drawn[key] if key in ends else given[key]), key


def test_what_the_network_has_no_use_for_is_told(tmp_path):
    given = {**lenet(1).state_dict(), "aux.weight": torch.ones(2)}
    told = take_weights(lenet(2), write(tmp_path / "w.pth", given))
    assert told.endswith("; not in the network: aux.weight")


def test_running_statistics_are_taken(tmp_path):
    trained, network = lenet(1, "cnn_a"), lenet(2, "cnn_a")
    trained(torch.randn(4, 1, 28, 28))
    given = {k: v for k, v in trained.state_dict().items() if "batches" not in k}  # old files
    take_weights(network, write(tmp_path / "w.pth", given))
    torch.testing.assert_close(network[1].running_mean, trained[1].running_mean)


class NotWeights:
    pass


WRONG = [
    # file name, content or network that wrote it, part of the message
    ("w.pth", "lenet_300_100", "w.pth is of another network: it lacks 0.weight, 0.bias, 7.weight"),
    ("w.pth", {"inner": 7}, r"does not fit between first layer and head: 3.weight \(shapes \[7\]"),
    ("w.pth", {"state_dict": {}}, "w.pth must be a state_dict"),
    ("w.pth", [torch.ones(2)], "w.pth must be a state_dict"),
    ("w.pth", NotWeights(), "w.pth is damaged .it holds other objects than tensors"),
    ("w.pth", b"nothing of the kind", "w.pth is damaged"),
    ("w.pth", b"", "w.pth is damaged"),
    ("w.safetensors", b"nothing of the kind", "w.safetensors is damaged"),
    ("w.pth", None, "w.pth is missing"),
    ("w.safetensors", None, "w.safetensors is missing"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, str):
        write(path, lenet(name=content).state_dict())
    elif content == {"inner": 7}:
        write(path, {**lenet().state_dict(), "3.weight": torch.ones(7)})
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    network = lenet(1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message) as caught:
        take_weights(network, path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_training_begins_with_the_weights_of_a_file(
    tmp_path, model_settings, toy_images, meta, watcher, capsys
):
    shape = {"in_channels": 1, "image_size": 8, "num_classes": 3}
    given = lenet(5, "lenet_300_100", **shape).state_dict()
    path = write(tmp_path / "w.safetensors", given)
    settings = model_settings("lenet_300_100", weights=str(path), lr=1e-12, epochs=1, init="he")
    trained, _ = fit(build_method(settings, meta), toy_images(40), None, seed=0, watcher=watcher)
    for key, value in trained.network.state_dict().items():
        torch.testing.assert_close(value, given[key])
    assert capsys.readouterr().err == f"toy, seed 0: 6 tensors from {path}\n"
