"""The cost of the DVC graph itself: `dvc repro` with nothing to do, and `dvc status`."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Options, at_most, spread, table
from benchmarks.process import ROOT

# models, seeds, and the goals: seconds of `dvc repro` and of `dvc status`
SIZES = ((6, 1, 1.2, 1.0), (6, 30, 4.0, 3.5), (20, 10, None, None))
COMMANDS = (("dvc", "repro"), ("dvc", "status"))

# Stands for every stage but `code`: it writes the outputs of the stage in dvc.yaml, and computes
# nothing. So only DVC and this graph take time.
_STAGE = """
import sys
from pathlib import Path
from ruamel.yaml import YAML
name = sys.argv[0].rpartition("/")[2].removesuffix(".py").replace("_", "-")
headline = sys.argv[1:2] == ["headline"]
stages = YAML(typ="safe").load(Path("dvc.yaml").read_text())["stages"]
stage = stages[name + "-headline" * headline]
if name == "pretrain":
    inputs = YAML(typ="safe").load(Path("build/inputs/stages/pretrain.json").read_text())
    outs = [
        f"encoders/of-models/{slot}/{seed}.json"
        for slot in inputs["begins"]
        for seed in inputs["params"]["seeds"]
    ]
else:
    outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
    outs += [next(iter(out)) for out in stage.get("metrics", [])]
    outs += ["data/processed/train/meta.json"] * (name == "preprocess")  # which report depends on
for out in outs:
    model, seed = [*sys.argv[1:], "", ""][:2]
    path = Path(out.replace("${item.model}", model).replace("${item.seed}", seed))
    path = path if path.suffix else path / "file"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}" if path.suffix == ".json" else "-")
"""


def question(options: Options) -> str:
    """The table of all run sizes."""
    rows = []
    for models, seeds, *goals in SIZES[:1] if options.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            project = _project(Path(folder), models, seeds)
            _run(project, "dvc", "repro", "--quiet")
            for command, goal in zip(COMMANDS, goals, strict=True):
                times = [_run(project, *command) for _ in range(options.repeats)]
                goal = at_most(goal, times) if goal else "–"
                rows.append([f"{models} x {seeds}", " ".join(command), spread(times), goal])
                print(f"  {' | '.join(rows[-1])}", flush=True)
    return (
        "## The graph\n\nSeconds of a command that finds everything up to date, by models and "
        "seeds of the run. The stages wrote small files and computed nothing.\n\n"
        + table(["models x seeds", "command", "seconds", "goal"], rows)
    )


def _project(folder: Path, models: int, seeds: int) -> Path:
    """A clone of the project whose stages compute nothing, with that many models and seeds."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    for script in (folder / "stages").glob("[!_]*.py"):
        if script.stem != "code":
            script.write_text(_STAGE)
    names = [f"model_{number}" for number in range(models)]
    text = (folder / "params.yaml").read_text()
    start, end = text.index("model: "), text.index("data:\n")
    lists = f"model: {names[0]}\npool: {names}\nseeds: {[*range(seeds)]}\n"
    blocks = "".join(f"  {name}: {{base: cnn_c}}\n" for name in names)
    text = text[:start] + lists + text[end:].replace("\nmodels:", f"\nmodels:\n{blocks} #", 1)
    (folder / "params.yaml").write_text(text)
    shutil.rmtree(folder / ".dvc/cache", ignore_errors=True)
    return folder


def _run(project: Path, *command: str) -> float:
    """Seconds that a command takes.

    Raises:
        RuntimeError: It failed.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - began
