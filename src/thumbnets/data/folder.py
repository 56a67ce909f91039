"""Images of the user's own: a folder with a folder for each class, listed and then read.

The folder stays where it is. `download` writes a list of its images with their checksums, which
is what `preprocess` rests on: another file, or other bytes in one, and it runs again.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from thumbnets import runtime
from thumbnets.artifacts import parsing, read_bounded, read_csv, sha256, write_csv
from thumbnets.data.depth import FULL, depth_of
from thumbnets.data.formats import SUFFIXES, count_kinds, is_left_behind, passed_over
from thumbnets.data.images import MAX_PIXELS, highest_value, read_image
from thumbnets.data.listing import images_below, refuse_link
from thumbnets.data.names import alike, is_text, is_utf8, shown
from thumbnets.data.readers import Content, Part, on_disk
from thumbnets.messages import quote

_LIST = "files.csv"
# Names of folders that are parts, in lower case.
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NAMED = 5  # files in a message
_LONGEST_IMAGE = 1 << 28  # bytes of a file
_AT_ONCE = 256  # images that are read before anything is done with them


@dataclass(frozen=True)
class FolderRule:
    """How a folder of images becomes arrays.

    Attributes:
        path: The folder.
        size: Height and width that images are brought to, pixels.
        fit: How, a key of `images.FITS`.
        test: Share of the images of each class that test, where the folder does not say.
        seed: Draws them.
        broken: `refuse`, or `skip` files that can't be read.
        depth: Bits of the values in files of 16 bits, 8 to 16; None: as many as the highest needs.
        max_pixels: Largest number of pixels of an image.
    """

    path: str
    size: int = 32
    fit: str = "crop"
    test: float = 0.2
    seed: int = 0
    broken: str = "refuse"
    depth: int | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Listed:
    """One image file.

    Attributes:
        part: `train` or `test`; empty where the folder does not say.
        label: Its class, the folder that it lies in.
        file: Its place in the folder.
        sha256: Checksum of its bytes; empty where there are none, as behind a dangling link.
        highest: Highest value in a file of 16 bits, else empty.
    """

    part: str
    label: str
    file: str
    sha256: str
    highest: str = ""


def list_images(folder: Path, target: Path) -> None:
    """Write the list of a folder's images: `files.csv`.

    Args:
        folder: With a folder for each class, or with train/ and maybe test/ (or val/) that have
            them. Where test/ and val/ are both there, the images of val/ train.
        target: Where to write, made if missing.

    Raises:
        ValueError: The folder has another form; the message says what is wrong.
    """
    kinds = Counter[str]()
    places = [(part, path) for part, root in _roots(folder) for path in _images_in(root, kinds)]
    _check_names(folder, places)
    listed = [
        Listed(part, label, path.relative_to(folder).as_posix(), *seen)
        for some, looks in _in_chunks(lambda place: _look(place[1][1]), places, "listing")
        for (part, (label, path)), seen in zip(some, looks, strict=True)
    ]
    _check_classes(folder, listed)
    write_csv(target / _LIST, map(asdict, listed))
    classes = {row.label for row in listed}
    print(f"{folder}: {len(listed):,} images of {len(classes)} classes")
    if kinds:
        print(f"{folder}: {count_kinds(kinds)}")


def _in_chunks(
    function: Callable[[Any], Any], items: list, doing: str
) -> Iterator[tuple[list, list]]:
    """Some items and what the function makes of them, in order, on all cores."""
    bar = tqdm(total=len(items), desc=doing, unit="image", leave=False, delay=2, disable=None)
    with ThreadPoolExecutor(runtime.cores()) as pool, bar:
        for start in range(0, len(items), _AT_ONCE):
            some = items[start : start + _AT_ONCE]
            yield some, list(pool.map(function, some))
            bar.update(len(some))


def _roots(folder: Path) -> Iterator[tuple[str, Path]]:
    """The folders that have class folders, each with the part that its images belong to."""
    if not folder.is_dir():
        raise ValueError(f"data.path: {folder} is no folder.")
    top = list(_folders(folder))
    # A class may be called `train`: what has no folders inside is a class.
    parts: dict[str, Path] = {}
    for path in top:
        if (part := _PARTS.get(path.name.lower())) and any(_folders(path)):
            if part in parts:
                raise ValueError(
                    f"{folder}: {parts[part].name}/ and {path.name}/ are the same part: join them."
                )
            parts[part] = path
    if "train" not in parts:
        _check_no_parts(folder, top)
        yield "", folder
        return
    for path in top:
        if path not in parts.values():
            if path.name.lower() in _PARTS:
                raise ValueError(
                    f"{path} has no class folders: put its images into one folder per class, or "
                    "move it elsewhere and ask `thumbnets predict` about it."
                )
            raise ValueError(
                f"{folder} has {shown(path.name)}/ beside {parts['train'].name}/: only test, val, "
                "validation may be."
            )
    tests = [part for part in ("test", "val") if part in parts]
    yield ("train" if tests else ""), parts["train"]
    for name in tests:
        yield ("test" if name == tests[0] else "train"), parts[name]


def _check_no_parts(folder: Path, top: list[Path]) -> None:
    """Refuse to take for classes what are parts, or a folder around them.

    Raises:
        ValueError: They are.
    """
    if top and all(path.name.lower() in _PARTS for path in top):
        names = ", ".join(f"{path.name}/" for path in top)
        raise ValueError(
            f"{folder} has only {names}, which are parts, not classes: there must be train/ with "
            "one folder per class."
        )
    if len(top) == 1 and any(_folders(top[0])):
        raise ValueError(
            f"{folder} has one folder alone, {shown(top[0].name)}/: give data.path: {top[0]}"
        )


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_behind(p.name))


def _images_in(root: Path, kinds: Counter[str]) -> Iterator[tuple[str, Path]]:
    """Class and path of each image below class folders, in order; others are counted by kind."""
    for loose in sorted(root.iterdir()):
        if loose.is_file() and not is_left_behind(loose.name) and passed_over(loose) is None:
            raise ValueError(f"{shown(loose)} lies in no class folder: put it into one.")
    for label in _folders(root):
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


def _check_names(folder: Path, places: list[tuple[str, tuple[str, Path]]]) -> None:
    """Refuse names that can't be written down, or told apart.

    Raises:
        ValueError: There is one; the message shows it.
    """
    for _, (label, path) in places:
        if not is_text(label) or not is_utf8(str(path)):
            raise ValueError(
                f"{shown(path)}: a class has a control character in its name, or a file a name "
                "that is not UTF-8: rename it."
            )
        if path.is_symlink() and path.exists() and folder.resolve() not in path.resolve().parents:
            refuse_link(path)
    if same := alike(sorted({label for _, (label, _) in places})):
        raise ValueError(
            f"{folder}: classes {same[0]} and {same[1]} differ in case or Unicode form alone: "
            "give them one name, or two that differ."
        )


def _look(path: Path) -> tuple[str, str]:
    """Checksum of a file, empty if it is none, and its highest value if it has 16 bits."""
    if not path.is_file():
        return "", ""
    highest = highest_value(path)
    return sha256(path), "" if highest is None else str(highest)


def _check_classes(folder: Path, listed: list[Listed]) -> None:
    trains = {row.label for row in listed if row.part != "test"}
    if len(trains) < 2:
        raise ValueError(
            f"{folder} must have a folder with images ({', '.join(sorted(SUFFIXES))}) for each of "
            f"two classes or more, got {', '.join(sorted(trains)) or 'none'}."
        )
    if unseen := sorted({row.label for row in listed} - trains):
        raise ValueError(f"{folder}: {unseen[0]} has test images, but no training images.")


@dataclass(frozen=True, eq=False)
class OwnContent(Content):
    """Images of a folder.

    Attributes:
        depth: Bits of the values in files of 16 bits.
    """

    depth: int = FULL


def read_folder(raw: Path, rule: FolderRule) -> OwnContent:
    """Read the images that are listed.

    They are grey if every pixel of every image is, otherwise RGB.

    Args:
        raw: Where the list lies.
        rule: How images are read.

    Raises:
        ValueError: A file has changed since it was listed, or can't be read, or a class has too
            few images.
    """
    rows = divide(read_list(raw / _LIST), rule)
    rule = replace(rule, depth=rule.depth or _found_depth(rows, rule))
    classes = tuple(sorted({row.label for row in rows}))
    kept: list[Listed] = []
    broken: list[str] = []
    coloured = False

    def decoded() -> Iterator[np.ndarray]:
        nonlocal coloured
        for some, found in _in_chunks(lambda row: _decode(row, rule), rows, "reading"):
            broken.extend(problem for problem in found if isinstance(problem, str))
            read = [pair for pair in zip(some, found, strict=True) if not isinstance(pair[1], str)]
            if read:
                kept.extend(row for row, _ in read)
                pixels = np.stack([image for _, image in read])
                coloured |= bool((pixels[:, :1] != pixels[:, 1:]).any())
                yield pixels
        if not kept:
            raise ValueError(f"{rule.path}: no image can be read, the first is {broken[0]}.")

    images = on_disk(decoded(), raw.parent)
    _report_broken(broken, rule, len(rows))
    trains = sum(row.part == "train" for row in kept)
    pixels = images if coloured else images[:, :1]
    labels = np.array([classes.index(row.label) for row in kept])
    files = [row.file for row in kept]
    missing = set(range(len(classes))) - set(labels[:trains].tolist())
    if missing or trains == len(kept):
        name = f"class {classes[min(missing)]}" if missing else "the test part"
        raise ValueError(f"{rule.path}: no image of {name} can be read.")
    return OwnContent(
        classes,
        Part(pixels[:trains], labels[:trains], files[:trains]),
        Part(pixels[trains:], labels[trains:], files[trains:]),
        broken=broken,
        depth=rule.depth,
    )


def _found_depth(rows: list[Listed], rule: FolderRule) -> int:
    """Bits that the values in files of 16 bits fill, told where there are such files."""
    highest = [int(row.highest) for row in rows if row.highest]
    depth = depth_of(highest)
    if highest:
        print(
            f"{rule.path}: values up to {max(highest):,} in {len(highest):,} files of 16 bits, "
            f"read as {depth} bits (data.depth)"
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


def divide(rows: list[Listed], rule: FolderRule) -> list[Listed]:
    """Training images, then test images, each in the order of the list.

    Where the folder does not say, each class gives a share of its images to test: those that come
    first by a hash of seed and bytes. So names do not matter, and an image that is added moves at
    most one other of its class.

    Raises:
        ValueError: A class has a single image.
    """
    if rows and not rows[0].part:
        by_class: dict[str, list[Listed]] = {}
        for row in rows:
            by_class.setdefault(row.label, []).append(row)
        tests = set()
        for label, of_class in by_class.items():
            if len(of_class) < 2:
                raise ValueError(f"{rule.path}: class {label} has one image, needs two or more.")
            count = min(max(round(rule.test * len(of_class)), 1), len(of_class) - 1)
            drawn = sorted(of_class, key=lambda row: (_draw(row, rule.seed), row.file))
            tests.update(row.file for row in drawn[:count])
        rows = [replace(row, part="test" if row.file in tests else "train") for row in rows]
    return sorted(rows, key=lambda row: row.part != "train")  # stable


def _draw(row: Listed, seed: int) -> str:
    return hashlib.sha256(f"{seed} {row.sha256}".encode()).hexdigest()


def _decode(row: Listed, rule: FolderRule) -> np.ndarray | str:
    """Pixels uint8 [3, H, W], or which file can't be read and why."""
    if not row.sha256:
        return f"{shown(row.file)} (no file, or a link to nothing)"
    content = read_bounded(Path(rule.path) / row.file, _LONGEST_IMAGE)
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise ValueError(
            f"{shown(row.file)} has changed since it was listed: run "
            "`dvc repro -f download`, then `dvc repro`."
        )
    try:
        return read_image(
            io.BytesIO(content),
            channels=3,
            size=rule.size,
            fit=rule.fit,
            depth=rule.depth or FULL,
            max_pixels=rule.max_pixels,
        )
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
