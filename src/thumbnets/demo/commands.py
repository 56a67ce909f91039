"""The command `demo`."""

import argparse
from pathlib import Path

from thumbnets import paths
from thumbnets.doctor.state import warn_of_other_run
from thumbnets.params import load_params
from thumbnets.paths import ENSEMBLE


def demo(arguments: argparse.Namespace) -> None:
    """Open a page on this machine that classifies pictures, with heat maps."""
    models = _models(arguments.model)
    from thumbnets.demo.server import DemoServer  # not before: importing torch takes seconds

    try:
        server = DemoServer(models, arguments.port)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"--port {arguments.port} can't be used: {str(error).rstrip('.')}."
        ) from None
    with server:
        print(f"{server.address}  (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Arguments of `demo`."""
    which = "a weights file (default: all models of the run, and the ensemble)"
    parser.add_argument("--model", type=Path, help=which)
    parser.add_argument("--port", type=int, default=8765, help="default: 8765; 0: any free one")


def _models(file: Path | None) -> dict[str, str | Path]:
    """The models to choose from on the page: those the run has trained, the headline first.

    Raises:
        ValueError: Nothing was trained, or the file does not exist or is not one of weights.
    """
    if file is not None:
        if not file.is_file() or file.suffix != ".safetensors":
            wrong = "is of another kind" if file.is_file() else "not found"
            raise ValueError(
                f"{file} {wrong}: name a weights file, .safetensors, or leave --model out: the "
                "page then offers all models of the run."
            )
        return {file.name: file}
    from thumbnets.trained import block_of  # here, since it imports torch

    params = load_params()
    files = {name: paths.weights(slot, params.seeds[0]) for name, slot in params.slots.items()}
    models: dict[str, str | Path] = {
        name: file for name, file in files.items() if file.is_file() and block_of(file) == name
    }
    warn_of_other_run(*models.values())
    if paths.SELECTION.is_file():
        models[ENSEMBLE] = ENSEMBLE
    if not models:
        raise ValueError("Nothing is trained yet: run `dvc repro`, or name a file by --model.")
    return models
