"""What the machine offers."""

import pytest
import torch

from thumbnets import runtime

GIB = 2**30


def test_memory_is_what_the_user_says(monkeypatch):
    monkeypatch.setenv("THUMBNETS_MEMORY", "1.5")
    assert runtime.memory() == 1.5 * GIB


@pytest.mark.parametrize("text", ["0", "-1", "lots", "nan", "inf"])
def test_what_is_no_memory_is_refused(monkeypatch, text):
    monkeypatch.setenv("THUMBNETS_MEMORY", text)
    with pytest.raises(
        ValueError, match=f"THUMBNETS_MEMORY must be GiB, more than 0, got '{text}'"
    ):
        runtime.memory()


def test_memory_is_that_of_the_container_or_the_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("THUMBNETS_MEMORY", raising=False)
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(runtime, "_MEMORY_LIMITS", (str(limit), str(tmp_path / "none")))
    machine = runtime.memory()
    assert machine > GIB / 4
    limit.write_text("max\n")
    assert runtime.memory() == machine
    limit.write_text(f"{1 << 20}\n")
    assert runtime.memory() == 1 << 20


# As torch 2.12 raises them.
OUT = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB of "
    "which 3.44 GiB is free.\nIncluding non-PyTorch memory, this process has 75.65 GiB in use."
)
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
DRIVER = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError(OUT), "CUDA out of memory. Tried to allocate 20.00 GiB"),
        (RuntimeError(CUBLAS), "CUBLAS_STATUS_ALLOC_FAILED"),
        (RuntimeError(DRIVER), "CUDA error: out of memory"),
    ],
)
def test_a_gpu_without_memory_left_is_one_line(error, said):
    with pytest.raises(ValueError) as told, runtime.gpu_memory("cnn_c, seed 3"):
        raise error
    line = str(told.value)
    assert line.startswith(f"cnn_c, seed 3: the memory of the GPU has ended ({said}): ")
    assert "--per-gpu" in line and "batch_size" in line and "\n" not in line


def test_other_errors_of_torch_are_not_about_memory():
    with pytest.raises(RuntimeError, match="size mismatch"), runtime.gpu_memory("cnn_c"):
        raise RuntimeError("size mismatch")


def test_the_type_of_device_needs_no_torch_where_there_is_no_gpu(monkeypatch, python):
    monkeypatch.delenv("THUMBNETS_DEVICE", raising=False)
    monkeypatch.setattr(runtime, "_GPU_DRIVERS", ())
    assert runtime.device_type() == runtime.accepted_device() == "cpu"
    monkeypatch.setenv("THUMBNETS_DEVICE", "cuda:1")
    assert runtime.device_type() == runtime.accepted_device() == "cuda"
    monkeypatch.setenv("THUMBNETS_ACCEPT", "mps")
    assert (runtime.device_type(), runtime.accepted_device()) == ("cuda", "mps")
    code = "import sys; from thumbnets import runtime; runtime._GPU_DRIVERS = ()\n"
    assert python(code + "runtime.device_type(); print('torch' in sys.modules)") == "False\n"


def test_a_machine_is_its_device_instructions_and_torch(monkeypatch):
    import torch

    monkeypatch.setenv("THUMBNETS_DEVICE", "cpu")
    found = runtime.machine()
    assert (found["device"], found["torch"]) == ("cpu", torch.__version__)
    assert found["kind"].split()[0] == __import__("platform").machine()
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        assert "avx512f" in found["kind"].split()


def test_a_question_about_the_compiler_does_not_import_it(python):
    """`inspect` asks every module for `__file__` and `__wrapped__`; the import takes a second."""
    asks = """
import inspect, sys
from thumbnets import runtime
runtime.prepare(threads=1)
inspect.getmodule(runtime)
compiler = sys.modules["torch._dynamo"]
assert not hasattr(compiler, "__wrapped__") and sys.modules["torch._dynamo"] is compiler
compiler.config
assert sys.modules["torch._dynamo"] is not compiler
"""
    python(asks)


def test_a_network_of_a_library_trains(python):
    """torchvision imports a part of the compiler at its own import, in the midst of a training."""
    uses = """
import sys, torch
from thumbnets import runtime
from thumbnets.models import create_model
runtime.prepare(threads=1)
network = create_model("torchvision/squeezenet1_1", in_channels=1, image_size=32, num_classes=2)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
network(torch.zeros(1, 1, 32, 32)).sum().backward()
optimizer.step()
assert torch._dynamo is sys.modules["torch._dynamo"]
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
assert torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(1)) == 1
"""
    python(uses)
