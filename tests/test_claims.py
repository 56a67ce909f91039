"""Nobody begins what another has under way; what a kill has left is told from what lives."""

import json
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from thumbnets import claims
from thumbnets.claims import claim, holder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ab" / "cd.claim"


def left(path, **changes) -> None:
    """Write a claim as another process would have left it."""
    with claim(path):
        content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


def test_one_holds_it_and_the_next_is_told_who(path):
    with claim(path) as mine:
        assert mine is None
        assert f"process {os.getpid()} on " in holder(path)
        with claim(path) as other:
            assert other == holder(path)
        assert path.exists()  # the second one leaves it alone
    assert not path.exists() and holder(path) is None


def test_an_error_releases_it(path):
    with pytest.raises(ValueError), claim(path):
        raise ValueError
    assert not path.exists()


def test_of_a_killed_process_nothing_remains(path):
    code = "import os, signal; from pathlib import Path; from thumbnets.claims import claim\n"
    code += f"with claim(Path({str(path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert path.exists() and holder(path) is None
    with claim(path) as mine:
        assert mine is None and holder(path)


def test_another_process_of_the_same_number_does_not_hold_it(path):
    left(path, started="17")
    assert holder(path) is None


@pytest.mark.parametrize("content", [None, "", "{", "[]"])  # None: whole, of another machine
def test_of_another_machine_or_unreadable_its_age_tells(path, content):
    left(path, host="node3", process=17)
    if content is not None:
        path.write_text(content)
    assert holder(path) == ("process 17 on node3" if content is None else "an unknown process")
    long_ago = time.time() - 301
    os.utime(path, (long_ago, long_ago))
    assert holder(path) is None
    with claim(path) as mine:
        assert mine is None


def test_while_it_is_held_it_stays_fresh(path, monkeypatch):
    monkeypatch.setattr(claims, "_TOUCHED", 0.01)
    with claim(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_of_many_at_once_one_gets_it(path):
    held, barrier = [], threading.Barrier(8)

    def begin():
        barrier.wait()
        with claim(path) as other:
            held.append(other is None)
            barrier.wait()

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(held) == 1


def test_a_zombie_holds_nothing(path):
    """Nobody has asked how the process ended; in some containers nobody ever does."""
    code = "import os, signal; from pathlib import Path; from thumbnets.claims import claim\n"
    code += f"with claim(Path({str(path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    with subprocess.Popen([sys.executable, "-c", code]) as killed:
        while psutil.Process(killed.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert path.exists() and holder(path) is None


def test_a_claim_that_may_not_be_looked_at_is_an_error_of_the_disk(path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "stat", refuse)
    with pytest.raises(PermissionError):
        holder(path)
