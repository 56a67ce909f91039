"""Check the params, and write what each stage and each model's training rests on: build/code."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import sha256, write_json
from thumbnets.fingerprint import files_of, fingerprint
from thumbnets.params import Params, load_params
from thumbnets.registry import AUGMENTATIONS, METHODS, NETWORKS, PACKAGE, Entry
from thumbnets.stage import run_stage
from thumbnets.training.settings import ModelSettings


def main() -> None:
    params = load_params()
    source = PACKAGE.parent.relative_to(Path.cwd())
    shutil.rmtree(paths.CODE, ignore_errors=True)
    for script in sorted(paths.STAGES.glob("[!_]*.py")):
        code = fingerprint(stage_roots(script, params, source), source, paths.REQUIREMENTS)
        write_json(paths.stage_code(script.stem), code)
    encoders = {}
    for name, settings in params.settings.items():
        code = fingerprint(training_roots(settings, source), source, paths.REQUIREMENTS)
        code["files"] = {
            key: _checksum(path, f"models.{name}.{key}", remedy if name in params.run else None)
            for key, (path, remedy) in settings.files.items()
        }
        code["settings"] = settings.model_dump()
        write_json(paths.model_code(name), code, exact=True)
        if name in params.encoders:
            encoders[name] = code
    write_json(paths.ENCODER_CODE, encoders, exact=True)


def stage_roots(script: Path, params: Params, source: Path) -> list[Path]:
    """Files that a stage begins with: its script, and what it finds by a name in the params."""
    previewed = params.train.augment if script.stem == "preprocess" else []
    return [script, *_files((AUGMENTATIONS[choice.name] for choice in previewed), source)]


def training_roots(settings: ModelSettings, source: Path) -> list[Path]:
    """Files that the training of a block begins with: the stage, and what the block names."""
    train = settings.train
    augmentations = [AUGMENTATIONS[choice.name] for choice in train.augment]
    named = [NETWORKS[settings.arch], METHODS[train.method.name], *augmentations]
    return [paths.STAGES / "train.py", *_files(named, source)]


def _files(entries: Iterable[Entry], source: Path) -> list[Path]:
    return [file for entry in entries for file in files_of(entry.module, source)]


def _checksum(path: Path, where: str, remedy: str | None) -> str | None:
    """SHA-256 of a file that a key names; None if it is not there, and no remedy is needed.

    Raises:
        ValueError: It is missing.
    """
    if path.is_file():
        return sha256(path)
    if remedy:
        raise ValueError(f"{where}: {path} is missing: {remedy}.")
    return None


if __name__ == "__main__":
    run_stage(main)
