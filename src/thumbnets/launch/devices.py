"""The GPUs of this machine, and how trainings that run at once share them."""

import re
import shutil
import subprocess
import sys

from thumbnets import runtime

_SECONDS = 30  # time limit of nvidia-smi, which hangs if the driver does
# "  MIG 1g.10gb  Device  0: (UUID: MIG-…)"; drivers before 470 write MIG-GPU-…/1/0
_UUID = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)\s]+)\)")


def visible_devices() -> list[str]:
    """Names for `CUDA_VISIBLE_DEVICES`, one for each usable GPU or MIG slice.

    A process sees at most one MIG slice, so a partitioned GPU counts as its slices. If
    `CUDA_VISIBLE_DEVICES` is already set, as in a cluster's job, its names are kept.

    Returns:
        UUIDs, or the names in the variable; empty without a GPU or if none is to be used.
    """
    if not runtime.uses_gpus():
        return []
    allowed, program = runtime.visible_gpus(), shutil.which("nvidia-smi")
    if allowed is not None:
        return allowed if program or runtime.has_gpu_driver() else []
    return _listed(program) if program else []


def _listed(program: str) -> list[str]:
    """UUIDs that `nvidia-smi -L` lists; if it fails, none, with the reason on stderr."""
    command = [program, "-L"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"No GPU is used: {error}", file=sys.stderr)
        return []
    if done.returncode:
        reason = " ".join((done.stdout + done.stderr).split())
        print(f"No GPU is used, since nvidia-smi -L failed: {reason}", file=sys.stderr)
        return []
    return parse_list(done.stdout)


def parse_list(text: str) -> list[str]:
    """UUIDs in the output of `nvidia-smi -L`: per GPU, or per MIG slice of a partitioned GPU."""
    devices: list[str] = []
    for line in text.splitlines():
        if not (found := _UUID.search(line)):
            continue
        is_slice, uuid = line.lstrip().startswith("MIG"), found[1]
        if is_slice and devices and devices[-1].startswith("GPU-"):
            devices.pop()  # the GPU itself, which can't be used while it is partitioned
        devices.append(uuid)
    return devices


def assign(devices: list[str], per_gpu: int | None, jobs: int | None) -> list[str]:
    """The device of each training that runs at once, assigned round-robin.

    Args:
        devices: Devices from `visible_devices`, at least one.
        per_gpu: Number of trainings that share a device, or None for as few as `jobs` need.
        jobs: Number of trainings at once, or None for as many as the devices take.

    Raises:
        ValueError: The devices can't take that many.
    """
    per_gpu = per_gpu or -(-(jobs or 1) // len(devices))
    places = devices * per_gpu
    if jobs is None:
        return places
    if jobs > len(places):
        raise ValueError(
            f"--jobs must be at most {len(places)} on {len(devices)} GPU(s) with {per_gpu} "
            f"training(s) each, got {jobs}: write --per-gpu {-(-jobs // len(devices))}."
        )
    return places[:jobs]
