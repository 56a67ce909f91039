"""Completion: what bash offers after the first letters."""

import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def script() -> str:
    command = [sys.executable, "-m", "thumbnets", "completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["doc"], ["doctor"]),
        (["export", "--form"], ["--format"]),
        (["export", "--format", "on"], ["onnx"]),
        (["predict", "photo_"], ["photo_1.jpg", "photo_2.jpg"]),
        (["export", "photo_"], ["photo_1.jpg", "photo_2.jpg"]),
    ],
)
def test_what_is_offered(script, tmp_path, typed, offered):
    for name in ("photo_1.jpg", "photo_2.jpg", "other.txt"):
        (tmp_path / name).touch()
    words = " ".join(["thumbnets", *typed])
    ask = (
        f"COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _shtab_thumbnets; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, cwd=tmp_path
    )
    assert sorted(done.stdout.split()) == offered, done.stderr
