"""Whether the results of a commit are of the params and the code that it has."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from thumbnets.paths import INPUTS, LOCK, PARAMS, items
from thumbnets.review.code import checksums
from thumbnets.review.git import Snapshot
from thumbnets.yaml_files import parse_yaml

_PARAMS = str(PARAMS)
_CODE = ("src/thumbnets", "stages")

# What dvc.lock says of a stage; a parser takes a second for all of it.
_STAGE = re.compile(r"^  (\S+):\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)


def why_stale(base: Snapshot, head: Snapshot, *, settings: bool, code: bool) -> str | None:
    """Why the results of a head are not of what it holds; None where nothing tells.

    Files count if they say something else, and `dvc repro` has not seen that: dvc.lock has the same
    checksums of them as in the base.

    Args:
        base: A commit before.
        head: The commit.
        settings: Whether blocks of the two have different settings.
        code: Whether their code differs.
    """
    lock = head.lock
    if not were_run(parse_yaml(head.files[_PARAMS].encode(), _PARAMS), lock):
        return _told(_PARAMS, head)
    if settings and _unseen(base, head, ["zoo"]):
        return _told("zoo/", head)
    if code and _unseen(base, head, _CODE):
        return _told("the code", head)
    return cut_short(head)


def cut_short(snapshot: Snapshot) -> str | None:
    """Why nothing of a commit can be compared whose run did not come to its end; else None."""
    if is_whole(snapshot.lock):
        return None
    problem = f"the run of {snapshot.short} did not come to its end"
    return f"{problem}, so its metrics may be of the run before: {snapshot.remedy}"


def were_run(params: Mapping[str, Any], lock: str) -> bool:
    """Whether stage `code` ran with these params by the text of dvc.lock, or that does not tell."""
    run = _run_params(dict(_STAGE.findall(lock)))
    return run is None or _as_text(params) == _as_text(run)


def is_whole(lock: str) -> bool:
    """Whether each stage of a run has seen what those before it made, or dvc.lock does not tell.

    A run that was interrupted, or `thumbnets train` alone, leaves later stages as they ran before:
    what they depend on is not what is there. Of stage `code` dvc.lock has the checksum of a folder,
    whose files other stages depend on one by one.
    """
    stages = dict(_STAGE.findall(lock))
    try:
        run = _run_params(stages)
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


def _run_params(stages: Mapping[str, str]) -> Any:
    """The params that stage `code` ran with; None where that is not told, or in a damaged way."""
    try:
        return parse_yaml(stages["code"].encode(), str(LOCK))["params"][_PARAMS]
    except (ValueError, LookupError, TypeError):
        return None


def _of_folder(files: Iterable[tuple[str, str]]) -> str:
    """The checksum that DVC gives to a folder of files: that of its list of them."""
    rows = [
        {"md5": md5, "relpath": path}
        for path, md5 in sorted(files, key=lambda file: file[0].split("/"))
    ]
    return hashlib.md5(json.dumps(rows, sort_keys=True).encode()).hexdigest() + ".dir"


def _as_text(params: Any) -> str:
    """Params as a text that is the same for equal values, in whatever order of keys."""
    return json.dumps(params, sort_keys=True, default=str)


def _unseen(base: Snapshot, head: Snapshot, paths: Iterable[str]) -> bool:
    """Whether files below the paths differ while dvc.lock has the same checksums of them."""
    old, new = (checksums(of.lock) for of in (base, head))
    inside = tuple(f"{path}/" for path in paths)

    def files(snapshot: Snapshot) -> dict[str, str]:
        return {name: of for name, of in snapshot.objects.items() if name.startswith(inside)}

    same = all(path in new and old.get(path) == new[path] for path in paths)
    return same and files(base) != files(head)


def _told(what: str, snapshot: Snapshot) -> str:
    return f"{what} of {snapshot.short} was changed and not run: {snapshot.remedy}"
