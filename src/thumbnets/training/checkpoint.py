"""Keeping the state of a training, so that a killed one goes on and ends with the same bytes."""

import io
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thumbnets.artifacts import write_bytes


class Checkpoint:
    """A file with the state of one training, written anew every so often.

    Args:
        path: Where it lies.
        key: Tells the training: a state that was kept under another key is not taken up.
        every: Seconds from one writing to the next; no number depends on it.
    """

    def __init__(self, path: Path, key: str, every: float) -> None:
        self.path, self.key, self.every = path, key, every
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was kept last, on the CPU; None if there is none of this training."""
        try:
            # weights_only: tensors and plain values; nothing else is ever unpickled
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
        except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None
        return kept["state"] if kept["key"] == self.key else None

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        """Keep the state if it is time."""
        if time.monotonic() - self._written >= self.every:
            self.keep(state())

    def keep(self, state: dict[str, Any]) -> None:
        """Keep a state: of tensors, numbers, texts, lists and dicts."""
        content = io.BytesIO()
        torch.save({"key": self.key, "state": state}, content)
        write_bytes(self.path, content.getvalue())
        self._written = time.monotonic()

    def remove(self) -> None:
        """Forget the training."""
        self.path.unlink(missing_ok=True)
