"""What the numbers of a run say: rows of tables and comparisons, still without any layout."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from thumbnets.evaluation.statistics import Gain, Interval, paired_gain, summarise
from thumbnets.evaluation.summaries import Scores, accuracy_interval
from thumbnets.params import Params
from thumbnets.report.published import Published, find_published
from thumbnets.report.results import Results
from thumbnets.training.settings import TrainSettings


@dataclass(frozen=True)
class Row:
    """One classifier of the run in the table of models and in the figure of accuracies.

    Attributes:
        name: Block of params.yaml, or "ensemble".
        scores: Test scores over seeds.
        interval: Of the accuracy: Student's over seeds, with a single seed Wilson's over images.
        validation: Mean and sd of the accuracy on the validation folds, if it is known.
        published: The number that the source of the network states, if any.
        pooled: Whether it may enter the ensemble.
    """

    name: str
    scores: Scores
    interval: Interval
    validation: dict[str, float | None] | None
    published: Published | None = None
    pooled: bool = True

    @property
    def accuracy(self) -> float:
        """Mean over seeds, a fraction."""
        return self.scores["accuracy"]["mean"]

    @property
    def difference(self) -> float | None:
        """Accuracy less the published one."""
        return self.accuracy - self.published.accuracy if self.published else None

    @property
    def holds_published(self) -> bool:
        """Whether the published number lies in the interval."""
        published = self.published
        return bool(published and self.interval.low <= published.accuracy <= self.interval.high)


def model_rows(results: Results) -> list[Row]:
    """A row for each model of the run, in its order."""
    params = results.params
    rows = []
    for name in params.run:
        settings = params.settings[name]
        patched = settings.train.patches is not None
        rows.append(
            Row(
                name=name,
                scores=results.metrics[name],
                interval=accuracy_interval(results.metrics[name]),
                validation=summarise(results.validation[name]),
                published=find_published(params.data.name, settings.arch, patches=patched),
                pooled=name in params.pool,
            )
        )
    return rows


def ensemble_row(results: Results) -> Row:
    """The row of the ensemble that counts; on validation images only soft votes were scored."""
    ensemble = results.ensemble
    seeds = [chosen[ensemble["objective"]] for chosen in results.selection.values()]
    validation = summarise(np.array([seed["validation_accuracy"] for seed in seeds]))
    return Row(
        name="ensemble",
        scores=ensemble["counted"],
        interval=accuracy_interval(ensemble["counted"]),
        validation=validation if ensemble["voting"] == "soft" else None,
    )


@dataclass(frozen=True)
class Patching:
    """A model that reads images as patches beside the same network on whole images.

    Attributes:
        patched: The model with patches.
        whole: The model without.
        size: Side of a patch in pixels.
        mode: `permute` or `shared`.
        gain: Accuracy of `patched` less that of `whole`, paired.
        other: Training settings in which the two differ besides, if any.
        published: The same difference in the source, if it states both.
    """

    patched: str
    whole: str
    size: int
    mode: str
    gain: Gain
    other: list[str]
    published: float | None

    @property
    def verdict(self) -> str:
        """What the interval says of the sign of the gain: `better`, `worse` or `unclear`."""
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "unclear"


def patchings(results: Results) -> list[Patching]:
    """A comparison for each model with patches of which the run has a twin without."""
    params = results.params
    found = []
    for name in params.run:
        patches = params.settings[name].train.patches
        twin = patches and _twin_without_patches(params, name)
        if twin:
            found.append(
                Patching(
                    patched=name,
                    whole=twin,
                    size=patches.size,
                    mode=patches.mode,
                    gain=paired_gain(results.right[name], results.right[twin]),
                    other=_other_settings(params, name, twin),
                    published=_published_effect(params, name),
                )
            )
    return found


def _twin_without_patches(params: Params, name: str) -> str | None:
    """The model of the run with the same network, whole images, and the nearest settings."""
    of = params.settings[name]
    twins = [
        other
        for other in params.run
        if params.settings[other].train.patches is None
        and (params.settings[other].arch, params.settings[other].options) == (of.arch, of.options)
    ]
    return min(twins, key=lambda twin: len(_other_settings(params, name, twin)), default=None)


def _other_settings(params: Params, a: str, b: str) -> list[str]:
    first, second = params.settings[a].train, params.settings[b].train
    return [
        key
        for key in TrainSettings.model_fields
        if key != "patches" and getattr(first, key) != getattr(second, key)
    ]


def _published_effect(params: Params, name: str) -> float | None:
    arch = params.settings[name].arch
    patched = find_published(params.data.name, arch, patches=True)
    whole = find_published(params.data.name, arch, patches=False)
    return patched.accuracy - whole.accuracy if patched and whole else None


@dataclass(frozen=True)
class CrossValidation:
    """Stratified k-fold cross-validation: every seed validates on a fold of its own.

    Attributes:
        folds: How many there are.
        covered: How many of them validated a run.
        scores: For each model mean, sd and t-interval of the accuracy over its runs.
    """

    folds: int
    covered: int
    scores: dict[str, dict[str, float | None]]


def cross_validation(results: Results) -> CrossValidation | None:
    """The scores over folds, if the params let the folds rotate."""
    params = results.params
    if not params.split.rotate:
        return None
    folds, settings = params.split.folds, params.settings[params.model]
    return CrossValidation(
        folds=folds,
        covered=len({settings.validation_fold(seed, folds) for seed in params.seeds}),
        scores={model: summarise(values) for model, values in results.validation.items()},
    )


def differing_settings(params: Params, model: str) -> dict[str, Any]:
    """The training settings of a block that differ from `train`, for the table of networks."""
    own = params.settings[model].train.model_dump()
    common = params.train.model_dump()
    return {key: value for key, value in own.items() if value != common[key]}


def shares(matrix: np.ndarray) -> np.ndarray:
    """Each row of counts int64 [K, K] as fractions of its sum; a row without images as zeros."""
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
