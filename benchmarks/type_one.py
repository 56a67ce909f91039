"""Are the claims of `compare` as rarely wrong as they say? `python -m benchmarks.type_one`.

Simulates type I errors, coverage of intervals and power of the paired test, beside the test that
was here before (Hillis, Berbaum and Metz 2008). Prints the tables of docs/statistics.md.
"""

import argparse
from itertools import combinations

import numpy as np
from scipy import stats

from thumbnets.evaluation.comparisons import holm, paired_test
from thumbnets.evaluation.two_way import TwoWay

SEED = 0
IMAGES = 10_000
ALPHA = 0.01
REST = 0.7  # share of the image variance of one training's gain that another seed draws anew
RATIOS = (0, 1, 4, 16, 64, 256)  # variance of a training's gain by its seed, over that by images
SEEDS = (2, 3, 5, 10)
EFFECTS = (
    2,
    3,
    4,
    6,
    10,
    20,
)  # true gains, in standard deviations of one training's gain by its images


def draw(seeds: int, ratio: float, effect: float, rng: np.random.Generator) -> TwoWay:
    """A `TwoWay` of normal gains, drawn through its mean squares, which are independent."""
    by_rest, by_image, by_seed = REST, seeds * (1 - REST) + REST, ratio + REST
    variance = (by_seed + by_image - by_rest) / seeds
    cells = (seeds - 1) * (IMAGES - 1)
    rest = by_rest * rng.chisquare(cells) / cells / seeds
    images = by_image * rng.chisquare(IMAGES - 1) / (IMAGES - 1) / seeds
    of_seeds = by_seed * rng.chisquare(seeds - 1) / (seeds - 1) / seeds
    mean = rng.normal(effect, np.sqrt(variance))
    return TwoWay.of_parts(mean, images, of_seeds, rest, (seeds, IMAGES))


def hillis(table: TwoWay) -> float:
    """p-value of the earlier test."""
    by_seed = max(table.seeds, table.least)
    square = max(table.images - table.least, 0) + by_seed
    freedom = (table.shape[0] - 1) * (square / by_seed) ** 2
    return 2 * stats.t.sf(abs(table.mean) / np.sqrt(square), freedom)


def pairs(draws: int, rng: np.random.Generator) -> None:
    """Print type I errors at p < 0.01, and how often the 95 % interval covers the true gain."""
    print(f"\n{draws:,} draws a cell, in %: wrong claims at p < {ALPHA} before and now; coverage")
    print("| seeds | " + " | ".join(f"ratio {ratio}" for ratio in RATIOS) + " |")
    print("|---" * (len(RATIOS) + 1) + "|")
    for seeds in SEEDS:
        cells = []
        for ratio in RATIOS:
            tables = [draw(seeds, ratio, 0, rng) for _ in range(draws)]
            before = np.mean([hillis(table) < ALPHA for table in tables])
            p = np.array([table.p_value() for table in tables])
            cells.append(f"{100 * before:.1f}, {_share(p < ALPHA)}; {_share(p >= 0.05)}")
        print(f"| {seeds} | " + " | ".join(cells) + " |", flush=True)


def power(draws: int, rng: np.random.Generator) -> None:
    """Print how often a true gain is found at p < 0.01."""
    print(f"\n{draws:,} draws a cell: gains found at p < {ALPHA} before and now, in %")
    print("| seeds | ratio | " + " | ".join(f"gain {effect}" for effect in EFFECTS) + " |")
    print("|---" * (len(EFFECTS) + 2) + "|")
    for seeds in SEEDS:
        for ratio in (0, 1, 4):
            cells = []
            for effect in EFFECTS:
                tables = [draw(seeds, ratio, effect, rng) for _ in range(draws)]
                before = np.mean([hillis(table) < ALPHA for table in tables])
                now = np.mean([table.p_value() < ALPHA for table in tables])
                cells.append(f"{100 * before:.0f}, {100 * now:.0f}")
            print(f"| {seeds} | {ratio} | " + " | ".join(cells) + " |", flush=True)


def recognised(draws: int, rng: np.random.Generator) -> None:
    """Print type I errors for scores that are 0 or 1, so that nothing is normal."""
    print(f"\n{draws:,} draws a cell, 2,000 images: wrong claims at p < {ALPHA}, in %")
    print("| seeds | spread of seeds 0 | 0.02 | 0.05 |\n|---|---|---|---|")
    for seeds in (3, 5):
        cells = []
        for spread in (0, 0.02, 0.05):
            wrong = [
                paired_test(*(_right(seeds, 2_000, spread, rng) for _ in range(2))) < ALPHA
                for _ in range(draws)
            ]
            cells.append(_share(np.array(wrong)))
        print(f"| {seeds} | " + " | ".join(cells) + " |", flush=True)


def _right(seeds: int, images: int, spread: float, rng: np.random.Generator) -> np.ndarray:
    """One random classifier with its seeds, bool [S, N]; image hardness is the same for all."""
    hardness = np.random.default_rng(images).normal(size=images)
    own, rest = rng.normal(0, 0.3, images), rng.normal(0, 0.3, (seeds, images))
    mood = rng.normal(0, spread, (seeds, 1))
    return hardness + own + rest + mood < stats.norm.ppf(0.9) * np.sqrt(1 + 0.18)


def tables(draws: int, rng: np.random.Generator) -> None:
    """Print how often a table of 15 pairs has a wrong claim, after Holm's correction."""
    print(f"\n{draws:,} tables of 15 pairs, 400 images: with a wrong claim, in %")
    print("| seeds | ratio 0 | ratio 4 | ratio 16 |\n|---|---|---|---|")
    for seeds in (2, 3, 5):
        cells = []
        for ratio in (0, 4, 16):
            wrong = [_wrong_claim(seeds, 400, ratio, rng) for _ in range(draws)]
            cells.append(_share(np.array(wrong)))
        print(f"| {seeds} | " + " | ".join(cells) + " |", flush=True)


def _wrong_claim(seeds: int, images: int, ratio: float, rng: np.random.Generator) -> bool:
    own = rng.normal(0, np.sqrt(1 - REST), (6, 1, images))
    rest = rng.normal(0, np.sqrt(REST), (6, seeds, images))
    scores = own + rest + rng.normal(0, np.sqrt(ratio / images), (6, seeds, 1))
    return min(holm([paired_test(a, b) for a, b in combinations(scores, 2)])) < ALPHA


def _share(hits: np.ndarray) -> str:
    return f"{100 * hits.mean():.1f}"


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.type_one", description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000, help="a cell (default 20000)")
    draws = parser.parse_args().draws
    rng = np.random.default_rng(SEED)
    pairs(draws, rng)
    power(max(draws // 10, 1), rng)
    recognised(max(draws // 10, 1), rng)
    tables(max(draws // 20, 1), rng)


if __name__ == "__main__":
    main()
