"""Trained models where a run left them: one training, or the ensemble of several.

Only files of the run are read; params.yaml and DVC are not needed. The logits of a training are
divided by a temperature, so that its probabilities can be trusted; as in the report, it is fitted
on the validation predictions of the run that the weights lie in.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from scipy.special import log_softmax

from thumbnets import paths
from thumbnets.artifacts import parsing, read_arrays, read_json
from thumbnets.data.arrays import Meta
from thumbnets.ensembles.members import model_of
from thumbnets.ensembles.rules import Ensemble, combine, members_of
from thumbnets.evaluation.calibration import fit_temperature
from thumbnets.evaluation.metrics import to_log_probabilities, to_probabilities
from thumbnets.evaluation.views import array_name
from thumbnets.methods.weights import load_weights
from thumbnets.paths import ENSEMBLE
from thumbnets.training.classifier import Classifier, check_finite

AS_TRAINED = 1.0  # temperature that changes nothing


@dataclass(frozen=True)
class Trained:
    """What classifies images: a training, or an ensemble of several.

    Attributes:
        name: The weights file, or `ensemble`.
        members: Trained networks, by the name of their training where there are several.
        temperature: Divisor of the logits, fitted on validation images; 1 where there are none.
        calibrated: Whether it was fitted.
        ensemble: How members are combined, as `fit_rules` returns it; None for a single training.
        voting: Kind of vote of the ensemble, `soft` or `hard`.
    """

    name: str
    members: dict[str, Classifier]
    temperature: float = AS_TRAINED
    calibrated: bool = False
    ensemble: Ensemble | None = None
    voting: str = "soft"

    @property
    def meta(self) -> Meta:
        """Metadata of the images that it was trained on."""
        return next(iter(self.members.values())).meta

    @property
    def title(self) -> str:
        """A short name: `cnn_c-0` of cnn_c's weights/cnn_c/0 or headline/weights/0.safetensors."""
        path = Path(os.path.abspath(self.name))
        if not path.stem.isdecimal():
            return path.stem
        of_headline = path.parent.parent.name == paths.HEADLINE
        return f"{block_of(path) if of_headline else path.parent.name}-{path.stem}"

    @property
    def at_once(self) -> int:
        """Number of images that are computed together."""
        return next(iter(self.members.values())).at_once

    @classmethod
    def of(cls, classifier: Classifier, name: str = "network") -> "Trained":
        """A single training that no run calibrates."""
        return cls(name, {name: classifier})

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Logits, or log-probabilities of an ensemble: before the temperature.

        Args:
            images: uint8 [N, C, H, W], of the size that the networks take.

        Returns:
            float64 [N, K].

        Raises:
            ValueError: A network gives logits that are not finite.
        """
        batch = torch.from_numpy(np.ascontiguousarray(images))
        logits = {name: check_finite(of.logits(batch)) for name, of in self.members.items()}
        if self.ensemble is None:
            return next(iter(logits.values())).astype(np.float64)
        return _combined(self.ensemble, self.voting, logits)

    def log_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Logarithms of the calibrated probabilities, float64 [N, K]; arguments as `scores`."""
        return log_softmax(self.scores(images) / self.temperature, axis=1)


def _combined(ensemble: Ensemble, voting: str, logits: dict[str, np.ndarray]) -> np.ndarray:
    probabilities = {name: to_probabilities(of_member) for name, of_member in logits.items()}
    return to_log_probabilities(combine(ensemble, probabilities, voting))


def load_trained(source: str | Path, seed: int | None, device: torch.device) -> Trained:
    """Load what was trained.

    Args:
        source: A weights file; or, in the folder of a project, the name of a block or `ensemble`.
        seed: Seed of the training, one of those there; None: the first. Not with a file.
        device: Device to compute on.

    Raises:
        ValueError: There is nothing of that name, or a file is damaged.
    """
    if str(source) == ENSEMBLE:
        return _load_ensemble(seed, device)
    path = Path(source)
    if path.suffix != ".safetensors":
        path = _find(str(source), seed)
    elif seed is not None:
        raise ValueError(f"{path} is a file of one training: leave out the seed {seed}.")
    if not path.is_file():
        raise ValueError(f"{path} is missing: name another file of weights, or a trained block.")
    _check_ours(path)
    classifier = load_weights(path, device)
    temperature = _temperature_beside(path, classifier)
    return Trained(
        str(path), {path.stem: classifier}, temperature or AS_TRAINED, temperature is not None
    )


def _check_ours(path: Path) -> None:
    """Refuse weights of another program, which are not damaged.

    Raises:
        ValueError: They are.
    """
    try:
        with safe_open(path, "pt") as file:
            ours = "thumbnets" in (file.metadata() or {})
    except (SafetensorError, OSError):  # damaged: reading all of it says how
        return
    if not ours:
        raise ValueError(f"{path} was not written by thumbnets: name a weights file that was.")


def _find(name: str, seed: int | None) -> Path:
    """The weights of a block of the run in the current folder.

    Raises:
        ValueError: There are none, or not of that seed.
    """
    files = _of_slot(name)
    if not files and (of_headline := _of_slot(paths.HEADLINE)):
        block = block_of(of_headline[min(of_headline)])
        files = of_headline if name in (block, paths.HEADLINE) else {}
    if not files:
        raise ValueError(
            f"{name!r} is no file of weights (.safetensors), and no model of that name was trained "
            f"in {Path.cwd()}: name a file, or go to the folder of the project."
        )
    if seed is not None and seed not in files:
        raise ValueError(f"{name} was not trained with seed {seed}; there are {sorted(files)}.")
    return files[min(files) if seed is None else seed]


def block_of(path: Path) -> str:
    """The name of the model block that the weights in a file were trained by."""
    with parsing(path), safe_open(path, "pt") as file:
        return json.loads(file.metadata()["thumbnets"])["settings"]["name"]


def _of_slot(slot: str) -> dict[int, Path]:
    found = paths.weights_folder(slot).glob("*.safetensors")
    return {int(path.stem): path for path in found if path.stem.isdecimal()}


def _temperature_beside(path: Path, classifier: Classifier) -> float | None:
    """The temperature of the run that a weights file lies in; None if it is in none.

    Raises:
        ValueError: The validation predictions are damaged, or of other classes.
    """
    folder = Path(os.path.abspath(path)).parent
    slot = paths.HEADLINE if folder.parent.name == paths.HEADLINE else folder.name
    if folder.parts[-2:] != paths.weights_folder(slot).parts:
        return None
    found = folder.parents[1] / paths.validation_folder(slot) / f"{path.stem}.npz"
    if not found.is_file():
        return None
    logits, labels = _read_validation(found)
    if logits.shape[1] != len(classifier.meta.classes):
        raise ValueError(
            f"{found} is of {logits.shape[1]} classes, {path} of "
            f"{len(classifier.meta.classes)}: run `dvc repro`."
        )
    return fit_temperature(logits, labels)


def _read_validation(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits float [V, K] and labels int64 [V]: of single views, as predictions are here."""
    arrays = read_arrays(path)
    with parsing(path):
        return arrays[array_name("none")], arrays["labels"]


def _load_ensemble(seed: int | None, device: torch.device) -> Trained:
    """The selected ensemble of the run in the current folder: of the group that has the seed.

    Raises:
        ValueError: No ensemble was selected, none has the seed, or a member is missing or of other
            images.
    """
    selected, selection = read_json(paths.ENSEMBLE_METRICS), read_json(paths.SELECTION)
    with parsing(paths.SELECTION):
        groups = {tuple(map(int, of.split())): found for of, found in selection.items()}
        chosen = {seeds: found[selected["rule"]] for seeds, found in groups.items()}
        files = {t: weights_of(t) for ensemble in chosen.values() for t in members_of(ensemble)}
    ensemble = _of_seed(chosen, seed)
    members = {name: load_weights(files[name], device) for name in members_of(ensemble)}
    first, *others = members
    for name in others:
        if _images_of(members[name]) != _images_of(members[first]):
            raise ValueError(f"{name} was trained on other images than {first}: run `dvc repro`.")
    voting = selected["voting"]
    temperature = _temperature_of(ensemble, voting)
    calibrated = temperature is not None
    temperature = temperature or AS_TRAINED
    return Trained(ENSEMBLE, members, temperature, calibrated, ensemble, voting)


def _images_of(classifier: Classifier) -> Meta:
    """Metadata without the normalisation, since published weights have one of their own."""
    return replace(classifier.meta, mean=[], std=[])


def _of_seed(ensembles: dict[tuple[int, ...], Ensemble], seed: int | None) -> Ensemble:
    """The ensemble whose group of seeds has the seed; without a seed the first.

    Raises:
        ValueError: No group has the seed.
    """
    for seeds in sorted(ensembles):
        if seed is None or seed in seeds:
            return ensembles[seeds]
    known = "; ".join(", ".join(map(str, seeds)) for seeds in sorted(ensembles))
    raise ValueError(f"No ensemble has seed {seed}; there are ensembles of seeds {known}.")


def weights_of(training: str) -> Path:
    """The weights of a member of an ensemble, which is named MODEL-SEED."""
    return paths.weights(model_of(training), int(training.rpartition("-")[2]))


def _temperature_of(ensemble: Ensemble, voting: str) -> float | None:
    """Temperature of an ensemble, on the validation images that its members share.

    None for a hard vote, whose shares are not probabilities, and for a regression, whose
    probabilities were already fitted to these images.
    """
    if voting == "hard" or "votes" not in ensemble:
        return None
    logits, labels = {}, []
    for name in members_of(ensemble):
        path = paths.validation_predictions(model_of(name), int(name.rpartition("-")[2]))
        if not path.is_file():
            return None
        logits[name], of_member = _read_validation(path)
        labels.append(of_member)
    if any(not np.array_equal(of_member, labels[0]) for of_member in labels[1:]):
        return None
    return fit_temperature(_combined(ensemble, voting, logits), labels[0])
