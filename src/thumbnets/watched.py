"""What DVC watches of the user's own images, and must be able to read."""

from pathlib import Path

from thumbnets import paths
from thumbnets.data.columns import check_columns
from thumbnets.data.listing import refuse_untracked
from thumbnets.messages import quote
from thumbnets.params import Params


def check_watched(params: Params) -> None:
    """Refuse what DVC watches and can't read, before DVC does in its own words.

    Not done when params are read: a machine that trains may have no images but those sent to it.

    Raises:
        ValueError: `data.path` is missing (DVC looks at it even if the data set needs none), or it
            holds folders of the pipeline, what `refuse_untracked` refuses, or a list that
            `check_columns` refuses.
    """
    if paths.RAW.resolve().is_relative_to(Path(params.data.path).resolve()):
        raise ValueError(
            f"data.path, {quote(params.data.path)}, holds {paths.RAW}, which the pipeline itself "
            "writes: move the images to a folder of their own, and set data.path to it."
        )
    if params.data.own:
        _check_folder(Path(params.data.path))
        check_columns(params.data.rule)
    if not Path(params.data.path).exists():
        raise ValueError(
            f"data.path: {params.data.path} does not exist, and DVC watches it whatever data.name "
            "is: create the folder, or set data.path to images."
        )
    refuse_untracked(Path(params.data.path))


def _check_folder(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"data.path: {path} does not exist: mount it, or name another folder.")
    if not path.is_dir():
        raise ValueError(f"data.path must be a folder, got the file {path}")
