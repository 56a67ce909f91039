"""Ranks of the classifiers of a run, if there are enough of them for a picture to help."""

from dataclasses import dataclass

from markupsafe import Markup

from thumbnets.evaluation.ranking import Rank, indistinct
from thumbnets.report.charts import ranks_chart, svg
from thumbnets.report.results import Results

FEWEST = 5  # models; with fewer, the table of all pairs says as much


@dataclass(frozen=True)
class Standing:
    """All classifiers by rank.

    Attributes:
        ranks: The best first.
        groups: Names of neighbours in which no pair differs significantly.
    """

    ranks: list[Rank]
    groups: list[list[str]]

    @property
    def svg(self) -> Markup:
        """The critical-difference diagram."""
        listed = ", ".join(f"{rank.name} {rank.mean:.1f}" for rank in self.ranks)
        joined = "; ".join(" and ".join(group) for group in self.groups) or "none"
        return svg(
            ranks_chart(self.ranks, self.groups),
            f"Mean ranks with 95 % intervals: {listed}. Not shown to differ: {joined}",
        )


def standing(results: Results) -> Standing | None:
    """The ranks by test accuracy; None with fewer models than `FEWEST`."""
    if len(results.params.run) < FEWEST:
        return None
    return Standing(results.ranks, indistinct(results.ranks, results.comparisons))
