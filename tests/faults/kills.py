"""Kill -9 of a tiny run of the pipeline: the same command again must end in the same bytes.

Use: `python -m tests.faults.kills [COUNT [STAGE]]`, or `make kill`: COUNT kills at random moments,
and 12 that are aimed at files which DVC writes in place. Each is of a run that begins with nothing
and would go as far as STAGE (default: the report). Prints a table.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.test_pipeline import clone, environment

COMMAND = "thumbnets train --jobs 1 && dvc repro"  # as `make repro`
_AIMED = str(Path(__file__).with_name("aimed"))
_UNTRACKED = {".git", ".dvc", "__pycache__", "logs"}

# File, which opening of it in a process, pieces of text that are written before the kill.
AIMS = [
    (name, opening, writes)
    for name, pieces in (("dvc.lock", (0, 10, 40)), ("rwlock", (0, 3, 12)))
    for opening in (1, 2)
    for writes in pieces
]


def tiny_project(folder: Path, last: str = "report") -> Path:
    """A clone with one small network of one epoch on `digits`, and the stages up to one of them.

    Args:
        folder: Where to make it; must not exist.
        last: Last stage of dvc.yaml that is kept.
    """
    folder.mkdir(parents=True)
    clone(folder)
    params, stages = folder / "params.yaml", folder / "dvc.yaml"
    text = re.sub(r"^pool:.*?(?=^seeds:)", "pool:\n- mlp4\n", params.read_text(), flags=re.S | re.M)
    params.write_text(text.replace("epochs: 25", "epochs: 1"))
    kept = re.match(rf".*?^  {last}:.*?(?=^  \S|^\S)", stages.read_text(), flags=re.S | re.M)
    stages.write_text(kept[0])
    (folder / "dvc.lock").unlink()
    for command in (("add", "-A"), ("commit", "-qm", "tiny")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """Run the command to its end."""
    with _started(folder, **variables) as process:
        output, _ = process.communicate()
    return subprocess.CompletedProcess(COMMAND, process.returncode, output)


def kill_after(folder: Path, seconds: float, **variables: str) -> None:
    """Run the command, and kill it and all that it has started after a time."""
    with _started(folder, **variables) as process:
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)


def kill_at(folder: Path, aim: tuple[str, int, int], **variables: str) -> None:
    """Run the command, which is killed while it writes a file.

    Args:
        folder: Of the project.
        aim: As in `AIMS`.
        **variables: Of the environment.
    """
    path = f"{_AIMED}:{folder / 'src'}"
    with _started(folder, AIMED=" ".join(map(str, aim)), PYTHONPATH=path, **variables) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL, f"{aim} did not hit"


def _started(folder: Path, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["sh", "-c", COMMAND],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder / "src")} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a project, but for logs and what git and DVC keep for themselves."""
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not _UNTRACKED & set((name := path.relative_to(folder)).parts)
        and not name.is_relative_to("build/launch")  # logs of trainings, which a kill leaves
    }


def main(count: int = 50, last: str = "report") -> None:
    with TemporaryDirectory() as place:
        fresh = tiny_project(Path(place, "fresh"), last)
        reference = Path(place, "reference")
        shutil.copytree(fresh, reference)
        began = time.monotonic()
        done = run(reference)
        assert not done.returncode, done.stdout
        whole, wanted, rng = time.monotonic() - began, digests(reference), random.Random(0)
        kills = [("at random", rng.uniform(0, whole)) for _ in range(count)]
        kills += [(f"while {aim[0]} is written", aim) for aim in AIMS]
        killed, same = Counter(), Counter()
        for number, (kind, moment) in enumerate(kills):
            folder = Path(place, f"killed{number}")
            shutil.copytree(fresh, folder)
            (kill_after if isinstance(moment, float) else kill_at)(folder, moment)
            again = run(folder)
            killed[kind] += 1
            same[kind] += (as_wanted := not again.returncode and digests(folder) == wanted)
            print(f"{number + 1}: {kind} {moment}: {'same' if as_wanted else 'OTHER'}", flush=True)
            if not as_wanted:
                print(again.stdout)
            shutil.rmtree(folder)
    print(
        "| killed | runs | the same command ended in the reference bytes |\n| --- | ---: | ---: |"
    )
    for kind in killed:
        print(f"| {kind} | {killed[kind]} | {same[kind]} |")
    sys.exit(killed != same)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
