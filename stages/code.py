"""Check the params, and write what each stage and each model's training rests on: build/code."""

import shutil
from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.fingerprint import fingerprint
from thumbnets.params import load_params
from thumbnets.registry import NETWORKS, PACKAGE
from thumbnets.stage import run_stage


def main() -> None:
    params = load_params()
    source = PACKAGE.parent.relative_to(Path.cwd())
    shutil.rmtree(paths.CODE, ignore_errors=True)
    for script in sorted(paths.STAGES.glob("[!_]*.py")):
        code = fingerprint([script], source, paths.REQUIREMENTS)
        write_json(paths.stage_code(script.stem), code)
    for name, settings in params.settings.items():
        network = source / Path(*NETWORKS[settings.arch].module.split(".")).with_suffix(".py")
        code = fingerprint([paths.STAGES / "train.py", network], source, paths.REQUIREMENTS)
        write_json(paths.model_code(name), {"settings": settings.model_dump(), **code}, exact=True)


if __name__ == "__main__":
    run_stage(main)
