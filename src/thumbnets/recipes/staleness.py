"""Whether a result comes from the present code, params and data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thumbnets.messages import listed
from thumbnets.params import Params
from thumbnets.recipes.basis import Basis, basis
from thumbnets.recipes.recipe import RecipeFile

CURRENT, NOT_RUN = "current", "not run"
_NAMED = 4  # models named in a line


@dataclass(frozen=True)
class Verdict:
    """Verdict on a recipe's result.

    Attributes:
        states: Only `current`, or all reasons why it is not.
        reached: Names of the models (or `ensemble`) whose goals the result reaches.
        missed: Names of those whose goals it misses.
        open: Names of those for which nothing was measured.
    """

    states: list[str]
    reached: list[str]
    missed: list[str]
    open: list[str]

    def __str__(self) -> str:
        parts = ["; ".join(self.states)]
        goals = len(self.reached) + len(self.missed)
        if goals:
            parts.append(f"{len(self.reached)} of {goals} goals reached")
        if self.missed:
            parts.append(f"missed: {', '.join(self.missed)}")
        if self.open:
            parts.append(f"{len(self.open)} goals open")
        return ", ".join(parts)


def judge(file: RecipeFile, result: Mapping[str, Any] | None, params: Params) -> Verdict:
    """Compare a result with what the recipe would rest on if it were run now.

    Args:
        file: The recipe.
        result: Its result, from `pages.read_results`; None if it was not run.
        params: Params of the recipe, validated in the working folder.
    """
    if result is None:
        return Verdict([NOT_RUN], [], [], [goal.of for goal in file.recipe.goals])
    goals = {True: [], False: []}
    for goal in result["goals"]:
        goals[goal["reached"]].append(goal["of"])
    measured = {(goal["of"], goal["metric"]) for goal in result["goals"]}
    left = [goal.of for goal in file.recipe.goals if (goal.of, goal.metric) not in measured]
    return Verdict(_states(file, result, params), goals[True], goals[False], left)


def _states(file: RecipeFile, result: Mapping[str, Any], params: Params) -> list[str]:
    commit = result["measured"]["commit"][:12]
    if not result["measured"]["checksums"]:
        states = [f"measured before checksums were kept (commit {commit})"]
        return states + _other_seeds(file, result)
    then, now = dict(result["basis"]), basis(params)
    states = _other_seeds(file, result)
    if verified := result.get("verified"):
        before = _changed(then["code"], now["code"])
        then["code"] = then["code"] | verified["code"]
        if len(_changed(then["code"], now["code"])) < len(before):
            states.append(
                f"verified at commit {verified['commit'][:12]} ({len(verified['trainings'])} of "
                f"{len(result['trainings'])} trainings byte for byte)"
            )
    states += differences(then, now)
    return states or [CURRENT]


def _other_seeds(file: RecipeFile, result: Mapping[str, Any]) -> list[str]:
    seeds = result["recipe"]["seeds"]
    return [f"measured with other seeds, {seeds}"] if seeds != file.recipe.seeds else []


def differences(then: Basis, now: Basis) -> list[str]:
    """Models, code, params and data that changed, with the models and stages concerned."""
    found = []
    gone, new = _missing(then, now), _missing(now, then)
    if gone:
        found.append(f"no longer of {listed(gone, _NAMED)}")
    if new:
        found.append(f"not yet of {listed(new, _NAMED)}")
    for key, called in (("code", "code"), ("settings", "params")):
        names = [name for name in _changed(then[key], now[key]) if name not in (*gone, *new)]
        if names:
            found.append(f"{called} changed ({listed(names, _NAMED)})")
    # A file that is not here, such as a teacher, counts as unchanged.
    here = {path: checksum for path, checksum in now["files"].items() if checksum}
    if names := [path for path in here if then["files"].get(path) not in (None, here[path])]:
        found.append(f"files changed ({listed(names, _NAMED)})")
    if then.get("own_images") != now.get("own_images"):
        found.append("data changed (own images)")
    return found


def _missing(of: Basis, other: Basis) -> list[str]:
    """Models and encoders of one basis that another one does not have."""
    return [name for name in of["settings"] if name not in other["settings"]]


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in {**now, **then} if then.get(name) != now.get(name)]
