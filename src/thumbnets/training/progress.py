"""Showing the progress of a training: a bar in a terminal, a line per epoch elsewhere."""

import sys
import time

from tqdm import tqdm

from thumbnets.training.loop import Epoch


class Progress:
    """Follows one training.

    Args:
        title: Model and seed.
        lines: Whether there are lines where there is no bar.
    """

    def __init__(self, title: str, *, lines: bool = True) -> None:
        self.title, self.lines = title, lines
        self.bar = tqdm(desc=title, unit="batch", leave=False, disable=None)

    def start(self, epochs: int, steps: int, done: int) -> None:
        """Note how much there is to do: epochs, batches per epoch, and batches done before."""
        self.epochs = epochs
        self.started = time.perf_counter()
        self.bar.reset(total=epochs * steps)
        self.bar.update(done)

    def batch(self) -> None:
        """Note a batch."""
        self.bar.update()

    def epoch(self, row: Epoch) -> None:
        """Note an epoch."""
        figures = (
            f"epoch {row.epoch}/{self.epochs}, loss {row.train_loss:.4f}, "
            f"accuracy {row.train_accuracy:.4f}"
        )
        if row.validation_accuracy is not None:
            figures += f", validation {row.validation_accuracy:.4f}"
        if not self.bar.disable:
            self.bar.set_postfix_str(figures, refresh=False)
        elif self.lines:
            print(f"{self.title}: {figures}, {time.perf_counter() - self.started:.1f} s")
            sys.stdout.flush()

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
