"""Images of the user's own: a folder with a folder for each class, listed and then read.

The folder stays where it is. `download` writes a list of its images with their checksums, which
is what `preprocess` rests on: another file, or other bytes in one, and it runs again.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from thumbnets import runtime
from thumbnets.artifacts import (
    parsing,
    read_bounded,
    read_csv,
    read_json,
    sha256,
    write_csv,
    write_json,
)
from thumbnets.data.depth import FULL, depth_of
from thumbnets.data.division import divide, groups_in_both, with_groups
from thumbnets.data.formats import SUFFIXES, count_kinds, is_left_behind, passed_over
from thumbnets.data.images import highest_value, read_image, read_sides
from thumbnets.data.labels import read_labels
from thumbnets.data.listed import FolderRule, Listed
from thumbnets.data.listing import images_below, refuse_link
from thumbnets.data.names import alike, is_text, is_utf8, shown, spelled
from thumbnets.data.parts import folders_in, roots
from thumbnets.data.readers import Content, Part, on_disk
from thumbnets.messages import plural, quote

LIST = "files.csv"
_PASSED_OVER = "passed_over.json"
_NAMED = 5  # files in a message
_MAX_GROUPS = 20  # that findings name
_LONGEST_IMAGE = 1 << 28  # bytes of a file
_AT_ONCE = 256  # images that are read before anything is done with them


def list_images(rule: FolderRule, target: Path) -> None:
    """Write the list of a folder's images, `files.csv`, and what was passed over, by kind.

    Args:
        rule: Options for reading the images. Its folder has a folder for each class; or train/ and
            maybe test/ (or val/) with such folders; or a list of labels. If there are both test/
            and val/, the images of val/ are training images.
        target: Where to write, made if missing.

    Raises:
        ValueError: The folder has another form; the message says what is wrong.
    """
    folder, kinds = Path(rule.path), Counter[str]()
    if not folder.is_dir():
        raise ValueError(
            f"data.path: {folder} is no folder: name one that holds a folder per class."
        )
    if rule.list is None:
        parts = list(roots(folder))
        for place in dict.fromkeys([folder, *(root for _, root in parts)]):
            _refuse_loose(place, kinds)
        found = [
            (part, label, "", path, path.relative_to(root).as_posix())
            for part, root in parts
            for label, path in _images_in(root, kinds)
        ]
    else:
        found = [
            (*named, named[-1].relative_to(folder).as_posix()) for named in read_labels(rule, kinds)
        ]
    _check_names(folder, [(label, path) for _, label, _, path, _ in found])
    looks = _in_chunks(lambda place: _look(place[3], rule), found, "listing")
    listed = [
        Listed(part, label, path.relative_to(folder).as_posix(), *seen, group=group)
        for some, of_some in looks
        for (part, label, group, path, _), seen in zip(some, of_some, strict=True)
    ]
    _check_classes(rule, listed)
    listed = with_groups(listed, rule, [below for *_, below in found])
    _refuse_alike(folder, "groups", {row.group for row in listed})
    write_csv(target / LIST, map(asdict, listed))
    write_json(target / _PASSED_OVER, kinds)
    classes = {row.label for row in listed}
    print(f"{folder}: {len(listed):,} images of {len(classes)} classes")
    if kinds:
        print(f"{folder}: {count_kinds(kinds)}")


def _in_chunks(
    function: Callable[[Any], Any], items: list, doing: str
) -> Iterator[tuple[list, list]]:
    """Items with their results of the function, in order, some at a time, on all cores."""
    bar = tqdm(total=len(items), desc=doing, unit="image", leave=False, delay=2, disable=None)
    with ThreadPoolExecutor(runtime.cores()) as pool, bar:
        for start in range(0, len(items), _AT_ONCE):
            some = items[start : start + _AT_ONCE]
            yield some, list(pool.map(function, some))
            bar.update(len(some))


def _images_in(root: Path, kinds: Counter[str]) -> Iterator[tuple[str, Path]]:
    """Class and path of each image below class folders, in order; others are counted by kind."""
    for label in folders_in(root):
        found, inside = False, Counter[str]()
        for path in images_below(label, inside):
            found = True
            yield label.name, path
        if not found:
            why = f" ({count_kinds(inside)})" if inside else ""
            raise ValueError(
                f"class folder {shown(label)} has no image{why}: add some or remove it."
            )
        kinds.update(inside)


def _refuse_loose(folder: Path, kinds: Counter[str]) -> None:
    """Refuse images that lie beside the class folders; other files are counted by kind.

    Raises:
        ValueError: There is one.
    """
    for loose in sorted(folder.iterdir()):
        if loose.is_file() and not is_left_behind(loose.name):
            if not (kind := passed_over(loose)):
                raise ValueError(f"{shown(loose)} lies in no class folder: put it into one.")
            kinds[kind] += 1


def _check_names(folder: Path, places: list[tuple[str, Path]]) -> None:
    """Refuse names that can't be written to a file, or are too alike.

    Raises:
        ValueError: There is one; the message shows it.
    """
    for label, path in places:
        if not is_text(label) or not is_utf8(str(path)):
            raise ValueError(
                f"{shown(path)}: a class has a character in its name that can't be seen, or a file "
                "a name that is not UTF-8: rename it."
            )
        if "\r" in str(path):
            raise ValueError(f"{shown(path)} has a carriage return in its name: rename it.")
        if path.is_symlink() and path.exists() and folder.resolve() not in path.resolve().parents:
            refuse_link(path)
    _refuse_alike(folder, "classes", {label for label, _ in places})


def _refuse_alike(folder: Path, kind: str, names: set[str]) -> None:
    """Refuse names of classes or groups that are too alike.

    Raises:
        ValueError: Two are; the message shows both.
    """
    if same := alike(sorted(names)):
        raise ValueError(
            f"{folder}: {kind} {spelled(same[0])} and {spelled(same[1])} differ in case, Unicode "
            "form or invisible characters alone: give them one name, or two that differ."
        )


def _look(path: Path, rule: FolderRule) -> tuple[str, str]:
    """Checksum of a path, empty if it is not a file, and its highest value if it has 16 bits."""
    if not path.is_file():
        return "", ""
    highest = highest_value(path, max_pixels=rule.max_pixels)
    return sha256(path), "" if highest is None else str(highest)


def _check_classes(rule: FolderRule, listed: list[Listed]) -> None:
    folder, trains = rule.path, {row.label for row in listed if row.part != "test"}
    if len(trains) < 2 and rule.list:
        raise ValueError(
            f"data.list: {rule.list} must have training images of two classes or more, got "
            f"{', '.join(map(shown, trains)) or 'none'}."
        )
    if len(trains) < 2:
        raise ValueError(
            f"{folder} must have a folder with images ({', '.join(sorted(SUFFIXES))}) for each of "
            f"two classes or more, got {', '.join(sorted(trains)) or 'none'}."
        )
    if unseen := sorted({row.label for row in listed} - trains):
        raise ValueError(
            f"{folder}: class {shown(unseen[0])} has test images, but no training images: add "
            "some, or take the class out."
        )


@dataclass(frozen=True, eq=False)
class OwnContent(Content):
    """Images of a folder.

    Attributes:
        depth: Bits that the values in 16-bit files use.
        groups: Group of each training image; None where there are no groups.
        test_groups: The same of each test image.
        about: Further findings: see `Findings.own`.
    """

    depth: int = FULL
    groups: list[str] | None = None
    test_groups: list[str] | None = None
    about: dict[str, Any] = field(default_factory=dict)


def read_folder(raw: Path, rule: FolderRule) -> OwnContent:
    """Read the images that are listed.

    They are grey if every pixel of every image is, otherwise RGB. Files that can't be read take no
    part in the draw of test images.

    Args:
        raw: Where the list lies.
        rule: How images are read.

    Raises:
        ValueError: A file has changed since it was listed, or can't be read, or a class has too
            few images.
    """
    listed = read_list(raw / LIST)
    classes = tuple(sorted({row.label for row in listed}))
    rows = divide(listed, rule)
    both, deep = groups_in_both(rows, rule), sum(bool(row.highest) for row in rows)
    rule = replace(rule, depth=_found_depth(rows, rule))
    read = _read(rows, rule, raw.parent)
    broken = read.broken
    _report_broken(broken, rule, len(listed))
    if broken:
        whole = {row.file for row in read.rows}
        drawn = divide([row for row in listed if row.file in whole], rule)
        if drawn != read.rows:
            read = _read(drawn, rule, raw.parent)
    kept = read.rows
    trains = sum(row.part == "train" for row in kept)
    pixels = read.images if read.coloured else read.images[:, :1]
    labels = np.array([classes.index(row.label) for row in kept])
    groups = [row.group for row in kept]

    def part(which: slice) -> Part:
        rows = kept[which]
        files, checksums = [row.file for row in rows], [row.sha256 for row in rows]
        return Part(pixels[which], labels[which], files, checksums, np.array(read.sides[which]))

    missing = set(range(len(classes))) - set(labels[:trains].tolist())
    if missing or trains == len(kept):
        name = f"class {classes[min(missing)]}" if missing else "the test part"
        raise ValueError(f"{rule.path}: no image of {name} can be read.")
    return OwnContent(
        classes,
        part(slice(trains)),
        part(slice(trains, None)),
        broken=broken,
        depth=rule.depth,
        groups=groups[:trains] if any(groups) else None,
        test_groups=groups[trains:] if any(groups) else None,
        about={
            "passed_over": read_json(raw / _PASSED_OVER),
            "deep_files": deep,
            "depth": rule.depth if deep else None,
            "groups": len({*groups} - {""}),
            "groups_in_both": both[:_MAX_GROUPS],
            "groups_in_both_count": len(both),
        },
    )


@dataclass(eq=False)
class _Read:
    """What was read of listed files.

    Attributes:
        images: uint8 [N, 3, H, W], those that can be read, on disk.
        rows: Their rows of the list.
        sides: Width and height of each file.
        coloured: Whether a pixel of any image is not grey.
        broken: Files that can't be read, with the reason.
    """

    images: np.ndarray
    rows: list[Listed]
    sides: list[tuple[int, int]]
    coloured: bool
    broken: list[str]


def _read(rows: list[Listed], rule: FolderRule, folder: Path) -> _Read:
    """Read files in their order; `folder` is on a disk that takes the images.

    Raises:
        ValueError: None can be read, or one has changed since it was listed.
    """
    read = _Read(np.empty(0), [], [], False, [])

    def decoded() -> Iterator[np.ndarray]:
        for some, found in _in_chunks(lambda row: _decode(row, rule), rows, "reading"):
            read.broken.extend(problem for problem in found if isinstance(problem, str))
            pairs = [pair for pair in zip(some, found, strict=True) if not isinstance(pair[1], str)]
            if pairs:
                read.rows.extend(row for row, _ in pairs)
                pixels = np.stack([image for _, (image, _) in pairs])
                read.sides.extend(sides for _, (_, sides) in pairs)
                read.coloured |= bool((pixels[:, :1] != pixels[:, 1:]).any())
                yield pixels
        if not read.rows:
            raise ValueError(f"{rule.path}: no image can be read, the first is {read.broken[0]}.")

    read.images = on_disk(decoded(), folder)
    return read


def _found_depth(rows: list[Listed], rule: FolderRule) -> int:
    """Bits that the values in 16-bit files are read as, with a message if there are such files."""
    highest = [int(row.highest) for row in rows if row.highest]
    depth = rule.depth or depth_of(highest)
    if highest:
        above = sum(value >> depth > 0 for value in highest)
        print(
            f"{rule.path}: values up to {max(highest):,} in {plural(len(highest), 'file')} of 16 "
            f"bits, read as {depth} bits (data.depth)"
            + f": higher values, in {above:,} of them, become white"
            * (above > 0)
        )
    return depth


def read_list(path: Path) -> list[Listed]:
    """Read the list that `list_images` wrote.

    Raises:
        ValueError: The file is missing or damaged, or names a file outside the folder.
    """
    rows = read_csv(path)
    with parsing(path):
        listed = [Listed(**row) for row in rows]
        if not listed:
            raise ValueError("it lists no image")
        for row in listed:
            if Path(row.file).is_absolute() or ".." in Path(row.file).parts or "\0" in row.file:
                raise ValueError(f"{quote(row.file)} must lie in the folder of the images")
    return listed


def _decode(row: Listed, rule: FolderRule) -> tuple[np.ndarray, tuple[int, int]] | str:
    """Pixels uint8 [3, H, W] with the file's width and height; or which file fails and why."""
    if not row.sha256:
        return f"{shown(row.file)} (no file, or a link to nothing)"
    path = Path(rule.path) / row.file
    if path.is_file() and path.stat().st_size > _LONGEST_IMAGE:
        return f"{shown(row.file)} (more than {_LONGEST_IMAGE >> 20} MiB)"
    content = read_bounded(path, _LONGEST_IMAGE)
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise ValueError(
            f"{shown(row.file)} has changed since it was listed: run "
            "`dvc repro -f download`, then `dvc repro`."
        )
    try:
        pixels = read_image(
            io.BytesIO(content),
            channels=3,
            size=rule.size,
            fit=rule.fit,
            depth=rule.depth or FULL,
            max_pixels=rule.max_pixels,
        )
        return pixels, read_sides(io.BytesIO(content), max_pixels=rule.max_pixels)
    except ValueError as error:
        return f"{shown(row.file)} ({error})"


def _report_broken(broken: list[str], rule: FolderRule, total: int) -> None:
    """Say which files can't be read; refuse them unless they are to be skipped."""
    if not broken:
        return
    named = ", ".join(broken[:_NAMED]) + (", …" if len(broken) > _NAMED else "")
    message = f"{rule.path}: {len(broken)} of {total} images can't be read: {named}"
    if rule.broken == "refuse":
        raise ValueError(f"{message}. Repair or remove them, or leave them out: data.broken: skip")
    print(f"{message}. Left out.")
