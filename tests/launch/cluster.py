"""A real Slurm of one node on the loopback address, for tests and benchmarks."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVERS = ("munged", "slurmctld", "slurmd")

# As many cores as asked for, whatever the machine has; no accounting, as on many clusters.
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
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


_MUNGE = {
    "key-file": "key",
    "socket": "socket",
    "log-file": "log",
    "pid-file": "pid",
    "seed-file": "seed",
}


def hindrance() -> str:
    """Why Slurm can't be started here; empty if it can."""
    if missing := [name for name in SERVERS if shutil.which(name, path=_path()) is None]:
        return f"no {', '.join(missing)}: apt-get install slurm-wlm munge"
    return "slurmd is started as root only" if os.geteuid() else ""


@contextmanager
def running_slurm(folder: Path, cores: int) -> Iterator[None]:
    """Start Slurm, so that its commands find it by the environment, and end it.

    Args:
        folder: Empty folder for all of its files.
        cores: Cores of the node, so many jobs of one core run at once.

    Raises:
        RuntimeError: It did not come up.
    """
    before, started = dict(os.environ), []
    os.environ.update(PATH=_path(), SLURM_CONF=str(folder / "slurm.conf"))
    try:
        _start(folder, cores, started)
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=20)
        os.environ.clear()
        os.environ.update(before)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


def _start(folder: Path, cores: int, started: list[subprocess.Popen]) -> None:
    """Start munge, the controller and the node, in the foreground of processes of ours."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    port, node_port = _free_ports()
    text = CONFIGURATION.format(
        host=host, folder=folder, port=port, node_port=node_port, cores=cores
    )
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
            # they end with this process, even if it is killed
            command = ["setpriv", "--pdeathsig", "TERM", *command]
            started.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )
            time.sleep(0.3)
    for _ in range(100):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout
        if "idle" in state:
            return
        time.sleep(0.2)
    raise RuntimeError(f"Slurm did not come up: {(folder / 'servers.log').read_text()[-2000:]}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
