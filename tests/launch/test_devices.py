"""Which GPUs there are, by what real drivers print, and which training gets which."""

import pytest

from thumbnets import runtime
from thumbnets.launch import devices

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


def test_more_than_devices_take_is_refused():
    with pytest.raises(ValueError, match=r"at most 2 on 2 GPU\(s\).*got 5: write --per-gpu 3"):
        devices.assign(["a", "b"], 1, 5)
    with pytest.raises(ValueError, match="--per-gpu must be 1 or more, got 0"):
        devices.assign(["a"], 0, None)
