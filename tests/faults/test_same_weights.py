"""The comparison of weights of before and after the checksum."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from .kinds import KINDS
from .same_weights import same_but_for_the_checksum

WEIGHTS = next(kind for kind in KINDS if kind.name == "weights .safetensors")


def test_only_the_checksum_may_differ(tmp_path):
    new = WEIGHTS.make(tmp_path)
    with safe_open(new, "pt") as file:
        about = json.loads(file.metadata()["thumbnets"])
    tensors = load_file(new)
    del about["sha256"]

    def differs(tensors: dict, about: dict) -> bool:
        old = tmp_path / "old.safetensors"
        save_file(tensors, old, {"thumbnets": json.dumps(about, sort_keys=True)})
        return not same_but_for_the_checksum(old, new)

    assert not differs(tensors, about)  # as it was written before
    assert differs(tensors, {**about, "halvings": 1})
    first = min(tensors)
    assert differs({**tensors, first: tensors[first] + 1e-6}, about)
    assert differs({**tensors, "more": torch.zeros(1)}, about)
