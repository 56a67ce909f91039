"""What the benchmark says of its measurements, and that every contender gets its turns."""

import pytest

from benchmarks import harness
from benchmarks.harness import Contender, Options
from benchmarks.process import Job, measure


def test_a_round_is_the_same_random_order_in_every_run():
    names = ["a", "b", "c", "d", "e"]
    orders = [harness.shuffled(names, round_) for round_ in range(10)]
    assert all(sorted(order) == names for order in orders)
    assert orders == [harness.shuffled(names, round_) for round_ in range(10)]
    assert len({tuple(order) for order in orders}) > 5


def test_ratios_are_taken_within_a_round():
    # The machine was half as fast in the second round: that does not show.
    assert harness.ratios([8.0, 16.0, 9.0], [2.0, 4.0, 3.0]) == [4.0, 4.0, 3.0]
    with pytest.raises(ValueError):
        harness.ratios([8.0, 16.0], [2.0])


def test_median_and_spread_are_given():
    assert harness.spread([3.0, 1.0, 2.0, 10.0]) == "2.50 (1.00 – 10.00)"
    assert harness.spread([3.14159], digits=3) == "3.142 (3.142 – 3.142)"


def test_a_goal_is_judged_by_the_median():
    assert harness.at_least(1.7, [9.0, 1.66, 1.0]) == "≥ 1.7, **missed**"
    assert harness.at_least(4, [4.0, 4.0, 1.0]) == "≥ 4, reached"
    assert harness.at_most(60, [66.77, 66.0, 50.0]) == "≤ 60, **missed**"
    assert harness.at_most(2.5, [2.5]) == "≤ 2.5, reached"
    assert harness.against([4.0, 8.0], [2.0, 2.0], 3) == ["3.00 (2.00 – 4.00)", "≥ 3, reached"]
    assert harness.against([4.0], [2.0])[1] == ""


def test_mean_and_deviation_are_given():
    assert harness.mean_sd([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert harness.mean_sd([99.0], digits=1) == "99.0"


def test_processes_at_once_take_until_the_last_has_ended():
    one_round = [{"began": 10.0, "ended": 13.0}, {"began": 10.5, "ended": 14.0}]
    assert harness.wall([one_round, one_round[:1]]) == [4.0, 3.0]


def test_a_table_is_markdown():
    assert harness.table(["", "seconds"], [["a", "1"], ["b", "2"]]) == (
        "|  | seconds |\n| :-- | --: |\n| a | 1 |\n| b | 2 |"
    )


def test_every_contender_runs_once_a_round(monkeypatch):
    ran = []

    def measured(*jobs: Job) -> list[dict]:
        ran.append([job.arguments["number"] for job in jobs])
        return [{"began": 0.0, "ended": 1.0, **job.arguments} for job in jobs]

    monkeypatch.setattr(harness, "measure", measured)

    def contenders(round_: int) -> list[Contender]:
        pair = tuple(Job("any.job", {"number": 100 + round_}) for _ in range(2))
        return [Contender.of("one", "any.job", number=round_), Contender("two", pair)]

    results = harness.compare(contenders, rounds=3)
    assert sorted(ran) == [[0], [1], [2], [100, 100], [101, 101], [102, 102]]
    assert [said[0]["number"] for said in results["one"]] == [0, 1, 2]
    assert [[process["number"] for process in said] for said in results["two"]] == [
        [100, 100],
        [101, 101],
        [102, 102],
    ]


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bf16_runs_where_the_machine_has_it(monkeypatch, has_bf16: bool):
    monkeypatch.setattr(harness, "measure", lambda *jobs: [{"began": 0.0, "ended": 1.0}])
    monkeypatch.setattr(harness, "computes_bf16", lambda: has_bf16)
    contenders = [Contender.of(name, "any.job") for name in ("ours", "ours, bf16")]
    results = harness.compare(lambda round_: contenders, rounds=1)
    assert sorted(results) == ["ours", "ours, bf16"][: 1 + has_bf16]
    assert ("no bf16" in harness.basis(Options(1, 1, False, "", ""))) is not has_bf16


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        measure(Job("first_step.nothing", {}))
