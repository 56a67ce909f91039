"""Killed runs, and runs elsewhere: the same command ends in the same bytes.

`make kill` kills 62 runs that each begin with nothing; here one run is killed eight times
on its way.
"""

import os
import random
import shutil
import time

import pytest

from .kills import digests, kill_after, kill_at, run, tiny_project

# All that may differ from one machine to the next and must not reach a byte.
ELSEWHERE = {
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
    "PYTHONHASHSEED": "12345",
    "OMP_NUM_THREADS": "3",
}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A project in which nothing has run, the files of one in which all has, and how long
    that took."""
    folder = tiny_project(tmp_path_factory.mktemp("kills") / "fresh", last="train-headline")
    reference = folder.with_name("reference")
    shutil.copytree(folder, reference)
    began = time.monotonic()
    done = run(reference)
    assert not done.returncode, done.stdout
    return folder, digests(reference), time.monotonic() - began


def test_killed_again_and_again_in_another_environment_it_ends_in_the_same_bytes(fresh):
    folder, wanted, seconds = fresh
    killed = folder.with_name("with a blank, ä")
    shutil.copytree(folder, killed)
    home = folder.with_name("home")
    home.mkdir()
    elsewhere = {**ELSEWHERE, "HOME": str(home)}
    before = os.umask(0o077)
    try:
        for aim in (("dvc.lock", 1, 0), ("rwlock", 2, 0), ("dvc.lock", 1, 12)):
            kill_at(killed, aim, **elsewhere)
        rng = random.Random(0)
        for _ in range(5):
            kill_after(killed, seconds * rng.uniform(0.05, 0.4), **elsewhere)
        done = run(killed, **elsewhere)
    finally:
        os.umask(before)
    assert not done.returncode, done.stdout
    assert digests(killed) == wanted
