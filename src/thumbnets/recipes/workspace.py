"""A workspace: a git worktree with the project's DVC cache, in which a recipe runs.

The user's own tree stays as it is. A workspace is kept until its run has succeeded, so that the
same command resumes where an earlier one was killed.
"""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from thumbnets import paths, runtime
from thumbnets.doctor.commands import mend_locks
from thumbnets.git import commit_of, git
from thumbnets.launch.options import PROFILE
from thumbnets.messages import listed
from thumbnets.processes import environment, run_to_end

# What results rest on, besides data and the recipe.
_CODE = ("src", "stages", "zoo", "corrections", "params.yaml", "dvc.yaml", "requirements.lock")


def committed(root: Path, *files: Path | str) -> str:
    """The commit whose code a run here uses.

    Args:
        root: Root of the project.
        *files: Recipes that the result rests on as well.

    Raises:
        ValueError: Some of the code or a recipe is not committed, but a result names a commit; or
            the project lies below the root of its repository.
    """
    if below := git(root, "rev-parse", "--show-prefix").decode().strip():
        raise ValueError(
            f"The project is {below} of a larger git repository: recipes run in a checkout of its "
            "own, so they need a project that is the root of its repository."
        )
    there = [name for name in (*_CODE, *map(str, files)) if (root / name).exists()]
    status = git(root, "status", "--porcelain", "--untracked-files=all", "--", *there).decode()
    if changed := status.splitlines():
        names = listed((line.split(maxsplit=1)[1] for line in changed), 3)
        raise ValueError(
            f"{names}: uncommitted changes; a result names a commit, so commit or stash them."
        )
    return commit_of(root, "HEAD")


@dataclass(frozen=True)
class Workspace:
    """A worktree that this process holds.

    Attributes:
        folder: The worktree.
        root: Root of the project.
        lock: File descriptor that stays locked as long as a process of this run is alive.
        new: Whether it was made anew, not left by an earlier run.
    """

    folder: Path
    root: Path
    lock: int
    new: bool

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        """Run `python -m …` with the code of the workspace.

        Raises:
            ValueError: The command failed; it has printed why.
        """
        set_here = {"PYTHONPATH": "src", "DVC_NO_ANALYTICS": "1", **(env or {})}
        if mirror := runtime.mirror():  # a relative one is that of the project
            set_here["THUMBNETS_MIRROR"] = str(self.root / mirror)
        status = run_to_end(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**environment(), **set_here},
            pass_fds=[self.lock],  # a killed run's children may still write here
        )
        if status:
            raise ValueError(
                f"`{' '.join(command)}` failed in {self.folder}: see above; the same command goes "
                "on from there."
            )

    def write_params(self, content: Mapping[str, Any]) -> None:
        """Write this content as the workspace's params.yaml."""
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.sort_base_mapping_type_on_output = False
        with (self.folder / paths.PARAMS).open("w", encoding="utf-8") as file:
            yaml.dump(dict(content), file)

    def remove(self) -> None:
        """Remove the worktree and git's record of it."""
        _remove(self.folder, self.root)


@contextlib.contextmanager
def workspace(name: str, commit: str, root: Path) -> Iterator[Workspace]:
    """A workspace at a commit, new or existing; no other run can have it at the same time.

    Args:
        name: Name of its folder.
        commit: Commit to check out.
        root: Root of the project.

    Raises:
        ValueError: Another run has it, or git or DVC failed.
    """
    folder = root / paths.WORKSPACES / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{name} is already running in {folder}{_of_processes(folder)}: wait for it, or "
                "end it."
            ) from None
        new = not folder.exists()
        _check_out(folder, commit, root)
        _share_cache(folder, root)
        _share_pretrained(folder, root)
        mend_locks(folder)
        (folder / PROFILE).unlink(missing_ok=True)  # that of an earlier run
        if (root / PROFILE).is_file():
            shutil.copy(root / PROFILE, folder / PROFILE)
        yield Workspace(folder, root, lock.fileno(), new)


def _of_processes(folder: Path) -> str:
    """The processes that work in a folder: those of a killed run may go on after it."""
    import psutil

    found = [
        str(process.pid)
        for process in psutil.process_iter(["cwd"])
        if process.info["cwd"] == str(folder)
    ]
    return f" (processes {', '.join(found)})" if found else ""


def _check_out(folder: Path, commit: str, root: Path) -> None:
    """Bring a worktree to a commit; if it is there already, the work of an earlier run is kept."""
    try:
        at = commit_of(folder, "HEAD") if (folder / ".git").is_file() else None
    except ValueError:
        at = None
    if at is None:  # no worktree yet, or one that a kill left half made
        _remove(folder, root)
        git(root, "worktree", "add", "--force", "--detach", str(folder), commit)
    elif at != commit:
        git(folder, "checkout", "--force", "--detach", commit)
    else:
        git(folder, "checkout", "--", *[n for n in _CODE if (folder / n).exists()])


def _remove(folder: Path, root: Path) -> None:
    if folder.exists():
        try:
            git(root, "worktree", "remove", "--force", "--force", str(folder))
        except ValueError:
            shutil.rmtree(folder)
    git(root, "worktree", "prune")


def _share_cache(folder: Path, root: Path) -> None:
    """Use the project's DVC cache, so that nothing is trained or stored twice.

    DVC also stages its files in git, since it would otherwise tell the user to do so.
    """
    settings = ConfigParser(interpolation=None, strict=False)
    settings.read(root / ".dvc/config.local", encoding="utf-8")  # the user's remotes
    for section, key, value in (("cache", "dir", cache_of(root)), ("core", "autostage", "true")):
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, key, str(value))
    with (folder / ".dvc/config.local").open("w", encoding="utf-8") as file:
        settings.write(file)


def cache_of(root: Path) -> Path:
    """DVC's cache of the project.

    Raises:
        ValueError: The folder is not a DVC project.
    """
    with contextlib.chdir(root):
        cache = runtime.dvc_cache()
        if cache is None:
            raise ValueError(f"{root} is not a DVC project: it has no .dvc.")
        return cache.resolve()


def _share_pretrained(folder: Path, root: Path) -> None:
    """Put the user's weight files, which are not in git, where the trainings look for them."""
    for file in sorted((root / paths.PRETRAINED).rglob("*")):
        there = folder / file.relative_to(root)
        if not file.is_file() or file.name == ".gitignore":
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        there.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), there)
        except OSError:  # on another file system
            shutil.copy(file, there)
