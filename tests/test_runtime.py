"""What the machine offers."""

import pytest

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
