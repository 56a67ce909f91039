"""The section on encoders: whose they are, what their neighbours are, and the same bytes twice."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import write_arrays, write_csv
from thumbnets.report import encoders as module
from thumbnets.report.encoders import encoders
from thumbnets.report.templates import render

CLASSES = ["<b>cat</b>", "dog", "$x$"]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A run of two seeds with one probe, and an encoder as `pretrain` leaves it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for seed, last in ((3, 4.25), (1, 4.5)):
        rows = [{"train_loss": 6.0, "validation_loss": 5.5}]
        rows += [{"train_loss": 5.0, "validation_loss": last}]
        write_csv(paths.encoder("mine", seed).with_suffix(".csv"), rows)
    write_arrays(
        paths.embedding("mine", 3),
        key=np.array("k"),
        map=rng.normal(size=(30, 2)),
        labels=np.arange(30) % 3,
        neighbours=rng.integers(0, 255, (3, 5, 1, 8, 8)).astype(np.uint8),
        neighbour_labels=np.array([[0, 0, 0, 1, 0], [1, 1, 1, 1, 1], [2, 2, 0, 2, 2]]),
    )
    settings = {"probe": SimpleNamespace(encoder="mine"), "mlp4": SimpleNamespace(encoder=None)}
    params = SimpleNamespace(
        encoders=["mine"], seeds=[3, 1], run=["probe", "mlp4"], settings=settings
    )
    return SimpleNamespace(params=params, classes=CLASSES)


def test_says_whose_an_encoder_is_and_which_neighbours_are_of_other_classes(results):
    (found,) = encoders(results)
    assert (found.name, found.begins, found.images) == ("mine", ["probe"], 30)
    assert "Loss of mine by epoch, from 5.50 to 4.25" in found.chart  # of the first seed
    strangers = [[label for *_, label, same in q.images if not same] for q in found.neighbours]
    assert strangers == [["dog"], [], ["<b>cat</b>"]]
    assert found.neighbours[0].images[0][0].startswith("data:image/png;base64,")


def test_the_section_is_the_same_bytes_twice_and_escapes_classes(results):
    pages = [
        render(
            Path(module.__file__).with_name("encoders.html.j2"),
            encoders=encoders(results),
            params=results.params,
            several=True,
        )
        for _ in range(2)
    ]
    assert pages[0] == pages[1]
    assert "probe starts from it" in pages[0] and "one line\nper seed" in pages[0]
    assert "<b>cat</b>" not in pages[0] and "&lt;b&gt;cat&lt;/b&gt;" in pages[0]
    assert pages[0].count("<b>dog</b>") == 2  # a query, and a stranger
    assert pages[0].count("<img") == 15


def test_a_run_without_encoders_has_no_section(results):
    results.params.encoders = []
    assert encoders(results) == []
