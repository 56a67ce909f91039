"""The files in which DVC and git keep the state of a project."""

import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thumbnets import paths
from thumbnets.artifacts import write_bytes
from thumbnets.doctor.findings import Finding
from thumbnets.git import at_head, git, is_repository
from thumbnets.messages import listed, shorten
from thumbnets.review.code import checksums
from thumbnets.review.stale import is_whole, were_run
from thumbnets.yaml_files import CONFLICT_MARKERS, read_yaml

OTHER_RUN = f"not from the run in {paths.LOCK}"
_LISTS = ("deps", "outs")
_MD5 = 32 * "0"
_ENTRY = {"path": str, "hash": str, "md5": str, "size": int, "nfiles": int, "isexec": bool}
_RWLOCK = Path(".dvc/tmp/rwlock")
# What brings back a dvc.lock.
_ANEW = f"rm {paths.LOCK} && dvc repro"
_COMMITTED = f"git checkout HEAD -- {paths.LOCK} && dvc repro"
_OURS = f"git checkout --ours -- {paths.LOCK} && dvc repro"
_CUT_SHORT = Finding(
    f"the run in {paths.LOCK} did not finish: results may be from the run before",
    "dvc repro",
    broken=False,
)
_GUARD = Path(".dvc/tmp/rwlock.lock")  # held while DVC writes the rwlock file
_REPO_LOCK = Path(".dvc/tmp/lock")  # held while DVC is between two stages, or writes dvc.lock
_LOOKS = 20  # reads of a dvc.lock that is being written, a tenth of a second apart


def rwlock(root: Path) -> list[Finding]:
    """A lock file of DVC left by a killed run: truncated, or of a process that has ended."""
    if (holders := _holders(root)) is None:
        problem = f"{_RWLOCK} is cut off: a run was killed while DVC wrote it"
    elif dead := sorted(holder for holder in holders if _has_ended(*holder)):
        process, command = dead[0]
        problem = (
            f"{_RWLOCK} is from a killed run, `{shorten(command)}`: process {process} has ended"
        )
    else:
        return []
    return [Finding(problem, f"rm {_RWLOCK}", lambda: _remove_rwlock(root))]


def _holders(root: Path) -> set[tuple[int, str]] | None:
    """Processes that hold a lock, with their commands; None if the file is damaged."""
    try:
        content = json.loads((root / _RWLOCK).read_bytes())
        writing, reading = content.get("write", {}).values(), content.get("read", {}).values()
        entries = [*writing, *(entry for entries in reading for entry in entries)]
        return {(int(entry["pid"]), str(entry["cmd"])) for entry in entries}
    except FileNotFoundError:
        return set()
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _command_of(process: int) -> str | None:
    """The command line of a process, "" for a zombie; None if there is no process, or no access."""
    import psutil

    try:
        return " ".join(psutil.Process(process).cmdline())
    except psutil.ZombieProcess:
        return ""
    except psutil.Error:
        return None


def _has_ended(process: int, command: str) -> bool:
    """Whether a process has ended though DVC thinks it alive: a zombie, or its id was reused.

    Zombies stay in a container whose first process does not wait for its children. DVC itself
    ignores ids that no process has.
    """
    now = _command_of(process)
    return now is not None and not _is_of(command, now)


def _is_of(command: str, line: str) -> bool:
    """Whether DVC's record of `sys.argv` fits a command line: it ends it, apart from `-m dvc`."""
    _, module, arguments = command.partition("/dvc/__main__.py")
    return line.endswith((command, f" -m dvc{arguments}") if module else command)


def _running(root: Path) -> list[tuple[int, str]]:
    """Live runs of DVC, which may write its files."""
    return sorted(
        holder for holder in _holders(root) or () if _is_of(holder[1], _command_of(holder[0]) or "")
    )


def _is_lock(text: str) -> bool:
    """Whether a dvc.lock looks complete: each of its entries, and its last line."""
    if not text.endswith("\n"):
        return False
    try:
        content = YAML(typ="safe").load(text)
        return content["schema"] == "2.0" and all(
            isinstance(stage["cmd"], str | list)  # a stage may have several commands
            and all(_is_entry(entry) for key in _LISTS for entry in stage.get(key, []))
            and all(isinstance(values, dict) for values in stage.get("params", {}).values())
            for stage in content["stages"].values()
        )
    except (YAMLError, LookupError, TypeError, AttributeError, ValueError):
        return False


def _is_entry(entry: dict[str, object]) -> bool:
    """Whether an entry of a file or folder fits DVC's schema."""
    whole = all(isinstance(value, _ENTRY.get(key, object)) for key, value in entry.items())
    return whole and "path" in entry and len(entry.get("md5", _MD5)) >= len(_MD5)


def _remove_rwlock(root: Path) -> None:
    """Remove the rwlock file, holding the lock that DVC takes to write it.

    Raises:
        ValueError: A live run is writing it.
    """
    with (root / _GUARD).open("ab") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{_RWLOCK} is being written by a run: wait until it ends.") from None
        holders = _holders(root)
        if holders is None or not _running(root):
            (root / _RWLOCK).unlink(missing_ok=True)
        elif kept := [holder for holder in holders if _has_ended(*holder)]:
            raise ValueError(
                f"{_RWLOCK} is from a killed run, process {kept[0][0]}, and a live one, process "
                f"{_running(root)[0][0]}: wait until that ends."
            )


def conflicts(root: Path) -> list[Finding]:
    """Params and blocks with unresolved merge conflicts."""
    files = [*root.glob(str(paths.PARAMS)), *sorted((root / paths.ZOO).glob("*.yaml"))]
    remedy = "resolve the conflict, git add it, git commit, then dvc repro"
    return [
        _conflict(file.relative_to(root), remedy)
        for file in files
        if CONFLICT_MARKERS.search(file.read_text(encoding="utf-8", errors="replace"))
    ]


def _conflict(file: Path, remedy: str) -> Finding:
    return Finding(f"{file} has unresolved merge conflicts", remedy)


def lock_file(root: Path) -> list[Finding]:
    """An empty, conflicted, truncated or otherwise damaged dvc.lock."""
    path = root / paths.LOCK
    if not path.is_file():
        return [Finding(f"{paths.LOCK} is missing", "dvc repro", broken=False)]
    text, still_written = _settled(root)
    committed, content = at_head(root, paths.LOCK), text.encode()
    if CONFLICT_MARKERS.search(text):
        return [_conflict(paths.LOCK, _without_conflict(root, committed))]
    cut = content != committed and (committed or b"").startswith(content)
    if _is_lock(text) and not cut:
        return []
    said = "is empty" if not text.strip() else "is cut off" if cut else "is damaged"
    if running := _running(root):
        process, command = running[0]
        problem = f"{paths.LOCK} {said} while `{shorten(command)}` runs, process {process}"
        return [Finding(problem, "wait until it ends")]
    if still_written:
        return [Finding(f"{paths.LOCK} {said} while a run of DVC is alive", "wait until it ends")]
    problem = f"{paths.LOCK} {said}: a run was killed while DVC wrote it"
    if committed is None:  # DVC's run-cache knows what was run
        return [Finding(problem, _ANEW, path.unlink)]
    return [Finding(problem, _COMMITTED, lambda: write_bytes(path, committed))]


def _without_conflict(root: Path, committed: bytes | None) -> str:
    """What brings back a dvc.lock without marks, also once the marks are committed."""
    if committed is None or CONFLICT_MARKERS.search(committed.decode(errors="replace")):
        return _ANEW
    unmerged = git(root, "ls-files", "--unmerged", str(paths.LOCK))
    return _OURS if unmerged else _COMMITTED


def _settled(root: Path) -> tuple[str, bool]:
    """Text of dvc.lock, and whether a run still writes it, which takes DVC tenths of a second."""
    for _ in range(_LOOKS):
        with _repo_lock(root) as ours:  # if it is ours, nobody else writes
            text = (root / paths.LOCK).read_text(encoding="utf-8", errors="replace")
        if ours or _is_lock(text):
            return text, False
        time.sleep(0.1)
    return text, True


@contextmanager
def _repo_lock(root: Path) -> Iterator[bool]:
    """Hold DVC's lock of the project if no run does; yields whether we hold it."""
    try:
        file = (root / _REPO_LOCK).open("rb")
    except FileNotFoundError:  # no run yet
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def metrics(root: Path) -> list[Finding]:
    """Metrics and reports that are not from the run in dvc.lock."""
    pool = _pool(root)
    missing: list[str] = []
    others: list[Finding] = []
    for path, expected in sorted(locked(root).items()):
        if not path.startswith(("metrics/", "report/")) or expected.endswith(".dir"):
            continue
        if path.startswith(("metrics/models/", "metrics/correct/")):
            if pool is None or Path(path).stem not in {*pool, "headline", "ensemble"}:
                continue  # DVC keeps the entries of models that have left the pool
        file = root / path
        if not file.is_file():
            missing.append(path)
        elif md5(file) != expected:
            others.append(Finding(f"{path}: {OTHER_RUN}", "dvc repro"))
    if not missing:
        return others
    are = "are" if len(missing) > 1 else "is"
    problem = f"{listed(missing, 1)}, named in {paths.LOCK}, {are} missing"
    return [Finding(problem, "dvc repro"), *others]


def md5(file: Path) -> str:
    """MD5 of a file, by which DVC knows it."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()


def _pool(root: Path) -> list[str] | None:
    """The pool in params.yaml; None if that can't be read, which `params` reports."""
    try:
        pool = YAML(typ="safe").load(root / "params.yaml")["pool"]
        return [str(model) for model in pool]
    except (OSError, KeyError, TypeError, YAMLError):
        return None


def locked(root: Path) -> dict[str, str]:
    """Checksum of each file and folder in dvc.lock; empty if there is no dvc.lock."""
    path = root / paths.LOCK
    return checksums(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else {}


def warn_of_other_run(*files: Path) -> None:
    """Warn on stderr if some of these files, or the params, are not those of the last run here.

    Args:
        files: Outputs that a command is about to use, relative to the root of the project, which is
            the working folder.
    """
    named = locked(Path())
    there = {str(file): md5(file) for file in files if file.is_file()}
    others = [file for file, found in there.items() if named.get(file, found) != found]
    notes = params(Path())
    if others:
        notes.append(Finding(f"{listed(others, 1)}: {OTHER_RUN}", "dvc checkout, or dvc repro"))
    for note in notes:
        print(f"note: {note.problem}: {note.remedy}.", file=sys.stderr)


def repository(root: Path) -> list[Finding]:
    """No git repository, without which DVC does nothing."""
    if is_repository(root):
        return []
    remedy = "git clone the project again, or git init && git add . && git commit -m Begin"
    return [Finding("this is no git repository, and DVC needs one", remedy)]


def params(root: Path) -> list[Finding]:
    """Params without results: not run yet or not to the end, merged, or left by a failure."""
    try:
        lock = (root / paths.LOCK).read_text(encoding="utf-8")
        if were_run(read_yaml(root / paths.PARAMS), lock):
            return [] if is_whole(lock) else [_CUT_SHORT]
    except (OSError, ValueError):  # reported elsewhere
        return []
    try:
        changed = git(root, "diff", "--name-only", "--relative", "HEAD", "--", str(paths.PARAMS))
    except ValueError:
        changed = b""
    drop = f", or to drop the change: git checkout HEAD -- {paths.PARAMS}" if changed else ""
    problem = f"{paths.PARAMS} was not run: {paths.LOCK} and the results are from other params"
    return [Finding(problem, f"dvc repro{drop}", broken=False)]
