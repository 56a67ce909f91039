"""Whether the results of a commit are of the params and the code that it has."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from thumbnets.review.code import checksums
from thumbnets.review.git import TREE, Snapshot
from thumbnets.yaml_files import parse_yaml

_PARAMS, _LOCK = "params.yaml", "dvc.lock"
_CODE = ("src/thumbnets", "stages")

# What dvc.lock says of stage `code`, which reads all params; a parser takes a second for all of it.
_STAGE = re.compile(r"^  code:\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)


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
    lock = head.files.get(_LOCK, "")
    if not were_run(parse_yaml(head.files[_PARAMS].encode(), _PARAMS), lock):
        return _told(_PARAMS, head)
    if settings and _unseen(base, head, ["zoo"]):
        return _told("zoo/", head)
    if code and _unseen(base, head, _CODE):
        return _told("the code", head)
    return None


def were_run(params: Mapping[str, Any], lock: str) -> bool:
    """Whether stage `code` ran with these params by the text of dvc.lock, or that does not tell."""
    if not (stage := _STAGE.search(lock)):
        return True
    try:
        run = parse_yaml(stage[1].encode(), _LOCK)["params"][_PARAMS]
    except (ValueError, LookupError, TypeError):  # damaged, which others tell
        return True
    return _as_text(params) == _as_text(run)


def _as_text(params: Any) -> str:
    """Params as a text that is the same for equal values, in whatever order of keys."""
    return json.dumps(params, sort_keys=True, default=str)


def _unseen(base: Snapshot, head: Snapshot, paths: Iterable[str]) -> bool:
    """Whether files below the paths differ while dvc.lock has the same checksums of them."""
    old, new = (checksums(of.files.get(_LOCK, "")) for of in (base, head))
    inside = tuple(f"{path}/" for path in paths)

    def files(snapshot: Snapshot) -> dict[str, str]:
        return {name: of for name, of in snapshot.objects.items() if name.startswith(inside)}

    same = all(path in new and old.get(path) == new[path] for path in paths)
    return same and files(base) != files(head)


def _told(what: str, snapshot: Snapshot) -> str:
    remedy = "run `dvc repro`"
    if snapshot.name != TREE:
        remedy += f" and commit {_LOCK} and metrics/"
    return f"{what} of {snapshot.short} was changed and not run: {remedy}"
