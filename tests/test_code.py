"""The stage `code`: what the training of a block rests on includes the weights it begins with."""

import json
from pathlib import Path

import pytest

RUN = """
import sys
sys.path.insert(0, "src")
from stages.code import main
from thumbnets.stage import run
run(main)
"""


@pytest.fixture
def code(copied, python):
    """Runs the stage in a copy of the project whose mlp4 and lenet5 begin with files."""
    params = copied / "params.yaml"
    text = params.read_text()
    for block in ("mlp4", "lenet5"):
        start = f"  {block}: {{arch: {block}, "
        assert start in text
        text = text.replace(start, f"{start}weights: pretrained/{block}.pth, ")
    params.write_text(text)
    (copied / "pretrained").mkdir()

    def run() -> dict[str, dict]:
        python(RUN, cwd=copied)
        return {p.stem: json.loads(p.read_text()) for p in (copied / "build/code").glob("*.json")}

    return run


def test_another_file_is_another_training(code, copied: Path):
    weights = copied / "pretrained" / "mlp4.pth"
    weights.write_bytes(b"one")
    one = code()
    weights.write_bytes(b"two")
    two = code()
    assert [name for name in one if one[name] != two[name]] == ["mlp4"]
    assert len(one["mlp4"]["files"]["weights"]) == 64
    assert one["lenet5"]["files"]["weights"] is None  # outside the run: may be missing
    assert not one["cnn_a"]["files"]


def test_a_missing_file_is_told_before_anything_trains(code):
    with pytest.raises(AssertionError, match="mlp4.weights: pretrained/mlp4.pth is missing: put"):
        code()
