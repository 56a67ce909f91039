"""The stage `code`: what the training of a block depends on includes the weights it begins with."""

import json
from pathlib import Path

import pytest
import torch

from thumbnets.models import create_model

RUN = """
import sys
sys.path.insert(0, "src")
from stages.code import main
from thumbnets.stage import run
run(main)
"""


@pytest.fixture
def code(copied, remembered, python):
    """Runs the stage in a copy of the project whose mlp4 begins with a file."""
    params = copied / "params.yaml"
    text, start = params.read_text(), "  mlp4: {arch: mlp4, "
    assert start in text
    params.write_text(text.replace(start, f"{start}weights: pretrained/mlp4.pth, "))
    (copied / "pretrained").mkdir()

    def run() -> dict[str, dict]:
        python(RUN, cwd=copied)
        paths = sorted((copied / "build/inputs").glob("*.json"))
        return {path.stem: json.loads(path.read_text()) for path in paths}

    return run


def test_another_file_is_another_training(code, copied: Path):
    weights = copied / "pretrained" / "mlp4.pth"
    network = create_model("mlp4", in_channels=1, image_size=28, num_classes=10)
    torch.save(network.state_dict(), weights)
    one = code()
    torch.save({name: value + 1 for name, value in network.state_dict().items()}, weights)
    two = code()
    assert [name for name in one if one[name] != two[name]] == ["headline", "mlp4"]
    assert len(one["mlp4"]["files"]["weights"]) == 64
    assert not one["cnn_a"]["files"]


def test_a_missing_file_is_told_before_anything_trains(code):
    with pytest.raises(AssertionError, match="mlp4.weights: pretrained/mlp4.pth is missing: put"):
        code()
