"""What the tests of launching share: a real Slurm on the loopback address, and toy trainings."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thumbnets.launch.base import Training

SERVERS = ("munged", "slurmctld", "slurmd")

# Four jobs at once whatever the machine has; no accounting, as on many clusters.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
KillWait=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def training() -> Callable[..., Training]:
    """Makes a training of two epochs."""

    def make(name: str = "good", seed: int = 0, **changes) -> Training:
        key = f"{name}{seed}".encode().hex().ljust(64, "0")
        return Training(
            **{"slot": name, "seed": seed, "key": key, "name": name, "epochs": 2} | changes
        )

    return make


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[None]:
    """A real Slurm of one node, whose state lies in a temporary folder."""
    if missing := [name for name in SERVERS if shutil.which(name, path=_path()) is None]:
        pytest.skip(f"no {', '.join(missing)}: apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("slurmd is started as root only")
    folder = tmp_path_factory.mktemp("slurm")
    os.chmod(folder.parent, 0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", _path())
        patched.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        started = []
        try:
            _start(folder, started)
            yield
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=20)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


def _start(folder: Path, started: list[subprocess.Popen]) -> None:
    """Start munge, the controller and the node, in the foreground of processes of ours."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    port, node_port = _free_ports()
    text = CONFIGURATION.format(host=host, folder=folder, port=port, node_port=node_port)
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    munge = [f"--{name}={folder}/munge.{end}" for name, end in _MUNGE.items()]
    with (folder / "servers.log").open("w") as log:
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-f", str(folder / "slurm.conf")],
            ["slurmd", "-D", "-f", str(folder / "slurm.conf")],
        ):
            started.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )
            time.sleep(0.3)
    for _ in range(100):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout
        if "idle" in state:
            return
        time.sleep(0.2)
    pytest.fail(f"Slurm did not come up: {(folder / 'servers.log').read_text()[-2000:]}")


_MUNGE = {
    "key-file": "key",
    "socket": "socket",
    "log-file": "log",
    "pid-file": "pid",
    "seed-file": "seed",
}


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
