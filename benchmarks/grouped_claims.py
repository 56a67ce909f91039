"""Do intervals and tests hold where images come in groups? `python -m benchmarks.grouped_claims`.

Prints the tables of docs/statistics.md on groups of images, also with images treated as
independent, and with the variance of groups treated as known.
"""

import argparse
from dataclasses import replace

import numpy as np

from thumbnets.evaluation.by_class import class_intervals
from thumbnets.evaluation.comparisons import pair_p
from thumbnets.evaluation.statistics import of_groups
from thumbnets.evaluation.two_way import TwoWay

GROUPS = (2, 3, 5, 10, 30, 100)
MOST = 11  # most images of a group
ALPHA = 0.05


def held(groups: int, draws: int) -> np.ndarray:
    """How often the interval covers a true accuracy of 80 %, over groups and over images."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        group = np.repeat(np.arange(groups), rng.integers(1, MOST + 1, groups))
        labels = rng.integers(0, 2, len(group))
        right = rng.random(len(group)) < rng.beta(2, 0.5, groups)[group]
        predicted = np.where(right, labels, 2)[None]
        both = [class_intervals(labels, predicted, 3, of).accuracy for of in (group, None)]
        found.append([interval.low <= 0.8 <= interval.high for interval in both])
    return np.mean(found, 0)


def claimed(groups: int, seeds: int, draws: int) -> np.ndarray:
    """How often two equally good models are claimed to differ, over groups and over images."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        group = np.repeat(np.arange(groups), rng.integers(2, MOST + 1, groups))
        ahead = rng.normal(0, 0.2, groups)[group]
        a, b = (rng.random((seeds, len(group))) < 0.7 + sign * ahead / 2 for sign in (1, -1))
        both = [pair_p(of_groups(a, of), of_groups(b, of)) for of in (group, None)]
        found.append([p < ALPHA for p in both])
    return np.mean(found, 0)


def claimed_of_few(groups: int, seeds: int, draws: int) -> np.ndarray:
    """How often normal gains of mean 0 are claimed at p < 0.01, also with a known variance."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        rest = rng.normal(0, 0.3, (seeds, groups))
        table = TwoWay.of(rng.normal(0, 1, groups) + rest)
        known = replace(table, shape=(seeds, 10**9))  # the variance of so many images is known
        found.append([of.p_value() < 0.01 for of in (table, known)])
    return np.mean(found, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grouped_claims", description=__doc__
    )
    parser.add_argument("--draws", type=int, default=2_000)
    draws = parser.parse_args().draws
    print(
        "| groups | interval holds | over images | claims, 1 seed | over images "
        "| claims, 3 seeds | over images | claims, 5 seeds | over images |"
    )
    for groups in GROUPS:
        _print_row(
            groups, held(groups, draws), *(claimed(groups, seeds, draws) for seeds in (1, 3, 5))
        )
    print("\n| groups | 2 seeds | variance known | 3 seeds | known | 5 seeds | known |")
    for groups in GROUPS:
        _print_row(groups, *(claimed_of_few(groups, seeds, draws) for seeds in (2, 3, 5)))


def _print_row(groups: int, *shares: np.ndarray) -> None:
    cells = " | ".join(f"{100 * share:.1f}" for share in np.concatenate(shares))
    print(f"| {groups} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
