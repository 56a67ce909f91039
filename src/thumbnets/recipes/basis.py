"""What a result rests on, as checksums: code and settings of each training, code of the stages."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thumbnets.artifacts import sha256
from thumbnets.data.folder import LIST, list_images
from thumbnets.fingerprint import Fingerprint
from thumbnets.inputs import stage_code, training_code
from thumbnets.params import Params
from thumbnets.registry import PACKAGE

# Stages that decide what a training learns from, and how its predictions are used.
STAGES = ("download", "preprocess", "evaluate", "ensemble_select", "evaluate_ensemble")

Basis = dict[str, Any]


def basis(params: Params) -> Basis:
    """What a run of these params rests on; the working folder is the project's root.

    Returns:
        Checksums: `code`, of each model and encoder, and of each of `STAGES` (as `stage NAME`);
        `settings`, of each model and encoder, and of the run; `files`, of those that trainings
        begin with, None if missing; `own_images`, of the list of the user's images.

    Raises:
        ValueError: The code that runs is that of another project.
    """
    if not PACKAGE.is_relative_to(Path.cwd()):
        raise ValueError(
            f"thumbnets runs from {PACKAGE.parent}, not from this project: run `make install` here."
        )
    source = PACKAGE.parent.relative_to(Path.cwd())
    code, settings, files = {}, {}, {}
    for name in [*params.run, *params.encoders]:
        block = params.settings[name]
        # Not `training_inputs`, which refuses a block whose teacher is not here.
        code[name] = _digest_of(training_code(block, source))
        settings[name] = digest(block.model_dump())
        for path, _ in block.files.values():
            files[str(path)] = sha256(path) if path.is_file() else None
    for stage in STAGES:
        code[f"stage {stage}"] = _digest_of(stage_code(params, stage, source))
    settings["run"] = digest(_of_the_run(params))
    found = {"code": code, "settings": settings, "files": files}
    return found | ({"own_images": _list_digest(params)} if params.data.own else {})


def _of_the_run(params: Params) -> Mapping[str, Any]:
    """Params that change a number of the result but do not belong to a single training."""
    content = params.model_dump()
    data = content["data"] if params.data.own else {"name": params.data.name}
    data.pop("path", None)  # the location of the images changes nothing
    if params.data.duplicates != "keep":
        data["duplicates"] = params.data.duplicates
    if params.data.corrections:
        data["corrections"] = sha256(Path(params.data.corrections))
    keys = ("pool", "split", "ensemble", "evaluation")  # other seeds are reported separately
    return {"data": data, **{key: content[key] for key in keys}}


def _list_digest(params: Params) -> str:
    """Checksum of the list of the user's images, with the checksum of each."""
    with tempfile.TemporaryDirectory() as folder:
        list_images(params.data.rule, Path(folder))
        return sha256(Path(folder) / LIST)


def _digest_of(code: Fingerprint) -> str:
    return digest({key: code[key] for key in ("modules", "libraries")})


def digest(content: Any) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
