"""Following jobs to their end: one bar over all epochs, and what became of each training."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from thumbnets.launch.base import Backend, Job, Training
from thumbnets.store import Store


@dataclass
class _Followed:
    """A job under way, and the epochs told of so far."""

    job: Job
    epochs: list[str] = field(default_factory=list)

    def new_epochs(self) -> int:
        before = len(self.epochs)
        self.epochs = epoch_lines(self.job)
        return len(self.epochs) - before

    def last(self, training: Training) -> str | None:
        """The line of a training's last epoch."""
        lines = [line for line in self.epochs if line.startswith(training.title)]
        return lines[-1] if lines else None

    @property
    def total(self) -> int:
        return sum(training.epochs for training in self.job.trainings)


def follow(
    backend: Backend,
    jobs: Sequence[Job],
    store: Store,
    elsewhere: Sequence[Training] = (),
) -> list[str]:
    """Wait until all jobs have ended.

    Args:
        backend: That of the jobs.
        jobs: Those to follow; interrupted, they are ended, unless they go on by themselves.
        store: Where what they finish is found.
        elsewhere: Trainings that other processes have under way: they are waited for too.

    Returns:
        A sentence for each training that failed.
    """
    running, others, failed = [_Followed(job) for job in jobs], list(elsewhere), []
    trainings = sum(len(job.trainings) for job in jobs) + len(others)
    bar = tqdm(
        total=sum(one.total for one in running) + sum(one.epochs for one in others),
        desc=f"{trainings} trainings, {min(len(jobs), backend.jobs)} at once",
        unit="epoch",
        disable=None if trainings else True,
    )
    try:
        while running or others:
            time.sleep(backend.every if running else 1)
            states = backend.states([one.job for one in running])
            for one, state in list(zip(running, states, strict=True)):
                bar.update(one.new_epochs())
                if state.phase != "ended":
                    continue
                running.remove(one)
                bar.update(one.new_epochs())
                bar.update(one.total - len(one.epochs))  # if one stopped early
                failed += failures(one.job, state.reason, store)
                for training in one.job.trainings if bar.disable else ():
                    if line := one.last(training):
                        print(line, flush=True)
            for training in list(others):
                if store.has(training.key) or not store.holder(training.key):
                    others.remove(training)
                    bar.update(training.epochs)
    finally:
        bar.close()
        if running and not backend.detaches:  # interrupted: their checkpoints stay
            backend.cancel([one.job for one in running])
    return failed


def failures(job: Job, reason: str, store: Store) -> list[str]:
    """A sentence for each training that an ended job has not finished.

    Args:
        job: It has ended.
        reason: Why, as the back end says.
        store: Where what it finished is found.
    """
    missing = [one for one in job.trainings if not store.has(one.key) and not store.holder(one.key)]
    lines = [line for line in log_lines(job) if line.startswith("error: ")]
    said: Mapping[str, str] = {
        one.title: line for one in missing for line in lines if f"{one.seed}" in line
    }
    return [_sentence(job, one, reason, said.get(one.title)) for one in missing]


def _sentence(job: Job, training: Training, reason: str, line: str | None) -> str:
    if line is None:
        lines = log_lines(job)
        line = f"error: {training.title}: {reason or (lines[-1] if lines else 'it has ended')}"
    return line if job.backend == "local" else f"{line} (job {job.id}, {job.log})"


def log_lines(job: Job) -> list[str]:
    """Lines of a job's log that are not blank."""
    try:
        content = job.log.read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has not begun
        return []
    return [line for line in content.split("\n") if line.strip()]


def epoch_lines(job: Job) -> list[str]:
    """Lines of a job's log that tell of an epoch."""
    return [line for line in log_lines(job) if ": epoch " in line]
