"""All of `python -m benchmarks gpu` on a CPU, so that nothing fails for the first time on a GPU."""

import os
import re
import subprocess
import sys

import pytest

from benchmarks import gpu, gpu_lines
from benchmarks.gpu import Failed, Processes, Record
from benchmarks.gpu_lines import Extent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run, with what it wrote; DVC can't be imported, as where there is none."""
    out = tmp_path_factory.mktemp("gpu")
    (out / "dvc.py").write_text("raise ImportError('what trains never imports dvc')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(out), "src"])}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gpu", "--small", "--out", str(out)],
        capture_output=True,
        text=True,
        env=environment,
    )
    return done, out


@pytest.mark.slow
def test_every_line_is_measured(run):
    done, out = run
    assert done.returncode == 0, done.stdout + done.stderr
    table, log = (out / "gpu.md").read_text(), (out / "gpu.log").read_text().splitlines()
    assert [line.split(": ")[0] for line in log] == list(gpu.LINES)
    assert all(f"| {name} | " in table for name in gpu.LINES)
    assert "the numbers mean nothing" in table and "failed" not in table
    assert not list(out.glob("*.checkpoint"))


@pytest.mark.slow
def test_what_must_be_so_on_a_cpu_is_so(run):
    log = (run[1] / "gpu.log").read_text()
    for bits in ("of two processes", "with the gradients as a CUDA graph"):
        assert f"bits {bits}: same: mlp4, tiny_cnn, resnet20, vgg8b_predsim" in log
    assert re.search(r"a killed training: same bits, resumed after [1-9]\d %", log)
    assert "steps that wait for the GPU: none waits" in log


def fails(extent: Extent) -> None:
    raise ValueError("too\nlittle")


def sleeps(extent: Extent) -> None:
    gpu_lines.time.sleep(60)


def answers(extent: Extent, number: int) -> int:
    return number


def ends(extent: Extent) -> None:
    os._exit(3)


def test_one_that_fails_is_told_and_the_next_goes_on(tmp_path):
    processes = Processes(Extent(True, {}, {}, tmp_path), gpu.time.monotonic() + 20)
    with pytest.raises(Failed, match="ValueError: too little"):
        processes.call(fails)
    with pytest.raises(Failed, match="ended with 3"):
        processes.call(ends)
    calls = [{"number": number} for number in range(3)]
    assert processes.at_once(answers, calls) == [0, 1, 2]
    processes.deadline = gpu.time.monotonic() + 0.1
    with pytest.raises(Failed, match="time is over"):
        processes.call(sleeps)


def test_a_cut_run_has_its_first_lines(tmp_path):
    record = Record(tmp_path, small=False)
    record.add("one", "a | b", "", 1.2)
    assert (tmp_path / "gpu.log").read_text() == "one: a | b (goal: –; 1.2 s)\n"
    assert "| one | a / b |  | 1 |" in (tmp_path / "gpu.md").read_text()
