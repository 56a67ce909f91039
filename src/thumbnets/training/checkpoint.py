"""Saving the state of a training, so that a killed one is resumed and ends with the same bytes."""

import hashlib
import hmac
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thumbnets.artifacts import write_bytes

_MARK_BYTES = 32  # of SHA-256


class Checkpoint:
    """A file with the state of one training, rewritten at intervals.

    Args:
        path: File of the checkpoint.
        key: Hash of the training's inputs: a state that was saved under another one is not resumed.
        every: Seconds from one writing to the next; no result depends on it.
    """

    def __init__(self, path: Path, key: str, every: float) -> None:
        self.path, self.key, self.every = path, key, every
        self._written = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, on the CPU; None if there is none for this training."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return None
        with file:  # not held in memory before it is known to be ours
            mark = file.read(_MARK_BYTES)
            if mark != hashlib.file_digest(file, self._begin_mark).digest():
                return None  # of another training, or damaged
            file.seek(_MARK_BYTES)
            content = file.read()
        # weights_only: tensors and plain values; nothing else is ever unpickled
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save the state if it is time."""
        if time.monotonic() - self._written >= self.every:
            self.save(state())

    def save(self, state: dict[str, Any]) -> None:
        """Save a state: of tensors, numbers, texts, lists and dicts."""
        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
        write_bytes(self.path, self._mark(content) + content)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, and what a kill left of one that was being written."""
        for file in (self.path, *self.path.parent.glob(f".{self.path.name}.*.tmp")):
            file.unlink(missing_ok=True)

    def _mark(self, content: bytes) -> bytes:
        return hmac.digest(self.key.encode(), content, "sha256")

    def _begin_mark(self) -> hmac.HMAC:
        return hmac.new(self.key.encode(), digestmod="sha256")
