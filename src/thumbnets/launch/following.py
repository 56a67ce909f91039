"""Following jobs to their end: one progress bar over all epochs, and each training's outcome."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from thumbnets.launch.base import Backend, Job, Training
from thumbnets.launch.worker import UNDER_WAY
from thumbnets.messages import plural, shorten
from thumbnets.store import Store


@dataclass
class _Followed:
    """A running job, and its epochs logged so far."""

    job: Job
    epochs: list[str] = field(default_factory=list)

    def new_epochs(self) -> int:
        before = len(self.epochs)
        self.epochs = epoch_lines(self.job)
        return len(self.epochs) - before

    def last(self, training: Training) -> str | None:
        """The line of a training's last epoch."""
        begins = (f"{training.title}:", f"{training.title},")
        lines = [line for line in self.epochs if line.startswith(begins)]
        return lines[-1] if lines else None

    @property
    def total(self) -> int:
        return sum(training.epochs for training in self.job.trainings)


def follow(
    backend: Backend,
    jobs: Sequence[Job],
    store: Store,
    elsewhere: Sequence[Training] = (),
) -> tuple[list[str], list[Training]]:
    """Wait until all jobs have ended.

    Args:
        backend: Back end of the jobs.
        jobs: Jobs to follow; an interrupt ends them, unless the back end detaches.
        store: Store of finished trainings.
        elsewhere: Trainings that other processes are running: they are waited for too.

    Returns:
        A sentence for each failed training; and the trainings that another process was running and
        did not finish.
    """
    running, others = [_Followed(job) for job in jobs], list(elsewhere)
    failed, lost = [], []
    trainings = sum(len(job.trainings) for job in jobs) + len(others)
    description = f"{plural(trainings, 'training')}, {min(len(jobs), backend.jobs)} at once"
    bar = tqdm(
        total=sum(one.total for one in running) + sum(one.epochs for one in others),
        desc=description,
        unit="epoch",
        disable=None if trainings else True,
    )
    if trainings and bar.disable:  # no terminal
        print(description, flush=True)
    for training in others:
        bar.write(f"{training.title}: under way in {store.holder(training.key)}, waiting")
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
                bar.update(max(0, one.total - len(one.epochs)))  # in case a training stopped early
                its_failed, its_left = failures(one.job, state.reason, store)
                failed += its_failed
                others += its_left
                for training in one.job.trainings if bar.disable else ():
                    if line := one.last(training):
                        print(line, flush=True)
            for training in list(others):
                held = store.holder(training.key)  # before `has`: it may end meanwhile
                if store.has(training.key) or not held:
                    others.remove(training)
                    lost += [training] * (not store.has(training.key))
                    bar.update(training.epochs)
    finally:
        bar.close()
        if running and not backend.detaches:  # interrupted; checkpoints stay
            backend.cancel([one.job for one in running])
    return failed, lost


def failures(job: Job, reason: str, store: Store) -> tuple[list[str], list[Training]]:
    """The trainings that an ended job has not finished.

    Args:
        job: Job that has ended.
        reason: The back end's reason for its end, or empty.
        store: Store of finished trainings.

    Returns:
        A sentence for each failed training; and the trainings that the job left to another process
        that was already running them.
    """
    failed, left, lines = [], [], log_lines(job)
    for one in job.trainings:
        if store.has(one.key):
            continue
        if any(line.startswith(f"{one.title}: {UNDER_WAY}") for line in lines):
            left.append(one)
            continue
        begin = f"error: {one.title}: "
        said = [line.removeprefix("error: ") for line in lines if line.startswith(begin)]
        faults = [line for line in lines if "error: " in line and ", seed " not in line]
        last = (faults or lines or ["it ended without output"])[-1]
        why = reason or last
        sentence = said[-1] if said else f"{one.title}: {shorten(why)}"
        where = "" if job.backend == "local" else f" (job {job.id}, {job.log})"
        failed.append(f"{sentence}{where}")
    return failed, left


def log_lines(job: Job) -> list[str]:
    """The non-blank lines of a job's log."""
    try:
        content = job.log.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the job has not begun
        return []
    return [line for line in content.split("\n") if line.strip()]


def epoch_lines(job: Job) -> list[str]:
    """Lines of a job's log that report an epoch."""
    return [line for line in log_lines(job) if ": epoch " in line]
