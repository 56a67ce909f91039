"""Data sets larger than memory: the peak memory of each stage for 4 GiB of images."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.harness import Options, table
from benchmarks.process import ENVIRONMENT, ROOT

ROUNDS = 1
_SIDE = 224
_BYTES = 3 * _SIDE**2  # bytes of an image
_MEMORY = 2  # GiB of memory that the stages are told to assume
_MODEL = "cnn_a"
_STAGES = ("code", "download", "preprocess", "train", "evaluate")
_PARAMS = (  # replacements in the shipped params.yaml
    ("name: fashion_mnist", "name: folder"),
    ("size: 32", f"size: {_SIDE}"),
    ("model: mlp4", f"model: {_MODEL}"),
    ("batch_size: 128", "batch_size: 32"),
    ("arch: cnn_a, epochs: 18", "arch: cnn_a, epochs: 1"),
)


@contextmanager
def _project() -> Iterator[Path]:
    """A copy of the project in which stages can be run."""
    (ROOT / "build").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="memory-", dir=ROOT / "build") as folder:
        project = Path(folder)
        for name in ("src", "stages"):
            shutil.copytree(ROOT / name, project / name)
        shutil.copy(ROOT / "requirements.lock", project)
        text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        for old, new in _PARAMS:
            if old not in text:
                raise ValueError(f"params.yaml no longer has {old!r}")
            text = text.replace(old, new, 1)
        (project / "params.yaml").write_text(text, encoding="utf-8")
        yield project


def _generate(folder: Path, images: int) -> None:
    """Write noise, darker by class, as BMP files, which must be read in full."""
    for label in ("dark", "grey", "light"):
        (folder / label).mkdir(parents=True)

    def write(number: int) -> None:
        rng = np.random.default_rng(number)
        name, shade = (("dark", 0), ("grey", 60), ("light", 120))[number % 3]
        pixels = rng.integers(shade, shade + 128, (_SIDE, _SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{number}.bmp")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(write, range(images)):
            pass


def _run(project: Path, stage: str) -> list[str]:
    """Run a stage; returns its row: name, peak resident MiB (with mapped files), seconds."""
    arguments = {"train": [_MODEL, "0"], "evaluate": [_MODEL]}.get(stage, [])
    environment = ENVIRONMENT | {"PYTHONPATH": "src", "THUMBNETS_MEMORY": str(_MEMORY)}
    began = time.monotonic()
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    process = Popen(command, cwd=project, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"stage {stage} failed")
    kibibytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    print(f"  {stage}: {kibibytes / 1024:,.0f} MiB", flush=True)
    return [stage, f"{kibibytes / 1024:,.0f}", f"{time.monotonic() - began:.0f}"]


def question(options: Options) -> str:
    """The table of stages."""
    images = (1 << 26 if options.quick else 1 << 32) // _BYTES + 1
    with _project() as project:
        _generate(project / "images", images)
        rows = [_run(project, stage) for stage in _STAGES]
        arrays = sum(f.stat().st_size for f in project.glob("data/processed/*/images.npy"))
    return (
        f"## {arrays / 2**30:.2f} GiB of images\n\n{images:,} generated files of {_SIDE} x {_SIDE} "
        f"RGB pixels in a folder, {_MODEL} trained for one epoch. Most resident memory of each "
        f"stage (`ru_maxrss`: all of a process, with what it maps of files; pages that only the "
        f"system's cache holds are not counted, they are given up for whoever asks), told by "
        f"`THUMBNETS_MEMORY={_MEMORY}` to count on {_MEMORY} GiB.\n\n"
        + table(["stage", "MiB", "seconds"], rows)
    )
