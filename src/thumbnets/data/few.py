"""Folds of a user's own images, which may be few, and what so few of them can't show."""

from typing import Any

import numpy as np

from thumbnets.data.arrays import Split
from thumbnets.data.division import rarest, stratified_folds, units_of
from thumbnets.data.names import shown
from thumbnets.messages import listed, plural

_FEW = 200  # images; with fewer the terminal says what they can't show
_TOLD_APART = 8  # least number of images that two networks must differ on
_FEW_GROUPS = 30  # of images


def folds_of_few(
    train: Split, test: Split, groups: list[str] | None, *, folds: int, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Divide training images into folds, with messages where there are few images.

    Args:
        train: The training images.
        test: The test images.
        groups: Group of each training image; None: there are no groups.
        folds: Number of folds, if there are enough images.
        seed: Seed of the division.

    Returns:
        int16 [N], the fold of each training image; and findings: `folds`, their number;
        `validates`, the number of images in fold 0; `few`, what few images mean, in sentences.

    Raises:
        ValueError: A class has a single training image or group.
    """
    fold = fitting_folds(
        train.labels, folds=folds, seed=seed, classes=train.meta.classes, groups=groups
    )
    validates = int((fold == 0).sum())
    few = few_images(validates, len(test.labels))
    few += few_groups(None if train.group is None else train.group[fold == 0], test.group)
    few += untested(test.labels, test.meta.classes)
    print(*few, sep="\n", end="\n" * bool(few))
    return fold, {"folds": int(fold.max()) + 1, "validates": validates, "few": few}


def fitting_folds(
    labels: np.ndarray,
    *,
    folds: int,
    seed: int,
    classes: list[str],
    groups: list[str] | None = None,
) -> np.ndarray:
    """As `stratified_folds`, but in fewer folds, with a message, if a class is too rare.

    Raises:
        ValueError: A class has a single training image or group, so that two folds are too many, or
            all of its groups would validate.
    """
    rare, count = rarest(labels, units_of(groups) if groups else np.arange(len(labels)))
    if count < 2:
        unit = "group of training images" if groups else "training image"
        raise ValueError(
            f"class {shown(classes[rare])} has only one {unit}: two or more are needed, some of "
            "which validate. Add some, take the class out, or lower data.test if it is high."
        )
    for fewer in range(min(folds, count), 1, -1):
        fold = stratified_folds(labels, folds=fewer, seed=seed, classes=classes, groups=groups)
        if all(len(set(fold[labels == c])) == fewer for c in set(labels.tolist())):
            break
    else:  # whole groups leave a fold without a class
        fold = _with_every_class(fold, labels, units_of(groups or []))
        if absent := sorted(set(labels.tolist()) - set(labels[fold != 0].tolist())):
            raise ValueError(
                f"class {shown(classes[absent[0]])} would have no images to train on: no group of "
                "it can be moved without taking another class away. Give smaller groups "
                "(data.group), or add images."
            )
    if fewer < folds:
        unit = "groups" if groups else "training images"
        why = f"class {shown(classes[rare])} has only {count} {unit}"
        if fewer < count:
            why = "with more, whole groups would leave a fold without a class"
        print(f"{fewer} folds instead of {folds} (split.folds): {why}")
    return fold


def _with_every_class(fold: np.ndarray, labels: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Two folds with images of every class, if moving one group for each class is enough.

    Args:
        fold: int [N], 0 or 1.
        labels: int64 [N].
        units: int64 [N], number of the group of each image.
    """
    fold = fold.copy()

    def may_leave(unit: int) -> bool:
        stays = (fold == fold[units == unit][0]) & (units != unit)
        return set(labels[units == unit].tolist()) <= set(labels[stays].tolist())

    for label in np.unique(labels):
        of_class = labels == label
        if np.ptp(fold[of_class]):  # it is in both
            continue
        if movable := [unit for unit in np.unique(units[of_class]) if may_leave(unit)]:
            smallest = min(movable, key=lambda unit: (int((units == unit).sum()), unit))
            fold[units == smallest] ^= 1
    return fold


def few_images(validates: int, tests: int) -> list[str]:
    """What few validation or test images can't distinguish, in a sentence for each part.

    If two networks differ on fewer than eight images, McNemar's exact test at the level of 1 %
    can't say that one is better, even if it is right on all of them: 2 / 2^7 > 0.01.
    """
    said = []
    for count, doing in ((validates, "validate"), (tests, "test")):
        if count < _FEW:
            which = "no two networks can be told apart"
            if count >= _TOLD_APART:
                points = 100 * _TOLD_APART / count
                which = (
                    f"networks whose accuracies differ by less than {points:.1f} points can't be "
                    "told apart"
                )
            more = " split.rotate: true validates on each fold in turn." * (doing == "validate")
            number = plural(count, "image")
            said.append(f"Only {number} {doing}{'s' * (count == 1)}: {which}.{more}")
    return said


def untested(labels: np.ndarray, classes: list[str]) -> list[str]:
    """What classes without test images mean, in a sentence, if there are any.

    Args:
        labels: int64 [N], labels of the test images.
        classes: Names of all classes.
    """
    present = set(labels.tolist())
    absent = [name for number, name in enumerate(classes) if number not in present]
    names = listed(shown(name) for name in absent)
    return [f"No images test {names}: nothing says how well they are recognised."] * bool(absent)


def few_groups(validates: np.ndarray | None, tests: np.ndarray | None) -> list[str]:
    """What few groups of validation or test images mean, in a sentence for each part.

    Args:
        validates: int64 [V], number of the group of each validation image; None: no groups.
        tests: int64 [N], the same of the test images.
    """
    said = []
    for groups, doing in ((validates, "validate"), (tests, "test")):
        if groups is None:
            continue
        count = len(np.unique(groups))
        if count == 1:
            said.append(f"All images that {doing} are of one group: intervals tell nothing.")
        elif count < _FEW_GROUPS:
            said.append(f"Only {count} groups of images {doing}: intervals will be wide.")
    return said
