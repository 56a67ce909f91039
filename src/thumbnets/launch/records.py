"""Records of submitted jobs, so that later commands find jobs that outlive their command."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import read_json, write_json
from thumbnets.launch.base import Job, Training

_JOBS = paths.LAUNCH / "jobs"


def keep_jobs(jobs: Iterable[Job]) -> None:
    """Write a record of each job."""
    for job in jobs:
        content = {**asdict(job), "log": str(job.log)}
        write_json(_file(job), content, exact=True)


def read_jobs() -> list[Job]:
    """All jobs that were submitted from here and still have a record, in order of their ids."""
    jobs = []
    for file in sorted(_JOBS.glob("*.json"), key=lambda path: (len(path.name), path.name)):
        content = read_json(file)
        trainings = tuple(Training(**one) for one in content.pop("trainings"))
        log = Path(content.pop("log"))
        jobs.append(Job(**content, trainings=trainings, log=log))
    return jobs


def forget_jobs(jobs: Iterable[Job]) -> None:
    """Remove the records of jobs; their logs stay."""
    for job in jobs:
        _file(job).unlink(missing_ok=True)


def _file(job: Job) -> Path:
    return _JOBS / f"{job.backend}-{job.id}.json"
