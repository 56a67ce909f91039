"""Whether the results of a commit come from the params and the code that it has."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from thumbnets.paths import CORRECTIONS, INPUTS, LOCK, PARAMS, REQUIREMENTS, items
from thumbnets.review.code import checksums
from thumbnets.review.snapshot import Snapshot
from thumbnets.yaml_files import parse_yaml

_PARAMS = str(PARAMS)
_CODE = ("src/thumbnets", "stages")
_IGNORED = (".gitignore", ".DS_Store")  # as in .dvcignore, of what git may track

# A stage in dvc.lock; a YAML parser takes a second for the whole file.
_STAGE = re.compile(r"^  (\S+):\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)


def why_stale(base: Snapshot, head: Snapshot, *, settings: bool, code: bool) -> str | None:
    """Why the results of a head do not come from its params and code; None if no sign says so.

    Args:
        base: An earlier commit.
        head: The commit.
        settings: Whether blocks of the two commits have different settings.
        code: Whether code or libraries of the two commits differ.
    """
    if reason := not_run(head):
        return reason
    if _unseen(base, head, ["zoo"], settings):
        return _told("zoo/", head)
    if _unseen(base, head, _CODE, code):
        return _told("the code", head)
    if _unseen(base, head, [str(REQUIREMENTS)], code):
        return _told(str(REQUIREMENTS), head)
    if (mended := _corrections(head)) and _unseen(base, head, [str(CORRECTIONS)], True):
        return _told(mended, head)
    return None


def not_run(snapshot: Snapshot) -> str | None:
    """Why nothing of a commit can be compared if its params were not run, or not to the end."""
    if not were_run(_params(snapshot), snapshot.lock):
        return _told(_PARAMS, snapshot)
    return _cut_short(snapshot)


def _params(snapshot: Snapshot) -> dict[str, Any]:
    return parse_yaml(snapshot.files[_PARAMS].encode(), _PARAMS)


def _corrections(snapshot: Snapshot) -> str | None:
    """The list of corrected labels that the params name, if any."""
    data = _params(snapshot).get("data")
    name = data.get("corrections") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else None


def _cut_short(snapshot: Snapshot) -> str | None:
    """Why nothing of a commit can be compared if its run did not finish; None if it did."""
    if is_whole(snapshot.lock):
        return None
    problem = f"the run of {snapshot.short} did not finish"
    return f"{problem}, so its metrics may be from the run before: {snapshot.remedy}"


def were_run(params: Mapping[str, Any], lock: str) -> bool:
    """Whether stage `code` ran with these params according to dvc.lock; True if it doesn't tell."""
    run = run_params(lock)
    return run is None or _as_text(params) == _as_text(run)


def is_whole(lock: str) -> bool:
    """Whether each stage of a run has seen the outputs of earlier ones; True if dvc.lock is silent.

    An interrupted run, or `thumbnets train` alone, leaves later stages as they ran before: their
    dependencies in dvc.lock differ from the outputs. The output of stage `code` is a folder with
    one checksum, while other stages depend on its files one by one.
    """
    stages = dict(_STAGE.findall(lock))
    try:
        run = run_params(lock)
        of_the_run = items(run["pool"], run["seeds"])
    except (LookupError, TypeError):
        return True
    made: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for name, text in stages.items():
        if name.partition("@")[2] in of_the_run:
            before, _, after = text.partition("    outs:\n")
            seen |= checksums(before).items()
            made |= checksums(after)
    folder = f"{INPUTS}/"
    inputs = [(path.removeprefix(folder), md5) for path, md5 in seen if path.startswith(folder)]
    seen.add((str(INPUTS), _of_folder(inputs)))
    return all(made.get(path, md5) == md5 for path, md5 in seen)


def run_params(lock: str) -> Any:
    """The params that stage `code` ran with, from dvc.lock; None if they are missing or damaged."""
    try:
        return parse_yaml(dict(_STAGE.findall(lock))["code"].encode(), str(LOCK))["params"][_PARAMS]
    except (ValueError, LookupError, TypeError):
        return None


def _of_folder(files: Iterable[tuple[str, str]]) -> str:
    """DVC's checksum of a folder: that of the list of its files."""
    rows = [
        {"md5": md5, "relpath": path}
        for path, md5 in sorted(files, key=lambda file: file[0].split("/"))
    ]
    return hashlib.md5(json.dumps(rows, sort_keys=True).encode()).hexdigest() + ".dir"


def _as_text(params: Any) -> str:
    """Params as text, independent of the order of keys."""
    return json.dumps(params, sort_keys=True, default=str)


def _unseen(base: Snapshot, head: Snapshot, paths: Iterable[str], matters: bool) -> bool:
    """Whether files or folders of the head are not those that its run has seen.

    Args:
        base: An earlier commit.
        head: The commit.
        paths: Files and folders; those that dvc.lock does not have are passed over.
        matters: Whether what differs between the two commits is more than comments. If nothing was
            run between them, only that was not seen; else what was not seen is unknown.
    """
    old, new = (checksums(of.lock) for of in (base, head))
    return any(
        matters and _files(base, path) != _files(head, path)
        if old.get(path) == new[path]
        else _checksum(head, path) != new[path]
        for path in paths
        if path in new
    )


def _files(snapshot: Snapshot, path: str) -> dict[str, str]:
    """The object of a file, or of each file in a folder, as DVC lists them."""
    return {
        name: of
        for name, of in snapshot.objects.items()
        if (name == path or name.startswith(f"{path}/"))
        and PurePosixPath(name).name not in _IGNORED
    }


def _checksum(snapshot: Snapshot, path: str) -> str:
    """DVC's checksum of a file or folder of a commit."""
    md5 = {
        name: hashlib.md5(content).hexdigest()
        for name, content in snapshot.contents(_files(snapshot, path)).items()
    }
    return md5.get(path) or _of_folder((name[len(path) + 1 :], of) for name, of in md5.items())


def _told(what: str, snapshot: Snapshot) -> str:
    return f"{what} of {snapshot.short} was changed but not run: {snapshot.remedy}"
