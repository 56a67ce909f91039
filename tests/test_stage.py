"""Stages and commands: what the user did wrong is one line and a non-zero exit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thumbnets.artifacts import read_json, write_arrays, write_json
from thumbnets.data.arrays import Meta
from thumbnets.ensembles.rules import RULES
from thumbnets.evaluation.summaries import over_seeds
from thumbnets.inputs import READS
from thumbnets.params import load_params
from thumbnets.stage import run


@pytest.fixture(autouse=True)
def no_debugging(monkeypatch):
    monkeypatch.delenv("THUMBNETS_DEBUG", raising=False)


def _raise(error: BaseException):
    def main(*_):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("models.a.lr must be > 0,\n  got -1"), "models.a.lr must be > 0, got -1"),
        (PermissionError(13, "Permission denied", "metrics/a.json"), "metrics/a.json: Permission"),
        (
            OSError(28, "No space left on device"),
            "standard output, or a file: No space left on device",
        ),
        (OSError("the mirror is down"), "the mirror is down"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "'utf-8' codec"),
    ],
)
def test_a_fault_of_the_user_is_one_line(error, line):
    with pytest.raises(SystemExit) as exit_:
        run(_raise(error), "argument")
    message = str(exit_.value.code)
    assert message.startswith(f"error: {line}") and "\n" not in message


@pytest.mark.parametrize("error", [RuntimeError("ours"), KeyError("ours"), AssertionError("ours")])
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error), match="ours"):
        run(_raise(error), "argument")


def test_what_the_output_is(python):
    """Closed: Python has no `sys.stdout` then. Full: it flushes at exit, and complains again."""
    closed = "import sys; from thumbnets.stage import run; sys.stdout = sys.stderr = None"
    assert python(f"{closed}; run(print, 'x'); run(lambda: sys.stdout.isatty())") == ""
    narrow = "import sys; from thumbnets.stage import run; sys.stdout.reconfigure(encoding='ascii')"
    assert python(f"{narrow}; run(print, 'K\u00e4fer')") == "K\\xe4fer\n"
    full = "import os, sys; from thumbnets.stage import run; os.dup2(os.open('/dev/full', 1), 1)"
    code = f"{full}; run(print, 'x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: standard output, or a file: No space left on device\n"


def test_an_interrupt_exits_as_a_shell_expects():
    with pytest.raises(SystemExit) as exit_:
        run(_raise(KeyboardInterrupt()), "argument")
    assert exit_.value.code == 130


def test_every_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("THUMBNETS_DEBUG", "1")
    with pytest.raises(ValueError, match="bad"):
        run(_raise(ValueError("bad")), "argument")


def test_arguments_are_handed_on():
    seen = []
    run(lambda *arguments: seen.append(arguments), "a", 1)
    run(lambda *arguments: seen.append(arguments))
    assert seen == [("a", 1), ()]


# The stages themselves, as far as they are quick.


@pytest.fixture
def stage(copied, remembered):
    """Runs a stage in a copy of the project."""

    def run_stage(name: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", f"stages.{name}", *arguments],
            cwd=copied,
            env={**os.environ, "PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run_stage


def edit(params: Path, before: str, after: str) -> None:
    text = params.read_text()
    assert text.count(before) == 1
    params.write_text(text.replace(before, after))


def test_a_stage_without_its_inputs_says_so(stage, copied):
    done = stage("evaluate_ensemble")
    assert done.returncode == 1 and done.stdout == ""
    missing = "error: build/inputs/stages/evaluate_ensemble.json is missing: run `dvc repro`.\n"
    assert done.stderr == missing
    assert stage("code").returncode == 0
    done = stage("evaluate_ensemble")
    assert done.stderr == "error: metrics/models/mlp4.json is missing: run `dvc repro`.\n"
    (copied / "params.yaml").unlink()
    done = stage("code")
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml not found: go to a folder of a project.\n"


def test_an_evaluation_removes_what_was_found_on_other_images(stage, copied):
    """Before it looks for the weights, which are not there."""
    assert stage("code").returncode == 0
    meta = Meta("toy", ["a"], 1, 2, [0.5], [0.1], [1], "ab" * 32)
    write_json(copied / "data" / "processed" / "test" / "meta.json", vars(meta))
    for slot, checksum in {"cnn_a": "cd" * 32, "cnn_b": meta.sha256}.items():
        path = copied / "metrics" / "models" / f"{slot}.json"
        write_json(path, {"test_sha256": checksum})
    done = stage("evaluate", "cnn_c")
    assert done.returncode == 1 and "cnn_c/0.safetensors is missing" in done.stderr
    assert [path.name for path in (copied / "metrics" / "models").iterdir()] == ["cnn_b.json"]


def test_code_stops_at_a_bad_param(stage, copied):
    edit(copied / "params.yaml", "cnn_c: {arch: cnn_c,", "cnn_c: {arch: cnn_c, droput: 0.1,")
    done = stage("code")
    assert done.returncode == 1 and not (copied / "build").exists()
    assert done.stderr.startswith("error: params.yaml: models.cnn_c: Unknown key 'droput'. Did you")
    assert done.stderr.count("\n") == 1


def test_code_writes_a_file_for_every_stage_and_model(stage, copied):
    assert stage("code").returncode == 0
    stages = {path.stem for path in (copied / "stages").glob("[!_]*.py")} - {"code", "train"}
    code = copied / "build" / "inputs"
    assert {path.stem for path in (code / "stages").iterdir()} == stages == {*READS, "pretrain"}
    pool = load_params(copied / "params.yaml").pool
    assert {path.stem for path in code.glob("*.json")} == {*pool, "headline"}
    assert (code / "headline.json").read_bytes() == (code / "mlp4.json").read_bytes()
    first = {path: path.read_bytes() for path in code.rglob("*.json")}
    assert str(copied).encode() not in b"".join(first.values())
    assert stage("code").returncode == 0
    assert {path: path.read_bytes() for path in code.rglob("*.json")} == first


@pytest.mark.slow
def test_a_key_that_blocks_override_is_told_when_it_changes(stage, copied):
    assert stage("code").stdout == ""
    edit(copied / "params.yaml", "\n  epochs: 20", "\n  epochs: 3")
    assert stage("code").stdout == (
        "train.epochs has changed, but for no model of the run: set models.NAME.epochs, "
        "since blocks win over train.\n"
    )
    edit(copied / "params.yaml", "\n  augment: #", "\n  augment: [] #")
    text = (copied / "params.yaml").read_text().replace("\n  - name: shift\n    pixels: 1", "")
    (copied / "params.yaml").write_text(text)
    assert "not for mlp4, mlp_custom, cnn_a of the run" in stage("code").stdout
    assert stage("code").stdout == ""


def test_settings_reach_the_training_as_they_were_given(stage, copied):
    given = "cnn_c: {arch: cnn_c, momentum: 0.123456789, weight_decay: 2.5e-7,"
    edit(copied / "params.yaml", "cnn_c: {arch: cnn_c,", given)
    assert stage("code").returncode == 0
    train = read_json(copied / "build" / "inputs" / "cnn_c.json")["settings"]["train"]
    assert (train["momentum"], train["weight_decay"]) == (0.123456789, 2.5e-7)


@pytest.mark.parametrize("seeds", [[5, 3], [9, 10]])
def test_every_seed_is_scored_with_its_own_members(stage, copied, seeds):
    """Of each seed the chosen model is always right and the other always wrong."""
    text = (copied / "params.yaml").read_text()
    start, end = text.index("pool:"), text.index("data:")
    lists = f"pool: [mlp4, cnn_a]\nseeds: {seeds}\n"
    (copied / "params.yaml").write_text(text[:start] + lists + text[end:])
    assert stage("code").returncode == 0
    labels, classes = np.arange(20) % 2, np.array(["zebra", "ant"])
    right, wrong = np.eye(2)[labels] * 9, np.eye(2)[1 - labels] * 9
    for model, logits in {"mlp4": [right, wrong], "cnn_a": [wrong, right]}.items():
        scores = [{"accuracy": 0.5, "recall": [0.5, 0.5]}] * 2
        metrics = over_seeds(scores, classes=classes.tolist(), images=20)
        metrics |= {"parameters": 1, "multiply_accumulates": 1}
        write_json(copied / "metrics" / "models" / f"{model}.json", metrics)
        path = copied / "predictions" / "test" / f"{model}.npz"
        write_arrays(
            path,
            logits=np.stack(logits),
            labels=labels,
            classes=classes,
            seeds=np.array(seeds),
        )
    chosen = {
        str(seed): {rule: {"votes": {f"{model}-{seed}": 1}} for rule in RULES}
        for seed, model in zip(seeds, ["mlp4", "cnn_a"], strict=True)
    }
    write_json(copied / "ensembles" / "selection.json", chosen)
    done = stage("evaluate_ensemble")
    assert done.returncode == 0, done.stderr
    assert read_json(copied / "metrics" / "ensemble.json")["selected"]["accuracy"]["mean"] == 1.0


def test_stages_that_train_nothing_import_nothing_heavy():
    """Each takes a second or two, of stages that take less."""
    stages = ("code", "download", "pretrain", "train", "ensemble_select", "teach")
    stages += ("evaluate", "evaluate_ensemble", "report")
    program = f"import sys, {', '.join(f'stages.{stage}' for stage in stages)}\n"
    program += "print({'torch', 'sklearn', 'scipy.stats', 'dvc'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
