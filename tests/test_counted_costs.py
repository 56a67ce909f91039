"""The cost of a network is counted once, and found again while nothing that it rests on changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from thumbnets import costs, paths
from thumbnets.artifacts import write_json
from thumbnets.data.arrays import Meta
from thumbnets.store import Store


@pytest.fixture
def ask(model_settings, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Asks for the cost of a small network; `asked` has how often it was counted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "project_store", lambda: Store(tmp_path / "cache"))
    settings, counted = model_settings("mlp4"), []
    count = costs._count
    monkeypatch.setattr(costs, "_count", lambda *a: counted.append(a) or count(*a))

    def ask(stage: str = "evaluate", code: str = "a", meta: Meta = meta) -> dict:
        modules = dict.fromkeys(costs.COUNTED_BY, code)
        write_json(paths.stage_inputs(stage), {"modules": modules | {"other": stage}})
        write_json(paths.training_inputs("mlp4"), {"settings": settings.model_dump()})
        return costs.cost_of_image(stage, "mlp4", settings, meta)

    ask.counted = counted
    return ask


def test_the_report_finds_what_evaluate_counted(ask):
    found = ask("evaluate")
    assert found == ask("report") and len(ask.counted) == 1
    assert found["parameters"] == sum(layer["parameters"] for layer in found["layers"])


def test_other_code_or_other_images_are_counted_anew(ask, meta):
    ask()
    ask(code="b")
    larger = ask(meta=replace(meta, image_size=16))
    assert len(ask.counted) == 3
    assert larger["image"] == [1, 16, 16]
    ask()
    assert len(ask.counted) == 3
