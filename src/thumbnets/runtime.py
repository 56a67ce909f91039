"""The machine: device, mirror, threads. The only module that reads environment variables.

Nothing here may change a result: settings that do are keys of params.yaml.
"""

import configparser
import ctypes
import os
import platform
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thumbnets import compiler

if TYPE_CHECKING:
    import torch

# Waiting threads soon sleep instead of spinning: two trainings side by side (`dvc queue start -j2`,
# another program on a laptop) otherwise slow each other down far beyond sharing the cores. A short
# spin costs two trainings at once a third of their time, and saves one alone a fifth (on 2 cores; a
# longer one saves no more).
_QUIET = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}

# glibc's mallopt parameters. Large buffers stay mapped between steps: fresh pages cost more than
# the arithmetic of a small network.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

# Files that the drivers of NVIDIA and AMD make.
_GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")

# Sets of vector instructions by which torch and its libraries choose kernels.
_VECTORS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


# torch's messages if an allocation of its own fails, or one by cuBLAS or cuDNN.
_OUT_OF_MEMORY = re.compile(
    r"(?:CUDA|HIP) (?:error: )?out of memory(?:\. Tried to allocate [\d.]+ [KMG]iB)?"
    r"|CU(?:BLAS|DNN)_STATUS_ALLOC_FAILED"
)


def quiet_threads() -> None:
    """Make waiting threads sleep, unless environment variables say otherwise."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def prepare(*, threads: int, precision: str = "fp32") -> None:
    """Set up torch: number of threads, deterministic kernels, an allocator that keeps its memory.

    Args:
        threads: Number of compute threads, a param because it changes the arithmetic.
        precision: Precision of training, fp32 or bf16.

    Raises:
        ValueError: The device has no bfloat16 arithmetic.
    """
    import torch

    if precision == "bf16" and not computes_bf16(device()):
        raise ValueError(
            "precision: bf16 needs a CPU with avx512_bf16 or a GPU with bfloat16 (without, it is "
            "many times slower than fp32): write precision: fp32."
        )
    compiler.defer()
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, 0.9 s faster
    # All buffers are written before they are read: filling them would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # needed for determinism on a GPU
    _keep_buffers_mapped()


def computes_bf16(device: "torch.device") -> bool:
    """Whether a device has bfloat16 arithmetic of its own."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def _keep_buffers_mapped() -> None:
    """Make glibc's allocator reuse large buffers rather than return them; no-op elsewhere."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl, macOS
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 25)  # the most that glibc accepts
    mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    mallopt(_M_TOP_PAD, 1 << 26)


def device() -> "torch.device":
    """The device to compute on: `$THUMBNETS_DEVICE`, else the first GPU, else the CPU.

    Raises:
        ValueError: The variable names no device that torch can use here.
    """
    import torch

    name = os.environ.get("THUMBNETS_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"THUMBNETS_DEVICE={name!r} can't be used here: {reason}") from error


def uses_gpus() -> bool:
    """Whether trainings may be spread over GPUs: not if `$THUMBNETS_DEVICE` names another device.

    `cuda` means any GPU; with a number it names one GPU that all trainings share.
    """
    return os.environ.get("THUMBNETS_DEVICE") in (None, "", "cuda")


def visible_gpus() -> list[str] | None:
    """GPUs that `$CUDA_VISIBLE_DEVICES` leaves to this process; None if it is not set.

    Read as CUDA does: what follows -1 or an empty name is not used.
    """
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    unusable = [name in ("", "-1", "NoDevFiles", "void") for name in names]
    return names[: unusable.index(True)] if any(unusable) else names


def has_gpu_driver() -> bool:
    """Whether the driver of a GPU is loaded (Linux); without one torch can use none."""
    return any(Path(file).exists() for file in _GPU_DRIVERS)


@contextmanager
def gpu_memory(work: str) -> Iterator[None]:
    """Report in one line that the GPU ran out of memory.

    Args:
        work: What is computed, for the message.

    Raises:
        ValueError: In place of torch's error, which has many lines and no advice.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; libraries raise others
        if not (found := _OUT_OF_MEMORY.search(str(error))):
            raise
        raise ValueError(
            f"{work}: the memory of the GPU has ended ({found[0]}): fewer trainings at once "
            "(--per-gpu), a smaller batch_size, or precision: bf16 need less."
        ) from error


def device_type() -> str:
    """Type of `device()`, such as cpu or cuda; torch is not imported if there is no GPU."""
    if name := os.environ.get("THUMBNETS_DEVICE"):
        return name.partition(":")[0]
    if not has_gpu_driver():
        return "cpu"
    return device().type


def accepted_device() -> str:
    """Type of the device whose finished work is reused: `$THUMBNETS_ACCEPT`, else `device_type()`.

    So a machine without a GPU can reuse what the GPUs of a cluster have trained.
    """
    return os.environ.get("THUMBNETS_ACCEPT") or device_type()


def machine() -> dict[str, str]:
    """What the bytes of a training depend on besides its inputs: device, CPU kind, torch.

    The kind of a CPU is what decides the kernels: its architecture and vector instructions.
    """
    import torch

    at = device()
    kind = torch.cuda.get_device_name(at) if at.type == "cuda" else _cpu_kind()
    return {"device": at.type, "kind": kind, "torch": torch.__version__}


def _cpu_kind() -> str:
    """Architecture of the CPU and the vector instructions that libraries choose kernels by."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    flags = next((set(line.split()) for line in lines if line.startswith(("flags", "Feat"))), set())
    return " ".join([platform.machine(), *(name for name in _VECTORS if name in flags)])


def mirror() -> str | None:
    """`$THUMBNETS_MIRROR`: a folder with one folder of official archives per data set."""
    return os.environ.get("THUMBNETS_MIRROR") or None


# Memory limits of a container on Linux, in control groups of version 2 and 1.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory() -> int:
    """Memory available to a process, in bytes: `$THUMBNETS_MEMORY` in GiB, else the machine's.

    Raises:
        ValueError: The variable is not a positive number.
    """
    if text := os.environ.get("THUMBNETS_MEMORY"):
        try:
            gib = float(text)
        except ValueError:
            gib = -1.0
        if not 0 < gib < float("inf"):
            raise ValueError(f"THUMBNETS_MEMORY must be GiB, more than 0, got {text!r}")
        return int(gib * 2**30)
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if (addresses := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        found.append(addresses)
    for place in _MEMORY_LIMITS:
        with suppress(OSError, ValueError), open(place, encoding="ascii") as file:
            found.append(int(file.read()))  # "max" where there is none
    return min(found)


def host_memory() -> int | None:
    """As `memory`, for training on the CPU; None on a GPU, which has memory of its own.

    Raises:
        ValueError: As `memory`.
    """
    device = os.environ.get("THUMBNETS_DEVICE") or ""
    on_gpu = device != "cpu" if device else Path("/proc/driver/nvidia").exists()
    return None if on_gpu else memory()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checkpoint_seconds() -> float:
    """`$THUMBNETS_CHECKPOINT_SECONDS`: time from one checkpoint of a training to the next; 30.

    Raises:
        ValueError: It is not a number, or negative.
    """
    text = os.environ.get("THUMBNETS_CHECKPOINT_SECONDS") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ValueError(f"THUMBNETS_CHECKPOINT_SECONDS must be seconds, 0 or more, got {text!r}")
    return seconds


def keep_ray_quiet() -> None:
    """Turn off Ray's usage statistics and advice, unless environment variables say otherwise."""
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        os.environ.setdefault(name, "0")


def retrains() -> bool:
    """Whether `$THUMBNETS_RETRAIN` asks to train even what has been trained before."""
    return bool(os.environ.get("THUMBNETS_RETRAIN"))


def dvc_cache() -> Path | None:
    """DVC's cache of the project in the working directory, as DVC's settings say; None without DVC.

    Read here, since asking DVC itself takes most of a second.
    """
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "dvc"
    cache = None
    for file in (settings / "config", Path(".dvc/config"), Path(".dvc/config.local")):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read_string(file.read_text(encoding="utf-8"))
        if folder := parser.get("cache", "dir", fallback=None):
            cache = file.parent / Path(folder).expanduser()
    if not Path(".dvc").is_dir():
        return None
    return cache or Path(".dvc/cache")


def wants_traceback() -> bool:
    """Whether `$THUMBNETS_DEBUG` asks for the traceback behind a one-line error."""
    return bool(os.environ.get("THUMBNETS_DEBUG"))
