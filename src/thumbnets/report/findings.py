"""Findings of a run: rows of tables and comparisons, without layout."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from thumbnets.evaluation.calibration import Calibration, calibrate
from thumbnets.evaluation.comparisons import Comparison, verdict
from thumbnets.evaluation.metrics import BY_CLASS, UNEVEN
from thumbnets.evaluation.statistics import Estimate, Interval, summarise
from thumbnets.evaluation.summaries import Scores, accuracy_interval, interval_of
from thumbnets.evaluation.two_way import paired_gain
from thumbnets.params import Params
from thumbnets.paths import ENSEMBLE
from thumbnets.report.published import Published, find_published
from thumbnets.report.results import Results
from thumbnets.training.settings import TrainSettings


@dataclass(frozen=True)
class Row:
    """One classifier of the run in the table of models and in the figure of accuracies.

    Attributes:
        name: Block of params.yaml, or "ensemble".
        scores: Test scores over seeds.
        interval: Interval of the accuracy: Student's over seeds, or Wilson's over images for one
            seed.
        validation: Mean and sd of the accuracy on the validation folds, if it is known.
        published: Published result of the network, if any.
        pooled: Whether it is in the pool of ensemble members.
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
    def balanced(self) -> Interval | None:
        """Interval of the balanced accuracy; None unless classes are uneven."""
        score = self.scores.get("balanced_accuracy")
        return interval_of(score) if score else None

    @property
    def difference(self) -> float | None:
        """Accuracy minus the published one."""
        return self.accuracy - self.published.accuracy if self.published else None

    @property
    def holds_published(self) -> bool:
        """Whether the published number lies in the interval."""
        published = self.published
        return bool(published and self.interval.low <= published.accuracy <= self.interval.high)


def model_rows(results: Results) -> list[Row]:
    """One row for each model of the run, in its order."""
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
                validation=validation_accuracy(results, name),
                published=find_published(
                    params.data.name, settings.arch, patches=patched, block=name
                ),
                pooled=name in params.pool,
            )
        )
    return rows


def validation_accuracy(results: Results, name: str) -> dict[str, float | None]:
    runs = results.validation[name]
    return summarise(np.array([np.mean(logits.argmax(1) == labels) for logits, labels in runs]))


def ensemble_row(results: Results) -> Row:
    """The row of the selected ensemble; on validation images only soft votes were scored."""
    ensemble = results.ensemble
    chosen = [of_group[ensemble["rule"]] for of_group in results.selection.values()]
    validation = summarise(np.array([found["validation_accuracy"] for found in chosen]))
    return Row(
        name=ENSEMBLE,
        scores=ensemble["selected"],
        interval=accuracy_interval(ensemble["selected"]),
        validation=validation if ensemble["voting"] == "soft" else None,
    )


def of_one_ensemble(params: Params) -> str | None:
    """What holds of an ensemble that all seeds of the run make together; None if there are more."""
    if not params.ensemble.seeds == len(params.seeds) > 1:
        return None
    return (
        f"The trainings of all seeds make one ensemble: its interval is Wilson's, and its "
        f"comparisons cover only the sample of test {params.example}s, no new trainings."
    )


def member_verdicts(results: Results) -> dict[str, str]:
    """Verdict on the ensemble compared with each of its members."""
    members = results.ensemble["members"]
    return {
        name: verdict(member["gain"]["mean"], _p_value(results, ENSEMBLE, name))
        for name, member in members.items()
    }


def _p_value(results: Results, a: str, b: str) -> float:
    """p-value of two classifiers of the run, after Holm's correction for all its pairs."""
    return next(found.p for found in results.comparisons if {found.a, found.b} == {a, b})


@dataclass(frozen=True)
class Rank:
    """A classifier in the ranking by accuracy, compared with those below it.

    Attributes:
        name: Name of the classifier.
        better: Names of the classifiers that it is better than.
        unclear: Comparisons that show no difference.
    """

    name: str
    better: list[str]
    unclear: list[Comparison]


def ranking(results: Results) -> list[Rank]:
    """Every classifier but the last, the most accurate first."""
    return [
        Rank(
            name=name,
            better=[c.b for c in results.comparisons if c.a == name and c.verdict == "better"],
            unclear=[c for c in results.comparisons if c.a == name and c.verdict != "better"],
        )
        for name in list(results.correct)[:-1]
    ]


def calibrations(results: Results) -> dict[str, Calibration]:
    """Calibration of each model of the run, with temperatures from its validation folds."""
    return {
        name: calibrate(
            results.validation[name],
            results.predictions[name].log_probabilities,
            results.predictions[name].labels,
            bins=results.params.evaluation.ece_bins,
        )
        for name in results.params.run
    }


@dataclass(frozen=True)
class Patching:
    """A model that reads images as patches, compared with the same network on whole images.

    Attributes:
        patched: The model with patches.
        whole: The model without.
        size: Side of a patch in pixels.
        mode: Kind of patching, `permute` or `shared`.
        gain: Accuracy of `patched` minus that of `whole`, paired.
        p: p-value of no gain, after Holm's correction for all pairs of the run.
        other: Other training settings in which the two differ, if any.
        published: Difference of the published accuracies, if both are stated.
    """

    patched: str
    whole: str
    size: int
    mode: str
    gain: Estimate
    p: float
    other: list[str]
    published: float | None

    @property
    def verdict(self) -> str:
        """Verdict on `patched`: `better`, `worse` or `no difference shown`."""
        return verdict(self.gain.mean, self.p)


def patchings(results: Results) -> list[Patching]:
    """A comparison for each model with patches that has a twin without patches in the run."""
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
                    gain=paired_gain(results.correct[name], results.correct[twin]),
                    p=_p_value(results, name, twin),
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
class ClassRow:
    """The scores of one class by one classifier.

    Attributes:
        name: Name of the class.
        images: Number of test images, or of bags if models see bags.
        scores: Scores by name, from `over_images`: `mean`, and its 95 % interval over test images,
            `low` to `high`; None where undefined.
    """

    name: str
    images: int
    scores: dict[str, dict[str, float | None]]


def class_tables(results: Results) -> dict[str, list[ClassRow]]:
    """Precision, recall and F1 of every class, by the headline model and by the ensemble."""
    counts = results.ensemble_confusion.sum(1) // len(results.predictions[ENSEMBLE].predicted)
    headline = results.params.model
    found = {headline: results.metrics[headline], ENSEMBLE: results.ensemble["selected"]}
    keys = ("mean", "low", "high")

    def row(scores: Scores, name: str, images: int) -> ClassRow:
        of_class = {score: {key: scores[score][name][key] for key in keys} for score in BY_CLASS}
        return ClassRow(name, images, of_class)

    return {
        classifier: [row(scores, *of) for of in zip(results.classes, counts.tolist(), strict=True)]
        for classifier, scores in found.items()
    }


@dataclass(frozen=True)
class ClassCount:
    """Number of images of a class.

    Attributes:
        name: Name of the class.
        train, test: Number of its images in each split.
        share: Number of its training images as a fraction of the largest class's.
    """

    name: str
    train: int
    test: int
    share: float


def class_counts(results: Results) -> list[ClassCount]:
    """One row per class, the largest first; none if classes are even or models see bags."""
    if results.params.example != "image":
        return []
    train, test = results.found["train"], results.found["test"]
    largest = max(train)
    if largest <= UNEVEN * min(train):
        return []
    rows = zip(results.meta.classes, train, test, strict=True)
    counts = [ClassCount(name, a, b, a / largest) for name, a, b in rows]
    return sorted(counts, key=lambda row: -row.train)


def unlearned_classes(results: Results) -> list[str]:
    """Classes of which every training image validates some training: it can't learn them."""
    if results.params.example != "image":
        return []
    totals = np.array(list(results.class_counts.values()))
    held = np.zeros(len(totals), bool)
    for _, labels in results.validation[results.params.model]:
        held |= np.bincount(labels, minlength=len(totals)) == totals
    return [name for name, whole in zip(results.class_counts, held, strict=True) if whole]


def weighted_models(results: Results) -> list[str]:
    """Models of the run that weight the classes in training, or sample them evenly."""
    of = {name: results.params.settings[name].train for name in results.params.run}
    return [name for name, train in of.items() if train.class_weights is not None or train.sampling]


def published_weights(params: Params) -> dict[str, str]:
    """Published weights that models of the run begin with, by model: name, file and licence."""
    of = {name: params.settings[name] for name in params.run}
    begins = {name: of[name].arch for name in of if of[name].train.weights == "imagenet"}
    if not begins:
        return {}
    from thumbnets.training.imagenet import published  # not before: torchvision takes seconds

    return {name: published(arch).source for name, arch in begins.items()}


def differing_settings(params: Params, model: str) -> dict[str, Any]:
    """The training settings of a block that differ from `train`, for the table of networks."""
    own, common = (train.model_dump() for train in (params.settings[model].train, params.train))
    return {key: own.get(key) for key in {**common, **own} if own.get(key) != common.get(key)}


def shares(matrix: np.ndarray) -> np.ndarray:
    """Each row of counts int64 [K, K] as fractions of its sum; a row without images as zeros."""
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
