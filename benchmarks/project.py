"""A clone of the project, in which its commands are measured."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.process import ROOT


def cloned(folder: Path, data: str, run_of: str) -> None:
    """Clone the project, with a fetched data set and its own cache.

    Args:
        folder: Folder of the clone.
        data: Name of the data set.
        run_of: Lines of params.yaml in place of `model`, `pool` and `seeds`.
    """
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    fetched = f"data/raw/{data}"
    shutil.copytree(ROOT / fetched, folder / fetched)
    text = (folder / "params.yaml").read_text()
    start, end = text.index("model:"), text.index("data:")
    (folder / "params.yaml").write_text(f"{text[:start]}{run_of}{text[end:]}")


def run(folder: Path, *command: str) -> None:
    """Run Python with the code of the clone, in the user's environment.

    Raises:
        RuntimeError: The command failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": "src"}
    command = (sys.executable, *command)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
