"""Which GPUs there are, by what real drivers print, and which training gets which."""

import pytest

from thumbnets import runtime
from thumbnets.launch import devices, local
from thumbnets.launch.base import Job, Request, Training
from thumbnets.launch.local import Local

TWO = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1d9a7a5c-4a5f-cb36-2c8d-51a0a5c5c0de)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-8f1c9b3e-92a4-7c7c-bb1d-0f6a2b9e4d21)
"""
FIRST, SECOND = (
    "GPU-1d9a7a5c-4a5f-cb36-2c8d-51a0a5c5c0de",
    "GPU-8f1c9b3e-92a4-7c7c-bb1d-0f6a2b9e4d21",
)
SLICED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb      Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-7d0e1f2a-0001-fd30-cd4a-1e6da3caf9b0)
  MIG 7g.40gb Device 0: (UUID: MIG-GPU-7d0e1f2a-0001-fd30-cd4a-1e6da3caf9b0/0/0)
"""
SLICES = [
    "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",
    "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb",
    "GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0",
    "MIG-GPU-7d0e1f2a-0001-fd30-cd4a-1e6da3caf9b0/0/0",
]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Puts an nvidia-smi on PATH that prints a text; without one, none is there."""
    for name in ("CUDA_VISIBLE_DEVICES", "THUMBNETS_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime, "has_gpu_driver", lambda: False)
    monkeypatch.setattr(runtime, "device_type", lambda: "cpu")
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(text: str, code: int = 0) -> None:
        (tmp_path / "printed").write_text(text)
        program = tmp_path / "nvidia-smi"
        program.write_text(
            f'#!/bin/sh\n[ "$*" = -L ] || exit 2\nwhile IFS= read -r line; do echo "$line"; done'
            f" < {tmp_path}/printed\nexit {code}\n"
        )
        program.chmod(0o755)

    return make


def test_without_a_driver_there_is_none(machine):
    assert devices.visible_devices() == []


@pytest.mark.parametrize(("text", "found"), [(TWO, [FIRST, SECOND]), (SLICED, SLICES), ("", [])])
def test_gpus_and_in_their_place_their_slices(machine, text, found):
    machine(text)
    assert devices.visible_devices() == found


def test_a_driver_that_fails_is_told(machine, capfd):
    machine("Failed to initialize NVML: Driver/library version mismatch\n", 18)
    assert devices.visible_devices() == []
    assert "Driver/library version mismatch" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        ("1", ["1"]),
        ("3, 2", ["3", "2"]),
        (f"{SECOND}", [SECOND]),
        (f"{SLICES[0]},{SLICES[1]}", SLICES[:2]),
        ("0,-1,2", ["0"]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_what_the_variable_leaves_is_kept(machine, monkeypatch, variable, found):
    machine(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert devices.visible_devices() == found


def test_the_variable_alone_makes_no_gpu(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.visible_devices() == []
    monkeypatch.setattr(runtime, "has_gpu_driver", lambda: True)  # a container without nvidia-smi
    assert devices.visible_devices() == ["0"]


@pytest.mark.parametrize(("device", "count"), [("cpu", 0), ("cuda:1", 0), ("cuda", 2), ("", 2)])
def test_a_device_that_was_chosen_is_left_alone(machine, monkeypatch, device, count):
    machine(TWO)
    monkeypatch.setenv("THUMBNETS_DEVICE", device)
    assert len(devices.visible_devices()) == count


def test_devices_in_turn():
    assert devices.assign(["a", "b"], 1, None) == ["a", "b"]
    assert devices.assign(["a", "b"], 2, None) == ["a", "b", "a", "b"]
    assert devices.assign(["a", "b"], 2, 3) == ["a", "b", "a"]
    assert devices.assign(["a", "b"], 1, 1) == ["a"]


def test_trainings_share_devices_where_more_are_asked_for():
    assert devices.assign(["a", "b"], None, None) == ["a", "b"]
    assert devices.assign(["a", "b"], None, 1) == ["a"]
    assert devices.assign(["a", "b"], None, 5) == ["a", "b", "a", "b", "a"]


def test_more_than_devices_take_is_refused():
    with pytest.raises(ValueError, match=r"at most 2 on 2 GPU\(s\).*got 5: write --per-gpu 3"):
        devices.assign(["a", "b"], 1, 5)


def job(number: int) -> Training:
    return Training("cnn_a", number, "key", "cnn_a", 1)


def test_processes_go_to_devices_in_turn_and_take_what_is_free(machine, monkeypatch, tmp_path):
    """Two GPUs, two trainings each: four at once, and the fifth goes where one has ended."""
    machine(TWO)
    monkeypatch.setattr(runtime, "device_type", lambda: "cuda")
    monkeypatch.chdir(tmp_path)
    started: dict[str, str] = {}
    ended: set[str] = set()

    class Process:
        def __init__(self, command, env, **_):
            self.training = command[-1]
            started[self.training] = env["CUDA_VISIBLE_DEVICES"]
            assert env["THUMBNETS_DEVICE"] == "cuda"  # else it would train on the CPU if it must

        def poll(self):
            return 0 if self.training in ended else None

    backend = Local(Request(per_gpu=2))
    monkeypatch.setattr(local.subprocess, "Popen", Process)
    assert backend.jobs == 4
    jobs = backend.submit([(job(number),) for number in range(6)])
    assert list(started.values()) == [FIRST, SECOND, FIRST, SECOND]
    ended |= {job(1).argument}
    phases = [state.phase for state in backend.states(jobs)]
    assert phases == ["running", "ended", "running", "running", "running", "waiting"]
    assert list(started.values())[4:] == [SECOND]


def test_without_a_gpu_processes_see_what_this_one_sees(machine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(local.subprocess, "Popen", lambda *_, env, **__: seen.append(env))
    monkeypatch.setattr(runtime, "cores", lambda: 3)
    backend = Local(Request())
    assert backend.jobs == 3
    backend._process(Job("local", "1", (job(0),), tmp_path / "log"), backend._places[0])
    assert "CUDA_VISIBLE_DEVICES" not in seen[0]


def test_gpus_that_torch_can_not_use_are_none(machine, monkeypatch):
    """As with a driver that is too old, or a torch for CPUs."""
    machine(TWO)
    monkeypatch.setattr(runtime, "cores", lambda: 3)
    assert Local(Request())._places == [None] * 3


def test_what_can_not_be_is_said(machine):
    with pytest.raises(ValueError, match="--per-gpu: there is no GPU here"):
        Local(Request(per_gpu=2))
    with pytest.raises(ValueError, match="--gpus: not for --on local"):
        Local(Request(gpus=0.25))
