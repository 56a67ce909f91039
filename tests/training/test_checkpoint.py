"""Checkpoints: what was kept comes back, and of anything else nothing is taken up."""

import io
import math
import os
import pickle
import random
import re

import pytest
import torch

from thumbnets import artifacts, runtime
from thumbnets.training import checkpoint as module
from thumbnets.training.checkpoint import Checkpoint

STATE = {
    "tensor": torch.arange(5.0),
    "bytes": torch.tensor([0, 255], dtype=torch.uint8),
    "none": None,
    "list": [1, 0.1, math.inf, "text", {"deep": torch.tensor(3)}, True],
}


@pytest.fixture
def kept(tmp_path) -> Checkpoint:
    """A checkpoint that holds `STATE`."""
    checkpoint = Checkpoint(tmp_path / "toy" / "0-folds.pt", "a key", every=0)
    checkpoint.save(STATE)
    return checkpoint


def plain(state) -> object:
    """The same with lists in place of tensors, to be compared."""
    if isinstance(state, torch.Tensor):
        return str(state.dtype), state.tolist()
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list) else state


def test_what_is_kept_comes_back(kept):
    assert plain(kept.load()) == plain(STATE)
    assert plain(Checkpoint(kept.path, "a key", every=9).load()) == plain(STATE)
    kept.save({"later": 1})
    assert kept.load() == {"later": 1}


def test_nothing_is_there_before_the_first(tmp_path):
    assert Checkpoint(tmp_path / "none" / "0.pt", "a key", every=0).load() is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("key", ["", "a", "another key", "a key "])
def test_another_training_is_not_taken_up(kept, key):
    assert Checkpoint(kept.path, key, every=0).load() is None


def test_a_file_cut_off_anywhere_is_as_none(kept):
    for length in reversed(range(kept.path.stat().st_size)):
        os.truncate(kept.path, length)
        assert kept.load() is None, length


def test_a_damaged_file_is_as_none(kept):
    """torch alone reads other numbers, or fails in a dozen ways."""
    content = kept.path.read_bytes()
    rng = random.Random(0)
    with kept.path.open("r+b", buffering=0) as file:
        for place in range(len(content)):
            os.pwrite(file.fileno(), bytes([content[place] ^ 1 << rng.randrange(8)]), place)
            assert kept.load() is None, place
            os.pwrite(file.fileno(), content[place : place + 1], place)
    assert kept.load() is not None
    for foreign in (b"\x80\x02", rng.randbytes(500), content[:40] + rng.randbytes(60), content * 2):
        kept.path.write_bytes(foreign)
        assert kept.load() is None
    torch.save({"key": "a key", "state": STATE}, kept.path)
    assert kept.load() is None


class Trap:
    """Does harm when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("save", [torch.save, lambda state, file: pickle.dump(state, file, 2)])
def test_nothing_but_tensors_and_plain_values_is_unpickled(kept, tmp_path, monkeypatch, save):
    """Not even from a file that carries the mark."""
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO()
    save({"trap": Trap()}, file)
    kept.path.write_bytes(kept._mark(file.getvalue()) + file.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        kept.load()
    assert not (tmp_path / "trapped").exists()


def test_a_file_is_replaced_whole_or_not_at_all(kept, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.os, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        kept.save({"later": 1})
    assert plain(kept.load()) == plain(STATE)
    assert list(kept.path.parent.iterdir()) == [kept.path]


def test_what_is_removed_leaves_nothing_not_even_of_a_writing_that_was_killed(kept):
    others = [kept.path.with_name(name) for name in ("0-refit.pt", ".0-refit.pt.7.tmp", "1.pt")]
    for file in (*others, kept.path.with_name(f".{kept.path.name}.4711.tmp")):
        file.write_bytes(b"half")
    kept.remove()
    assert sorted(kept.path.parent.iterdir()) == sorted(others)
    assert kept.load() is None
    kept.remove()


def test_a_state_is_kept_every_so_many_seconds(tmp_path, monkeypatch):
    now, kept = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "0.pt", "a key", every=10)

    def state():
        kept.append(now[0])
        return {}

    for now[0] in (100.0, 109.9, 110.0, 110.1, 119.9, 121.0, 130.9, 131.0, 150.0):
        checkpoint.offer(state)
    assert kept == [110.0, 121.0, 131.0, 150.0]  # from one writing to the next
    now[0] = 155.0
    checkpoint.save({})
    now[0] = 164.0
    checkpoint.offer(state)
    assert len(kept) == 4


@pytest.mark.parametrize(("every", "times"), [(0, 5), (math.inf, 0)])
def test_every_offer_or_none(tmp_path, every, times):
    checkpoint = Checkpoint(tmp_path / "0.pt", "a key", every)
    kept = []
    for _ in range(5):
        checkpoint.offer(lambda: {"times": len(kept), "append": kept.append(1)})
    assert len(kept) == times


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, 30), ("", 30), ("0", 0), ("2.5", 2.5), ("inf", math.inf)]
)
def test_seconds_come_from_the_environment(monkeypatch, text, seconds):
    monkeypatch.delenv("THUMBNETS_CHECKPOINT_SECONDS", raising=False)
    if text is not None:
        monkeypatch.setenv("THUMBNETS_CHECKPOINT_SECONDS", text)
    assert runtime.checkpoint_seconds() == seconds


@pytest.mark.parametrize("text", ["-1", "nan", "soon", "1 s"])
def test_seconds_that_are_none_are_refused(monkeypatch, text):
    monkeypatch.setenv("THUMBNETS_CHECKPOINT_SECONDS", text)
    message = f"THUMBNETS_CHECKPOINT_SECONDS must be seconds, 0 or more, got {text!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        runtime.checkpoint_seconds()
