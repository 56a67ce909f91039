"""Outputs and cached copies against dvc.lock."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from thumbnets.artifacts import write_bytes
from thumbnets.recipes.files import check_files

LOCK = """\
schema: '2.0'
stages:
  train@a-0:
    cmd: x
    outs:
    - {{path: a.bin, hash: md5, md5: {file}, size: 1}}
    - {{path: folder, hash: md5, md5: {folder}.dir, size: 1, nfiles: 1}}
    - {{path: gone.bin, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 1}}
"""


def md5(content: bytes) -> str:
    """MD5 in hexadecimal."""
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with a file and a folder of one file, both in the cache; another one is nowhere."""
    listing = json.dumps([{"md5": md5(b"inside"), "relpath": "b.bin"}]).encode()
    write_bytes(tmp_path / "a.bin", b"file")
    write_bytes(tmp_path / "folder/b.bin", b"inside")
    for content, end in ((b"file", ""), (b"inside", ""), (listing, ".dir")):
        write_bytes(cached(tmp_path, content, end), content)
    (tmp_path / "dvc.lock").write_text(LOCK.format(file=md5(b"file"), folder=md5(listing)))
    return tmp_path


def cached(project: Path, content: bytes, end: str = "") -> Path:
    """The place of a content in the cache."""
    return project / ".dvc/cache/files/md5" / md5(content)[:2] / (md5(content)[2:] + end)


def test_untouched_files_are_as_locked(project):
    checked = check_files(project)
    assert (checked.hashed, checked.faults) == (5, [])
    assert str(checked) == "5 files checked, 0 not as in dvc.lock; missing: gone.bin (dvc checkout)"


def test_outputs_of_models_that_have_left_the_run_need_not_be_there(root, project):
    shutil.copy(root / "params.yaml", project)
    (project / "zoo").symlink_to(root / "zoo")
    assert check_files(project).missing == []  # model `a` is not in the pool
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text().replace("train@a-0", "train@mlp4-0"))
    assert check_files(project).missing == ["gone.bin"]


@pytest.mark.parametrize("name", ["a.bin", "folder/b.bin"])
def test_an_altered_output_is_found(project, name):
    (project / name).write_bytes(b"other")
    (fault,) = check_files(project).faults
    assert fault.startswith(f"{name} does not match dvc.lock")


@pytest.mark.parametrize(("content", "name"), [(b"file", "a.bin"), (b"inside", "folder/b.bin")])
def test_an_altered_copy_in_the_cache_is_found(project, content, name):
    cached(project, content).write_bytes(b"other")
    (fault,) = check_files(project).faults
    assert fault.startswith(f"the cached copy of {name} does not match dvc.lock")


def test_an_altered_list_of_a_folder_is_found(project):
    (copy,) = (project / ".dvc/cache").rglob("*.dir")
    copy.write_bytes(b"[")
    (fault,) = check_files(project).faults
    assert fault.startswith("the cached copy of folder does not")
