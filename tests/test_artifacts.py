"""Files of the pipeline: the same bytes each time, strict, and whole or not at all."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbnets import artifacts
from thumbnets.artifacts import (
    read_arrays,
    read_csv,
    read_json,
    remove_stale,
    write_array,
    write_arrays,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)


def test_json_is_sorted_rounded_and_ends_in_a_newline(tmp_path):
    content = {"b": np.float64(1 / 3), "a": [np.int64(2), {"é": 0.1 + 0.2}], "c": (True, None, "x")}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and not text.endswith("\n\n")
    assert list(json.loads(text)) == ["a", "b", "c"] and "é" in text
    assert read_json(tmp_path / "x.json") == {
        "a": [2, {"é": 0.3}],
        "b": 0.333333,
        "c": [True, None, "x"],
    }


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float32("nan")])
def test_json_refuses_what_is_not_finite(tmp_path, bad):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": [1.0, {"b": bad}]})
    assert list(tmp_path.iterdir()) == []


def test_reading_json_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match=r"x\.json is missing: run `dvc repro`"):
        read_json(tmp_path / "x.json")
    write_text(tmp_path / "x.json", '{\n "a": }')
    with pytest.raises(ValueError, match=r"x\.json, line 2: not JSON"):
        read_json(tmp_path / "x.json")


def test_csv_round_trip(tmp_path):
    rows = [{"name": 'a, "b"', "loss": 1 / 3}, {"name": "é\nc", "loss": np.float32(0.5)}]
    write_csv(tmp_path / "x.csv", iter(rows))
    assert (tmp_path / "x.csv").read_bytes().startswith(b"name,loss\n")
    assert read_csv(tmp_path / "x.csv") == [
        {"name": 'a, "b"', "loss": "0.333333"},
        {"name": "é\nc", "loss": "0.5"},
    ]


def test_arrays_round_trip_in_the_same_bytes(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([-1, 2])}
    for name in ("x.npz", "y.npz"):
        write_arrays(tmp_path / name, **arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()
    # One constant for all releases of Python, numpy and zlib.
    known = "fcc30ac4ba8679dc9b0f5cfdfc19695e831de2b49329a95e2850881cf9d8bc05"
    assert artifacts.sha256(tmp_path / "x.npz") == known
    back = read_arrays(tmp_path / "x.npz")
    assert set(back) == {"a", "b"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, strict=True)
    write_array(tmp_path / "z.npy", arrays["a"])
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), arrays["a"], strict=True)


def test_npz_bytes_do_not_rest_on_the_clock(tmp_path, python):
    code = "import sys, time, numpy as np; from pathlib import Path\n"
    code += "from thumbnets.artifacts import write_arrays\n"
    code += "time.time = time.localtime = None\n"  # would fail if asked
    code += "write_arrays(Path(sys.argv[1]), a=np.arange(3))"
    python(code, str(tmp_path / "x.npz"))
    write_arrays(tmp_path / "y.npz", a=np.arange(3))
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_objects_are_not_pickled(tmp_path):
    with pytest.raises(ValueError):
        write_arrays(tmp_path / "x.npz", a=np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match="is missing: run `dvc repro`"):
        read_arrays(tmp_path / "x.npz")


def test_text_ends_in_one_newline(tmp_path):
    for content in ("a", "a\n", "a\n\n"):
        write_text(tmp_path / "deep" / "er" / "x.txt", content)
        assert (tmp_path / "deep" / "er" / "x.txt").read_bytes() == b"a\n"


def test_a_failed_rename_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_bytes(tmp_path / "x", b"old")

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "x"))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_bytes(tmp_path / "x", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, python):
    write_bytes(tmp_path / "x", b"old")
    code = "import resource, sys; from pathlib import Path\n"
    code += "from thumbnets.artifacts import write_bytes\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # as if 1,000 bytes fit
    code += "try: write_bytes(Path(sys.argv[1]), b'n' * 5000)\n"
    code += "except OSError as error: print(error.strerror)"
    assert python(code, str(tmp_path / "x")).strip() == "File too large"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_a_target_that_can_not_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        write_bytes(tmp_path / "folder", b"new")
    with pytest.raises(OSError):
        write_bytes(tmp_path / "file" / "x", b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_remove_stale_removes_what_is_not_named(tmp_path):
    for name in ("0.npz", "1.npz", "2.npz", ".gitignore"):
        (tmp_path / name).touch()
    remove_stale(tmp_path, ["2.npz", "0.npz", "3.npz"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [".gitignore", "0.npz", "2.npz"]
    remove_stale(tmp_path / "nowhere", ["a"])
    assert not (tmp_path / "nowhere").exists()


def test_remove_stale_removes_a_stray_folder(tmp_path):
    (tmp_path / "old").mkdir()
    remove_stale(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=50)
@given(st.recursive(st.floats(-1e6, 1e6) | st.integers() | st.text("aé\n"), st.lists, max_leaves=8))
def test_rounding_changes_floats_by_less_than_a_millionth(content):
    def flat(x):
        return [y for item in x for y in flat(item)] if isinstance(x, list) else [x]

    for before, after in zip(flat(content), flat(artifacts._rounded(content)), strict=True):
        assert type(after) is type(before)
        assert abs(after - before) < 1e-6 if isinstance(before, float) else after == before
