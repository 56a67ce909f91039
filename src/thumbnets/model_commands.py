"""The commands that use trained models: `thumbnets predict` and `thumbnets export`."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from thumbnets import paths, runtime
from thumbnets.artifacts import replacing
from thumbnets.data.arrays import Meta, read_meta
from thumbnets.data.names import shown
from thumbnets.doctor.state import warn_of_other_run
from thumbnets.messages import listed, quote
from thumbnets.params import Params, load_params
from thumbnets.paths import ENSEMBLE
from thumbnets.registry import unknown

if TYPE_CHECKING:  # torch takes seconds to import
    from thumbnets.api import ImageClassifier
    from thumbnets.trained import Trained

_SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}  # of exported files, by their format
# Help of options that commands share.
_MODEL = "a trained block, `ensemble` or a weights file"
_LONGEST_STEM = 200  # bytes: a file name has 255, some of them for a number and a temporary name
_SEED = "seed of its training (default: the first in params.yaml)"
HERE = Path()  # the user's folder: `cli` makes it absolute where it enters the project's root


def slot_of(name: str, params: Params) -> str:
    """Where the files of a block of the run lie.

    Raises:
        ValueError: There is no such block, or it is not in the run.
    """
    if name == paths.HEADLINE:
        return name
    if name not in params.models:
        raise ValueError(unknown("model", name, params.models))
    if name not in params.slots:
        raise ValueError(
            f"{name} is not in this run: `dvc exp run -S model={name}`, or add it to `pool`."
        )
    return params.slots[name]


def require(path: Path, missing: str) -> None:
    """Refuse a model that was not trained: its file `path` is missing."""
    if not path.is_file():
        raise ValueError(f"{missing}: run `dvc repro`.")


def check_headline(params: Params, found: str) -> None:
    """Refuse files in the slot `headline` that are still those of the previous `model`."""
    if found != params.model:
        raise ValueError(f"{paths.HEADLINE}/ holds {found}, not {params.model}: run `dvc repro`.")


def check_trained(slot: str, weights: Path, params: Params) -> None:
    """Refuse weights in the slot `headline` that are still those of the previous `model`."""
    if slot == paths.HEADLINE:
        from thumbnets.trained import block_of  # here, since it imports torch

        check_headline(params, block_of(weights))


def model_argument(text: str) -> str | Path:
    """What `--model` names: a path of weights, or a name."""
    if Path(text).suffix in _SUFFIXES.values():
        raise argparse.ArgumentTypeError(
            f"{quote(text)} is an exported file for other programs: name a model, or the "
            ".safetensors file that `export` read."
        )
    return Path(text) if text.endswith(".safetensors") else text


def image_argument(text: str) -> Path:
    """The path of an argument; an empty one, as of an unset variable, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("'' names no file: name one, or a folder.")
    return Path(text)


def _weights(model: str, seed: int, params: Params) -> Path:
    slot = slot_of(model, params)
    path = paths.weights(slot, seed)
    if seed not in params.seeds and not path.is_file():
        raise ValueError(f"seed {seed} is not in this run, {params.seeds}: add it to `seeds`.")
    require(path, f"{path} not found")
    check_trained(slot, path, params)
    warn_of_other_run(path)
    return path


def _load(model: str | Path | None, seed: int | None, device: str | None = None) -> "Trained":
    """The trained model that a user names; None: the headline model of params.yaml.

    Raises:
        ValueError: It is unknown or not trained, or `headline/` is of another block; or it was
            trained on other images than the project's and is not named.
    """
    import torch  # not before: it takes seconds

    from thumbnets.trained import load_trained, weights_of

    place = torch.device(device) if device else runtime.device()
    if isinstance(model, Path):
        return load_trained(model, seed, place)
    if model == ENSEMBLE:
        trained = load_trained(model, seed, place)
        warn_of_other_run(paths.SELECTION, *map(weights_of, trained.members))
        return trained
    params = load_params()
    name, of_seed = model or params.model, params.seeds[0] if seed is None else seed
    trained = load_trained(_weights(name, of_seed, params), None, place)
    if model is None and (wrong := _foreign(trained.meta)):
        raise ValueError(
            f"{trained.name} was trained on {wrong}: run `dvc repro`, or use it anyway with "
            f"`--model {name}`."
        )
    return trained


def _foreign(meta: Meta) -> str | None:
    """The images that a model was trained on, in words; None if they are the project's.

    Once there are processed images, their pixels decide, not the name of the data set.
    """
    processed = paths.TRAIN / "meta.json"
    if processed.is_file():
        of_project = read_meta(processed)
        if meta.sha256 == of_project.sha256:
            return None
        if (meta.dataset, meta.classes) == (of_project.dataset, of_project.classes):
            return f"other images of {meta.dataset} than {paths.TRAIN} holds"
        if meta.dataset == of_project.dataset:
            return f"{_classes_of(meta)}, while {paths.TRAIN} holds {_classes_of(of_project)}"
        named = of_project.dataset
    elif not Path("params.yaml").is_file() or meta.dataset == (named := load_params().data.name):
        return None
    return f"{_classes_of(meta)}, while data.name is {named}"


def _classes_of(meta: Meta) -> str:
    return f"{meta.dataset} ({', '.join(meta.classes[:3])}, …)"


def predict(arguments: argparse.Namespace) -> None:
    """Classify image files, or all images of a folder, with a trained model or the ensemble."""
    from thumbnets.api import ImageClassifier
    from thumbnets.predict import image_files

    _check_predict(arguments)
    files = image_files(arguments.images)
    _check_overwrites(arguments, files)
    model = ImageClassifier(_load(arguments.model, arguments.seed))
    try:
        foreign = _foreign(model.trained.meta)
    except ValueError:
        if not isinstance(arguments.model, Path):
            raise
        foreign = None  # a file needs no project, and params.yaml may be of another program
    if foreign:
        print(f"{shown(model.trained.name)} was trained on {shown(foreign)}.", file=sys.stderr)
    if not model.calibrated:
        print(
            f"No temperature is known for {shown(model.trained.name)}: its probabilities are not "
            "calibrated.",
            file=sys.stderr,
        )
    failed = _answer(arguments, model, files, bool(foreign))
    if failed:
        raise ValueError(f"{failed} of {len(files)} files could not be read: their lines say why.")


def _check_predict(arguments: argparse.Namespace) -> None:
    """Check options before anything is loaded.

    Raises:
        ValueError: A number is out of range, or the folder of an output does not exist.
    """
    if arguments.top < 1:
        raise ValueError(f"--top must be 1 or more, got {arguments.top}.")
    if not 0 <= arguments.unsure <= 1:
        raise ValueError(f"--unsure must be a probability from 0 to 1, got {arguments.unsure:g}.")
    if arguments.output:
        check_place(arguments.output, arguments.here)
    if arguments.heatmap and arguments.heatmap.is_file():
        given = as_given(arguments.heatmap, arguments.here)
        raise ValueError(f"--heatmap {given} is a file: name a folder.")
    if arguments.heatmap and not arguments.heatmap.is_dir():
        check_place(arguments.heatmap, arguments.here)


def _check_overwrites(arguments: argparse.Namespace, files: list[Path]) -> None:
    """Check that no output can overwrite an input.

    Raises:
        ValueError: The output is one of the images or the weights file, or the folder of heat maps
            holds some of the images.
    """
    check_weights_stay(arguments.output, arguments.model, arguments.here)
    output, folder, here = arguments.output, arguments.heatmap, arguments.here
    images = {file.resolve() for file in files} if output or folder else set()
    if output and output.resolve() in images:
        raise ValueError(
            f"--output {as_given(output, here)} is one of the images, which would be overwritten: "
            "name another file."
        )
    if folder and folder.resolve() in {image.parent for image in images}:
        raise ValueError(
            f"--heatmap {as_given(folder, here)} holds the images themselves, which would be "
            "overwritten: name another folder."
        )


def check_weights_stay(output: Path | None, model: str | Path | None, here: Path) -> None:
    """Check that the output is not the weights file that is read.

    Raises:
        ValueError: It is.
    """
    if output and isinstance(model, Path) and output.resolve() == model.resolve():
        raise ValueError(
            f"--output {as_given(output, here)} is the file of weights itself: name another file."
        )


def check_place(file: Path, here: Path) -> None:
    """Check that a file can be put where the user says.

    Raises:
        ValueError: Its folder does not exist, or it is a folder itself, a device or a pipe.
    """
    if file.is_dir():
        raise ValueError(f"{as_given(file, here)} is a folder: name a file.")
    if file.exists() and not file.is_file():
        raise ValueError(f"{as_given(file, here)} is not a regular file: name another.")
    if not file.parent.is_dir():
        folder = as_given(file.parent, here)
        raise ValueError(f"{as_given(file, here)}: there is no folder {folder}: create it first.")


def as_given(path: Path, here: Path) -> Path:
    """A path from the user's folder, whatever folder the command works in."""
    return path.relative_to(here) if path.is_relative_to(here) else path


def _answer(
    arguments: argparse.Namespace, model: "ImageClassifier", files: list[Path], foreign: bool
) -> int:
    """Write a line for each file; returns the number of those that can't be read."""
    from tqdm import tqdm

    from thumbnets.answers import FORMATS
    from thumbnets.predict import is_dim, predict

    lines = FORMATS[arguments.format](
        classes=model.classes,
        data=model.dataset,
        foreign=foreign,
        top=min(arguments.top, len(model.classes)),
        unsure=arguments.unsure,
        named=lambda path: as_given(path, arguments.here),
    )
    heat, failed = _heat_writer(model, arguments.heatmap), 0
    dim: list[str] = []
    # No progress bar between lines on the same terminal.
    hidden = True if arguments.output is None and sys.stdout.isatty() else None
    with _opened(arguments.output) as output:
        output.write(lines.header)
        bar = tqdm(predict(model, files), total=len(files), leave=False, delay=1, disable=hidden)
        for answer in bar:
            failed += answer.reason is not None
            heat(answer)
            output.write(lines.line(answer))
            if answer.reason is None and is_dim(answer.file, model.trained.meta.depth):
                dim.append(shown(as_given(answer.file, arguments.here)))
    if dim:
        _tell_dim(dim, model)
    return failed


def _tell_dim(files: list[str], model: "ImageClassifier") -> None:
    white = 2**model.trained.meta.depth - 1
    print(
        f"note: {listed(files, 1)}: 16-bit values that stay below a quarter of {white:,}, which "
        f"{shown(model.trained.name)} takes for white: scale them, or it sees a dark picture.",
        file=sys.stderr,
    )


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears once it is complete."""
    if path is None:
        yield sys.stdout
        return
    import io

    with replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def _heat_writer(model: "ImageClassifier", folder: Path | None) -> Callable:
    """A function that writes an answer's heat map: `cat.png`, for another cat `cat-2.png`."""
    if folder is None:
        return lambda answer: None
    from thumbnets.heatmaps import heatmap, write_overlay

    used: set[str] = set()

    def write(answer) -> None:
        if answer.pixels is None:
            return
        stem = shown(answer.file.stem).encode()[:_LONGEST_STEM].decode(errors="ignore")
        number = 1
        name = stem
        while name.casefold() in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name.casefold())
        trained = model.trained
        heat = heatmap(answer.pixels, trained.log_probabilities, trained.meta)
        write_overlay(folder / f"{name}.png", answer.pixels, heat)

    return write


def export(arguments: argparse.Namespace) -> None:
    """Export a trained network, or the ensemble, as one file for other programs."""
    from thumbnets.export import compared, export

    here, name = arguments.here, arguments.model
    seed, kind = arguments.seed, _format(arguments)
    if arguments.output:
        check_place(arguments.output, here)
        check_weights_stay(arguments.output, name, here)
    trained = _load(name, seed, "cpu")
    of_seed = f"-{seed}" if name == ENSEMBLE and seed is not None else ""
    output = arguments.output or here / f"{trained.title}{of_seed}{_SUFFIXES[kind]}"
    check_place(output, here)
    difference = export(trained, kind, output, probabilities=arguments.probabilities)
    what = compared(trained, probabilities=arguments.probabilities)
    print(f"{shown(as_given(output, here))}: largest difference in a {what} {difference:.1e}")


def _format(arguments: argparse.Namespace) -> str:
    """Format of the file that is exported.

    Raises:
        ValueError: The output has the suffix of another format.
    """
    suffix = arguments.output.suffix if arguments.output else ""
    of_suffix = next((kind for kind, ending in _SUFFIXES.items() if ending == suffix), None)
    if arguments.format and of_suffix not in (None, arguments.format):
        given = as_given(arguments.output, arguments.here)
        raise ValueError(f"--output {given} has the suffix of {of_suffix}, not {arguments.format}.")
    return arguments.format or of_suffix or "onnx"


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets predict`."""
    parser.set_defaults(here=HERE)
    parser.add_argument("images", nargs="+", type=image_argument, metavar="IMAGE|FOLDER")
    named = f"{_MODEL} (default: `model` of params.yaml)"
    parser.add_argument("--model", type=model_argument, help=named)
    parser.add_argument("--seed", type=int, help=_SEED)
    parser.add_argument("--top", type=int, default=1, metavar="K", help="number of classes named")
    formats = ("text", "json", "csv")
    parser.add_argument(
        "--format", choices=formats, default="text", help="json: one object per line"
    )
    output = "write to FILE instead of the terminal"
    parser.add_argument("--output", type=Path, metavar="FILE", help=output)
    limit = "answer `unsure` below this probability"
    parser.add_argument("--unsure", type=float, default=0.0, metavar="P", help=limit)
    heat = "write each image as PNG, with a heat map of the evidence for its class"
    parser.add_argument("--heatmap", type=Path, metavar="FOLDER", help=heat)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the options of `thumbnets export`."""
    parser.set_defaults(here=HERE)
    parser.add_argument("model", metavar="MODEL", type=model_argument, help=_MODEL)
    kind = "default: by the suffix of --output, else onnx"
    parser.add_argument("--format", choices=list(_SUFFIXES), help=kind)
    parser.add_argument("--seed", type=int, help=_SEED)
    calibrated = "output calibrated probabilities instead of logits"
    parser.add_argument("--probabilities", action="store_true", help=calibrated)
    parser.add_argument("--output", type=Path, help="file (default: MODEL-SEED.onnx or .pt)")
