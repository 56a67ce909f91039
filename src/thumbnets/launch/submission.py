"""Trainings as jobs: those of earlier commands are picked up, others submitted, all followed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from thumbnets.launch.base import Backend, Job, Training
from thumbnets.launch.following import follow
from thumbnets.launch.plan import bundled, note_seconds
from thumbnets.launch.records import forget_jobs, keep_jobs, read_jobs
from thumbnets.store import Store


@dataclass(frozen=True)
class Submission:
    """How trainings become jobs.

    Attributes:
        backend: Back end of the jobs.
        store: Store that gets the trainings.
        bundle: Trainings per job; None: as many as take minutes.
        device: Device type of the jobs; None: that of this machine.
    """

    backend: Backend
    store: Store
    bundle: int | None
    device: str | None

    def finish(self, trainings: Sequence[Training], *, detach: bool, ends_others: bool) -> int:
        """Train what the store does not have.

        Args:
            trainings: The trainings.
            detach: Whether to return without waiting.
            ends_others: Whether jobs of other trainings are no longer wanted.

        Returns:
            Number of jobs.

        Raises:
            ValueError: Some trainings failed.
        """
        alive = self._alive()  # before the store is read: a job may end meanwhile
        missing = [one for one in trainings if not self.store.has(one.key)]
        picked = self._picked_up(alive, missing, ends_others)
        under_way = {one.key for job in picked for one in job.trainings}
        rest = [one for one in missing if one.key not in under_way]
        elsewhere = [one for one in rest if self.store.holder(one.key)]
        jobs = picked + self._submit([one for one in rest if one not in elsewhere])
        if not detach:
            failed = self._follow(jobs, elsewhere)
            note_seconds(trainings, self.store)
            if failed:
                each = "; ".join(sentence.rstrip(".") for sentence in failed)
                raise ValueError(f"{len(failed)} of {len(missing)} failed: {each}")
            forget_jobs(jobs)
        return len(jobs)

    def _alive(self) -> list[Job]:
        """Jobs of an earlier command that still wait or run; records of ended ones are removed."""
        mine = [job for job in read_jobs() if job.backend == self.backend.name]
        phases = [state.phase for state in self.backend.states(mine)]
        forget_jobs(job for job, phase in zip(mine, phases, strict=True) if phase == "ended")
        return [job for job, phase in zip(mine, phases, strict=True) if phase != "ended"]

    def _picked_up(
        self, alive: Sequence[Job], missing: Sequence[Training], ends_others: bool
    ) -> list[Job]:
        """The jobs that train something missing, with only that; others, if unwanted, are ended."""
        keys = {one.key for one in missing}
        wanted = [tuple(one for one in job.trainings if one.key in keys) for job in alive]
        if ends_others:
            others = [job for job, trainings in zip(alive, wanted, strict=True) if not trainings]
            self.backend.cancel(others)
            forget_jobs(others)
        return [
            replace(job, trainings=trainings)
            for job, trainings in zip(alive, wanted, strict=True)
            if trainings
        ]

    def _submit(self, trainings: Sequence[Training]) -> list[Job]:
        """Submit jobs, if any, and keep a record of those that outlive this process."""
        bundles = bundled(trainings, self.backend.jobs, self.bundle)
        submitted = self.backend.submit(bundles) if bundles else []
        jobs = [replace(job, device=self.device) for job in submitted]
        keep_jobs(jobs if self.backend.detaches else ())
        return jobs

    def _follow(self, jobs: list[Job], elsewhere: Sequence[Training]) -> list[str]:
        """Wait until all is trained; a sentence for each training that failed."""
        try:
            failed, lost = follow(self.backend, jobs, self.store, elsewhere)
            while lost:  # another process was running these, and has ended without finishing them
                jobs += (more := self._submit(lost))
                its_failed, lost = follow(self.backend, more, self.store)
                failed += its_failed
        except KeyboardInterrupt:
            stopped = "Stopped: the same command resumes from the last checkpoints."
            going_on = "The jobs continue: `thumbnets jobs --cancel` ends them."
            print(going_on if self.backend.detaches else stopped, file=sys.stderr)
            raise
        return failed
