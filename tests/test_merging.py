"""dvc.lock of two branches, merged entry by entry; nothing that either has run is run again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from configobj import ConfigObj

from thumbnets.merging import install, main, merge_locks

HEAD = "schema: '2.0'\nstages:\n"


def entry(name: str, md5: str) -> str:
    return (
        f"  {name}:\n    cmd: python -m stages.train\n    deps:\n    - path: x\n      md5: {md5}\n"
    )


def lock(**entries: str) -> str:
    return HEAD + "".join(entry(name, md5) for name, md5 in entries.items())


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ({"a": "2", "b": "1"}, {"a": "1", "b": "2"}, {"a": "2", "b": "2"}),  # different models
        ({"a": "2", "b": "1"}, {"a": "1"}, {"a": "2"}),  # one removed b
        ({"a": "1"}, {"a": "1", "b": "2"}, {"a": "1"}),  # removed here, changed there
        ({"a": "2", "b": "1"}, {"a": "3", "b": "1"}, {"a": "2", "b": "1"}),  # the same model
        (
            {"a": "1", "b": "1", "c": "1"},
            {"a": "1", "b": "1", "d": "1"},
            dict.fromkeys("abcd", "1"),
        ),
        ({"a": "2", "b": "1"}, {"a": "2", "b": "1"}, {"a": "2", "b": "1"}),
    ],
)
def test_entry_by_entry(ours, theirs, merged):
    assert merge_locks(lock(a="1", b="1"), lock(**ours), lock(**theirs)) == lock(**merged)


def test_three_files_or_none(capsys):
    with pytest.raises(SystemExit):
        main("--help")
    assert "git calls a driver" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main("dvc.lock")
    assert "three files, or none, not 1" in capsys.readouterr().err


def test_without_a_common_commit():
    assert merge_locks("", lock(a="1"), lock(b="1")) == lock(a="1", b="1")
    with pytest.raises(ValueError, match="not as DVC writes it"):
        merge_locks("", lock(a="1"), "<<<<<<< HEAD\n")


STAGES = """stages:
  train:
    matrix:
      model: [one, two]
    cmd: echo ${item.model} >> ran && cp settings/${item.model} made-${item.model}
    deps:
    - settings/${item.model}
    outs:
    - made-${item.model}
  sum:
    cmd: echo sum >> ran && cat made-one made-two > metrics/sum.json
    deps:
    - made-one
    - made-two
    outs:
    - metrics/sum.json:
        cache: false
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs commands in a project with two models whose state is committed."""
    monkeypatch.chdir(tmp_path)
    source = Path(__file__).parents[1] / "src"
    ours = {"PYTHONPATH": str(source), "GIT_CONFIG_GLOBAL": os.devnull, "DVC_NO_ANALYTICS": "1"}
    people = {f"GIT_{r}_{k}": "a@b" for r in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
    found = Path(sys.executable).parent
    path = f"{found}{os.pathsep}{os.environ['PATH']}"

    def run(command: str) -> str:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True,
            env=os.environ | ours | people | {"PATH": path},
        )  # fmt: skip
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout

    for folder in ("settings", "metrics"):
        (tmp_path / folder).mkdir()
    for model in ("one", "two"):
        (tmp_path / "settings" / model).write_text("1\n")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    attributes = (Path(__file__).parents[1] / ".gitattributes").read_text()
    (tmp_path / ".gitattributes").write_text(attributes)
    (tmp_path / ".gitignore").write_text("ran\n")
    run("git init -qb main && dvc init -q && dvc repro -q && git add -A && git commit -qm first")
    run("python -m thumbnets.merging")
    return run


def test_dvc_reads_the_settings_of_git(shell, tmp_path, monkeypatch):
    """Its experiments in temporary folders copy them (dvc/repo/experiments/executor/local.py)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/of me/bin/python")
    install()
    driver = ConfigObj(str(tmp_path / ".git/config"))['merge "thumbnets-lock"']["driver"]
    assert driver == "env '/of me/bin/python' -m thumbnets.merging %O %A %B"


def test_two_branches_that_changed_different_models_train_nothing_again(shell, tmp_path):
    shell("git checkout -qb other && echo 3 > settings/two && dvc repro -q && git commit -qam two")
    shell("git checkout -q main && dvc checkout -q")
    shell("echo 2 > settings/one && dvc repro -q && git commit -qam one")
    (tmp_path / "ran").unlink()
    shell("git merge -q --no-edit other")
    shell("dvc checkout -q && dvc repro -q")
    assert (tmp_path / "ran").read_text() == "sum\n"
    assert (tmp_path / "metrics" / "sum.json").read_text() == "2\n3\n"
    assert "up to date" in shell("dvc status")
