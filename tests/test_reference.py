"""docs/params.md: written from the code, up to date, and without a key that says nothing."""

import re

import pytest

from thumbnets.reference import PAGE, page, words
from thumbnets.registry import METHODS, NETWORKS, OPTIMIZERS, SCHEDULES
from thumbnets.training.settings import TrainSettings
from thumbnets.zoo import read_yaml


@pytest.fixture(scope="module")
def written(request) -> str:
    return page(read_yaml(request.config.rootpath / "params.yaml"))


def test_the_page_is_up_to_date(root, written):
    there = (root / PAGE).read_text(encoding="utf-8")
    assert there == written, "run `python -m thumbnets.reference`"


def test_every_key_has_a_row_and_every_row_a_meaning(written):
    rows = [line.split(" | ") for line in written.splitlines() if line.startswith("| `")]
    assert {f"| `train.{key}`" for key in TrainSettings.model_fields} <= {row[0] for row in rows}
    assert not [row[0] for row in rows if len(row[-1].strip(" |")) < 10]


def test_a_row_has_range_default_and_meaning(written):
    assert (
        "| `train.momentum` | number, at least 0, less than 1 | `0.9` | Momentum, or the first beta"
    ) in written
    assert "| `train.clip` | number, more than 0, or null | `null` | " in written
    assert (
        "| `data.depth` | whole number, at least 8, at most 16, or null | `null`, set with `+` |"
        in (written)
    )
    assert "| `train.mix` | [mix](#mixes-of-a-batch), or null | `null` | Blends " in written


def test_registered_functions_have_their_options(written):
    for registry in (METHODS, OPTIMIZERS, SCHEDULES, NETWORKS):
        for name in registry.entries:
            assert f"\n- `{name}`: " in written
    assert "- `cutout`: Blank one square of every image;" in written
    assert "  - `size` (whole number, at least 1; default 8): Side of the square in pixels." in (
        written
    )
    assert "  - `encoder` (text; required): " in written


def test_links_within_the_page_lead_somewhere(written):
    headings = re.findall(r"^## (.+)$", written, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", written)) <= anchors


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 1}, "whole number, at least 1"),
        ({"type": "boolean"}, "true or false"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "text, or null"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "list of names; 1 or more"),
        (
            {"type": "array", "prefixItems": [{"type": "number", "exclusiveMinimum": 0}] * 2},
            "[least, greatest], each number, more than 0",
        ),
    ],
)
def test_types_in_words(schema, text):
    assert words(schema) == text
