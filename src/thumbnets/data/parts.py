"""The parts of a folder of images: train/, val/ and test/ by any of their usual names."""

from collections.abc import Iterator
from pathlib import Path

from thumbnets.data.formats import is_left_behind
from thumbnets.data.listing import refuse_link
from thumbnets.data.names import shown

# Names of folders that are parts, in lower case.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def roots(folder: Path) -> Iterator[tuple[str, Path]]:
    """The folders that have class folders, each with the part that its images belong to.

    Raises:
        ValueError: The folders are of another form; in one line, which and what to do.
    """
    top = list(folders_in(folder))
    # A class may be called `train`: what has no folders inside is a class.
    parts: dict[str, Path] = {}
    for path in top:
        if (part := PARTS.get(path.name.lower())) and any(folders_in(path)):
            if part in parts:
                raise ValueError(
                    f"{folder}: {parts[part].name}/ and {path.name}/ are the same part: join them."
                )
            if path.is_symlink():
                refuse_link(path)
            parts[part] = path
    if "train" not in parts:
        _check_no_parts(folder, top)
        yield "", folder
        return
    for path in top:
        if path not in parts.values():
            if path.name.lower() in PARTS:
                raise ValueError(
                    f"{path} has no class folders: put its images into one folder per class, name "
                    "their labels in a list (data.list), or move it elsewhere and ask `thumbnets "
                    "predict` about it."
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
    """Refuse folders that are parts, or a folder around them, as classes.

    Raises:
        ValueError: They are.
    """
    if top and all(path.name.lower() in PARTS for path in top):
        names = ", ".join(f"{path.name}/" for path in top)
        raise ValueError(
            f"{folder} has only {names}, which are parts, not classes: put the images of each "
            "class into a folder there, as train/cat/."
        )
    if len(top) == 1 and any(folders_in(top[0])):
        raise ValueError(
            f"{folder} has one folder alone, {shown(top[0].name)}/: give data.path: {top[0]}"
        )


def folders_in(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir() if p.is_dir() and not is_left_behind(p.name))
