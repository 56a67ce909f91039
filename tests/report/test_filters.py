"""Numbers as text."""

import pytest

from thumbnets.evaluation.statistics import Estimate, Interval
from thumbnets.report import filters

GAP = "\u202f"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (filters.percent(0.8983), f"89.83{GAP}%"),
        (filters.percent(None), "–"),
        (filters.whole_percent(0.083), "8"),
        (filters.whole_percent(0.004), ""),
        (filters.confidence(0.99999), f"99.9{GAP}%"),
        (filters.points(0.0121), "+1.21"),
        (filters.points(-0.0244), "−2.44"),
        (filters.points(None), "–"),
        (filters.interval(Interval(0.8922, 0.9041)), f"89.22{GAP}–{GAP}90.41"),
        (filters.interval({"low": 0.5, "high": 0.6}, 0), f"50{GAP}–{GAP}60"),
        (filters.interval({"ci_low": -0.1, "ci_high": 1.2}), f"0.00{GAP}–{GAP}100.00"),
        (filters.interval({"ci_low": None, "ci_high": None}), "–"),
        (filters.point_interval(Estimate(0, -0.0036, 0.0088)), "−0.36 to +0.88"),
        (filters.point_interval(Estimate(0, -1.3, 1.2)), "−100.00 to +100.00"),
        (filters.decimals(None, 3), "–"),
        (filters.place(2.0), "2"),
        (filters.place(1.5), "1.5"),
        (filters.decimals(0.23456, 3), "0.235"),
        (filters.p_value(0.00001), "< 0.0001"),
        (filters.p_value(0.0001), "0.0001"),
        (filters.p_value(0.03141), "0.031"),
        (filters.p_value(1.0), "1"),
        (filters.p_value(float("nan")), "–"),
        (filters.thousands(583010), "583,010"),
        (filters.megabytes(97.7), "97.70"),
        (filters.megabytes(690 * 4 / 2**20), "0.0026"),
        (filters.plural(1, "seed"), "1 seed"),
        (filters.plural(10000, "image"), "10,000 images"),
        (filters.setting("onecycle"), "onecycle"),
        (filters.setting({"size": 7}), '{"size": 7}'),
        (filters.setting(None), "null"),
        (filters.cell("a|b\n<c> [d](e)"), r"a\|b &lt;c> \[d\](e)"),
    ],
)
def test_numbers_as_text(given, expected):
    assert given == expected
