"""From nothing to the first step of a training: the process that `cold_start.py` measures."""

import time

from benchmarks.process import Measured, answer


def train(task: dict) -> Measured:
    """Begin as stage `train` does; gives `marks`, Unix time in seconds after each part.

    The imports are measured too, so they are in the function.
    """

    def measured() -> dict:
        import torch

        from benchmarks.task import Task
        from thumbnets import paths, runtime
        from thumbnets.data.arrays import read_split
        from thumbnets.methods.base import build_method
        from thumbnets.training.batches import Images
        from thumbnets.training.loop import fit
        from thumbnets.training.progress import Progress

        class FirstStep(Exception):
            pass

        class UntilFirstStep(Progress):
            def batch(self) -> None:
                raise FirstStep

        settings = Task(**task).settings
        runtime.prepare(threads=1)
        imported = time.time()
        data = read_split(paths.TRAIN)
        images = Images(torch.from_numpy(data.images), torch.from_numpy(data.labels))
        read = time.time()
        try:
            fit(
                build_method(settings, data.meta),
                images,
                images,
                seed=0,
                watcher=UntilFirstStep("first step"),
            )
        except FirstStep:
            return {"marks": [imported, read, time.time()]}
        raise AssertionError("the training made no step")

    return measured


if __name__ == "__main__":
    answer(train)
