"""Numbers and params as text, for the templates of the report."""

import io
import json
import math
from typing import Any

from ruamel.yaml import YAML

from thumbnets.data.names import shown
from thumbnets.messages import plural
from thumbnets.params import Params

NONE = "–"  # stands for a missing value
_GAP = "\u202f"  # narrow no-break space between a number and its unit


def shortened(text: str, longest: int) -> str:
    """A text without its middle if it is long: names that differ often share one end."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def percent(share: float | None, digits: int = 2) -> str:
    """0.8983 as 89.83 %."""
    return NONE if share is None else f"{100 * share:.{digits}f}{_GAP}%"


def whole_percent(share: float) -> str:
    """0.083 as 8; nothing for what rounds to zero."""
    rounded = round(100 * share)
    return str(rounded) if rounded else ""


def confidence(probability: float) -> str:
    """0.99983 as 99.9 %: rounded down, since no prediction is certain."""
    return percent(math.floor(1000 * probability) / 1000, 1)


def points(difference: float | None, digits: int = 2) -> str:
    """0.0121 as +1.21, in percentage points."""
    if difference is None:
        return NONE
    return f"{100 * difference:+.{digits}f}".replace("-", "−")


def interval(bounds: Any, digits: int = 2) -> str:
    """An interval of shares as 89.22 – 90.41, in percent; bounds as attributes or keys.

    Student's interval over few seeds can reach outside 0 to 100 %: it is clipped there.
    """
    low, high = _bounds(bounds)
    if low is None:
        return NONE
    return f"{100 * max(low, 0):.{digits}f}{_GAP}–{_GAP}{100 * min(high, 1):.{digits}f}"


def point_interval(bounds: Any, digits: int = 2) -> str:
    """An interval of differences of shares as +0.36 to +0.88, in percentage points; clipped too."""
    low, high = _bounds(bounds)
    if low is None:
        return NONE
    return f"{points(max(low, -1), digits)} to {points(min(high, 1), digits)}"


def plain_interval(bounds: Any, digits: int) -> str:
    """An interval as 0.62 – 0.91."""
    low, high = _bounds(bounds)
    if low is None:
        return NONE
    return f"{decimals(low, digits)} – {decimals(high, digits)}"


def _bounds(bounds: Any) -> tuple[float, float] | tuple[None, None]:
    """Both ends of an interval; None where they are not known, as for a single group of images."""
    if isinstance(bounds, dict):
        prefix = "ci_" if "ci_low" in bounds else ""
        low, high = bounds[f"{prefix}low"], bounds[f"{prefix}high"]
    else:
        low, high = bounds.low, bounds.high
    return (None, None) if low is None or math.isnan(low) else (low, high)


def decimals(value: float | None, digits: int) -> str:
    """A number with `digits` decimals."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def place(rank: float) -> str:
    """A rank: 2, or 1.5 where two classifiers tie."""
    return f"{rank:.1f}".removesuffix(".0")


def p_value(p: float | None) -> str:
    """0.03141 as 0.031; very small ones as < 0.0001."""
    if p is None or math.isnan(p):
        return NONE
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}" if p < 0.995 else "1"


def probability(share: float) -> str:
    """0.0312 as 0.031; never 0 or 1, which no sample can show."""
    if share < 0.0005:
        return "< 0.001"
    return "> 0.999" if share >= 0.9995 else f"{share:.3f}"


def thousands(value: int) -> str:
    """583010 as 583,010."""
    return f"{value:,}"


def amount(count: float) -> str:
    """726791936 as 726.79M: in thousands, millions or billions."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if count >= unit:
            return f"{count / unit:.2f}{letter}"
    return f"{count:,.0f}"


def megabytes(size: float) -> str:
    """97.7 as 97.70, and 0.002632, of a very small network, as 0.0026."""
    return f"{size:.2f}" if size >= 0.1 else f"{size:.2g}"


def sides(pair: tuple[int, int]) -> str:
    """(3, 3) as 3, and (3, 5) as 3x5."""
    down, across = pair
    return f"{down}" if down == across else f"{down}x{across}"


def setting(value: Any) -> str:
    """A param as it could stand in params.yaml, in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cell(text: str) -> str:
    """Text escaped so that it can't break a Markdown table or be read as HTML or as an image."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for mark in "\\|*`[]$":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def name(text: str) -> str:
    """A name from the data, with unprintable characters escaped."""
    return shown(text)


def to_yaml(params: Params) -> str:
    """All params of the run, blocks of models by name."""
    content = params.model_dump()
    content["models"] = dict(sorted(content["models"].items()))
    return as_yaml(content)


def as_yaml(content: dict[str, Any]) -> str:
    """Keys and values in their order; short lists and maps on one line."""
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False
    yaml.default_flow_style = None
    yaml.width = 1000
    yaml.dump(content, text)
    return text.getvalue()


FILTERS = {
    function.__name__: function
    for function in (
        percent,
        confidence,
        points,
        interval,
        point_interval,
        plain_interval,
        decimals,
        place,
        p_value,
        probability,
        thousands,
        megabytes,
        amount,
        sides,
        setting,
        plural,
        cell,
        name,
    )
}
