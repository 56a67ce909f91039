"""Programs that are waited for: their status, and what is left of them when we are told to end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from thumbnets import processes
from thumbnets.processes import run_to_end

TOLD = "from thumbnets.processes import run_to_end; from thumbnets.stage import run; "


def test_the_status_is_that_of_the_program(tmp_path):
    command = [sys.executable, "-c", "import os; exit(os.getcwd() != os.environ['HERE'])"]
    assert run_to_end(command, cwd=tmp_path, env=os.environ | {"HERE": str(tmp_path)}) == 0
    assert run_to_end(command, cwd=tmp_path, env=os.environ | {"HERE": "elsewhere"}) == 1


@pytest.mark.parametrize("cut_off", [signal.SIGTERM, signal.SIGINT])
def test_what_it_has_started_ends_too(cut_off):
    """A program that passes no signal on; Ctrl-C goes to all processes of the terminal."""
    program = TOLD + "run(run_to_end, ['sh', '-c', 'sleep 300; sleep 300'])"
    with subprocess.Popen([sys.executable, "-c", program], start_new_session=True) as told:
        while len(started := psutil.Process(told.pid).children(recursive=True)) < 2:
            time.sleep(0.01)
        (os.killpg if cut_off == signal.SIGINT else os.kill)(told.pid, cut_off)
        assert told.wait(20) == 128 + cut_off
    assert not psutil.wait_procs(started, 20)[1]


def test_ctrl_c_of_this_process_alone_ends_them_after_a_while():
    program = "from thumbnets import processes; from thumbnets.stage import run; "
    program += "processes._PATIENCE = 0.2; run(processes.run_to_end, ['sh', '-c', 'sleep 300; :'])"
    with subprocess.Popen([sys.executable, "-c", program]) as told:
        while len(started := psutil.Process(told.pid).children(recursive=True)) < 2:
            time.sleep(0.01)
        told.send_signal(signal.SIGINT)
        assert told.wait(20) == 128 + signal.SIGINT
    assert not psutil.wait_procs(started, 20)[1]


@pytest.mark.parametrize("cut_off", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_was_just_being_started_ends_too(cut_off):
    """The signal comes before `Popen` returns, so before anybody knows the program."""
    program = TOLD + (
        "import os, subprocess\n"
        "from thumbnets import processes\n"
        "processes._PATIENCE, start = 0.2, subprocess.Popen.__init__\n"
        "def told_meanwhile(*arguments, **how):\n"
        "    start(*arguments, **how)\n"
        "    print(arguments[0].pid, flush=True)\n"
        f"    os.kill(os.getpid(), {cut_off:d})\n"
        "subprocess.Popen.__init__ = told_meanwhile\n"
        "run(run_to_end, ['sleep', '300'])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 128 + cut_off
    assert not psutil.pid_exists(int(done.stdout))


def test_signals_break_into_other_threads_no_more_than_before():
    handlers = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: run_to_end(["true"])).result() == 0
    assert signal.getsignal(signal.SIGINT) is handlers


def test_all_are_told_though_one_has_ended_meanwhile(monkeypatch):
    children = psutil.Process.children

    def with_one_that_ends(process, recursive=False):
        found = children(process, recursive)
        found[0].kill()
        psutil.wait_procs(found[:1], 5)
        return found

    monkeypatch.setattr(psutil.Process, "children", with_one_that_ends)
    command = ["bash", "-c", "sleep 300 & sleep 300 & sleep 300 & wait"]
    with subprocess.Popen(command) as process:
        while len(started := children(psutil.Process(process.pid))) < 3:
            time.sleep(0.01)
        processes._terminate(process.pid)
    assert not psutil.wait_procs(started, 20)[1]


def test_a_program_that_cleans_up_is_waited_for():
    cleaning = "import signal, time\ndef end(*_):\n time.sleep(0.6); print('clean', flush=True)\n"
    cleaning += " exit(3)\nsignal.signal(signal.SIGTERM, end); print('on', flush=True)\n"
    program = (
        TOLD + f"run(run_to_end, [{sys.executable!r}, '-c', {cleaning + 'time.sleep(300)'!r}])"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout.readline() == "on\n"
        it.terminate()
        assert it.stdout.read() == "clean\n"
        assert it.wait(20) == 128 + signal.SIGTERM
