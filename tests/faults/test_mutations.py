"""Damaged files: every reader refuses them in one line that names the file, or reads them.

`make fuzz` does the same 10,000 times for each kind; `python -m tests.faults 1 KIND` repeats one.
"""

import random
import warnings

import pytest

from .kinds import KINDS
from .loop import attack, judge_message
from .mutations import mutate

COUNT = 200


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_is_one_line_that_names_the_file(kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about odd metadata
        tally = attack(kind, tmp_path, COUNT)
    assert not tally.faults
    assert tally.refused + tally.read == COUNT
    assert tally.refused > COUNT / 5  # the damage is none that readers pass over
    if kind.checked:
        assert tally.refused == COUNT


def test_mutations_are_the_same_every_time():
    content = random.Random(0).randbytes(1000)
    first, again = ([mutate(content, random.Random(seed)) for seed in range(100)] for _ in range(2))
    assert first == again and len(set(first)) > 95


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ValueError("{path} is damaged (cut off): remove it."), None),
        (ValueError("a.json must have at most 9 bytes."), None),
        (ValueError("cut off"), "does not name the file"),
        (ValueError("{path}\nis damaged"), "more than one line"),
        (ValueError("{path} " + "x" * 1000), "characters"),
    ],
)
def test_the_judge_knows_a_good_message(error, fault, tmp_path):
    path = tmp_path / "a.json"
    said = judge_message(ValueError(str(error).format(path=path)), path)
    assert said is None if fault is None else fault in said


def test_the_judge_reads_errors_of_the_system(tmp_path):
    path = tmp_path / "a.json"
    assert judge_message(OSError(28, "No space left on device", str(path)), path) is None
    assert judge_message(OSError(28, "No space left on device"), path).startswith("does not name")
