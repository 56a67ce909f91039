"""Dividing a user's own images into test images and folds of training images.

A group of images (a patient, a burst, a video) is never divided.
"""

import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np

from thumbnets.data.listed import FolderRule, Listed
from thumbnets.data.names import shown


def with_groups(rows: list[Listed], rule: FolderRule, below: list[str]) -> list[Listed]:
    """The images with their groups, as `rule.group` finds them in their paths.

    Args:
        rows: The images.
        rule: Options for reading them; without `group` they stay as they are.
        below: Path of each image below the folder of its part, so that a group has one name in all
            parts.

    Raises:
        ValueError: The pattern finds nothing in a path, or the images have groups already.
    """
    if rule.group is None:
        return rows
    if any(row.group for row in rows):
        raise ValueError(
            f"{rule.path}: both data.group and the column group of the list name groups: leave one "
            "out."
        )
    found = [re.search(rule.group, path) for path in below]
    groups = [match and (match[1] if match.re.groups else match[0]) for match in found]
    if others := [path for path, group in zip(below, groups, strict=True) if not group]:
        raise ValueError(
            f"data.group: '{rule.group}' finds nothing in {len(others)} of {len(below)} paths, as "
            f"{shown(others[0])}: give a pattern that finds the group of every image."
        )
    return [replace(row, group=group) for row, group in zip(rows, groups, strict=True)]


def divide(rows: list[Listed], rule: FolderRule) -> list[Listed]:
    """Training images, then test images, each in the order of the list.

    Unless the folder says which images test, a share of each class does: those that come first by a
    hash of seed and bytes. So names do not matter, and adding an image moves at most one other of
    its class. With groups, whole groups are drawn, as near to the share of each class as they
    allow.

    Raises:
        ValueError: A class has a single image or group.
    """
    if rows and not rows[0].part:
        for label, count in Counter(row.label for row in rows).items():
            if count < 2:
                raise ValueError(
                    f"{rule.path}: class {shown(label)} has one image, but needs three or more, "
                    "to train, validate and test: add some, or take the class out."
                )
        tests = _draw_groups(rows, rule) if any(row.group for row in rows) else _draw(rows, rule)
        rows = [replace(row, part="test" if row.file in tests else "train") for row in rows]
    return sorted(rows, key=lambda row: row.part != "train")  # stable


def _draw(rows: list[Listed], rule: FolderRule) -> set[str]:
    """Files of the images that test, drawn from each class."""
    by_class: dict[str, list[Listed]] = {}
    for row in rows:
        by_class.setdefault(row.label, []).append(row)
    tests = set()
    for of_class in by_class.values():
        drawn = sorted(of_class, key=lambda row: (_hash(row, rule.seed), row.file))
        tests.update(row.file for row in drawn[: _share(len(of_class), rule)])
    return tests


def _share(count: int, rule: FolderRule) -> int:
    """How many of the images of a class test."""
    return min(max(round(rule.test * count), 1), count - 1)


def _draw_groups(rows: list[Listed], rule: FolderRule) -> set[str]:
    """Files of the groups that test; groups are ordered by the least hash of their images."""
    groups: dict[str, list[Listed]] = {}
    for row in rows:
        groups.setdefault(row.group or f"/{row.file}", []).append(row)
    order = sorted(groups.values(), key=lambda of: min(_hash(row, rule.seed) for row in of))
    left = Counter(row.label for row in rows)
    wanted = Counter({label: _share(count, rule) for label, count in left.items()})
    tests: set[str] = set()

    def take(group: list[Listed], counts: Counter[str]) -> None:
        tests.update(row.file for row in group)
        left.subtract(counts)
        wanted.subtract(counts)

    # A class of few groups may have none after the first round: the second gives it one.
    for label in [None, *sorted(left)]:
        if label is not None and any(row.file in tests for row in rows if row.label == label):
            continue
        for group in order:
            counts = Counter(row.label for row in group)
            if group[0].file in tests or any(left[of] <= count for of, count in counts.items()):
                continue
            nearer = sum(abs(wanted[of] - n) - abs(wanted[of]) for of, n in counts.items()) < 0
            if (label is None and nearer) or label in counts:
                take(group, counts)
                if label is not None:
                    break
        else:
            if label is not None:
                raise ValueError(
                    f"{rule.path}: class {shown(label)} has too few groups (data.group) for both "
                    "parts: it needs three or more. Add some, or take the class out."
                )
    return tests


def _hash(row: Listed, seed: int) -> str:
    return hashlib.sha256(f"{seed} {row.sha256}".encode()).hexdigest()


def groups_in_both(rows: list[Listed], rule: FolderRule) -> list[str]:
    """Groups with both training and test images, which a folder that has both parts may hold.

    Raises:
        ValueError: There are some, and `rule.leaks` refuses them.
    """
    of_part = {part: {row.group for row in rows if row.part == part} for part in ("train", "test")}
    both = sorted((of_part["train"] & of_part["test"]) - {""})
    if both and rule.leaks == "refuse":
        raise ValueError(
            f"{rule.path}: {len(both)} groups have training and test images, such as "
            f"{shown(both[0])}: move them into one part, or allow it: data.leaks: tell"
        )
    return both


def stratified_folds(
    labels: np.ndarray,
    *,
    folds: int,
    seed: int,
    classes: list[str] | None = None,
    groups: list[str] | None = None,
) -> np.ndarray:
    """Divide images into folds of nearly equal size and class shares.

    Args:
        labels: int64 [N].
        folds: Number of folds.
        seed: Seed of the division.
        classes: Names of the classes, for the message.
        groups: Group of each image; folds never divide a group. Empty: the image has none.

    Returns:
        int16 [N], the fold of each image.

    Raises:
        ValueError: A class has fewer images or groups than there are folds.
    """
    units = units_of(groups) if groups else np.arange(len(labels))
    rare, count = rarest(labels, units)
    if count < folds:
        name = classes[rare] if classes else rare
        plural = "s" * (count != 1)
        unit = f"group{plural} of training images" if groups else f"training image{plural}"
        raise ValueError(
            f"split.folds is {folds}, but class {shown(name)} has only {count} {unit}: some "
            "fold would have none. "
            f"{'Use fewer folds, or add' if count > 1 else 'Add'} images of the class."
        )
    if not groups:
        return class_folds(labels, folds, seed)
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second, and few need it

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), np.int16)
    for number, (_, chosen) in enumerate(splitter.split(np.zeros(len(labels)), labels, units)):
        fold[chosen] = number
    return fold


def class_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The folds int16 [N] of scikit-learn's `StratifiedKFold(folds, shuffle=True)` with that seed.

    Reimplemented, since importing scikit-learn would take a second in two stages.

    Args:
        labels: int64 [N].
        folds: Number of folds.
        seed: Seed of the division.

    Source: scikit-learn 1.8, `sklearn.model_selection.StratifiedKFold`.
    """
    random = np.random.RandomState(seed)
    _, first, classes = np.unique(labels, return_index=True, return_inverse=True)
    classes = np.argsort(np.argsort(first))[classes]  # numbered as they first occur
    ordered = np.sort(classes)
    shares = [np.bincount(ordered[part::folds], minlength=len(first)) for part in range(folds)]
    fold = np.empty(len(labels), np.int16)
    for number, of_class in enumerate(np.stack(shares, axis=1)):
        drawn = np.arange(folds).repeat(of_class)
        random.shuffle(drawn)
        fold[classes == number] = drawn
    return fold


def numbered(groups: list[str]) -> np.ndarray | None:
    """Numbers of groups in the order of their first images; an image without one counts as one.

    Returns:
        int64 [N]; None if no two images share a group.
    """
    units = units_of(groups)
    first, inverse = np.unique(units, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(first))[inverse] if len(first) < len(groups) else None


def units_of(groups: list[str]) -> np.ndarray:
    """A number for each group; images without one have numbers of their own."""
    names = [group or f"/{number}" for number, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1]


def rarest(labels: np.ndarray, units: np.ndarray) -> tuple[int, int]:
    """The class with the fewest images or groups, and how many it has."""
    counts = {int(label): len(set(units[labels == label])) for label in np.unique(labels)}
    return min(counts.items(), key=lambda item: (item[1], item[0]))
