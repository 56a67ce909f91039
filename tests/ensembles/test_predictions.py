"""Test predictions of models, and of the ensemble put together from them."""

import numpy as np
import pytest

from thumbnets import paths
from thumbnets.artifacts import write_arrays, write_json
from thumbnets.ensembles.predictions import read_ensemble_predictions
from thumbnets.evaluation.predictions import accuracy, check_alike, nll, read_predictions

LABELS = np.arange(6) % 2
RIGHT, WRONG = 9.0 * np.eye(2)[LABELS], 9.0 * np.eye(2)[1 - LABELS]


def write_model(name: str, logits: list, seeds: list[int], labels: np.ndarray = LABELS) -> None:
    path = paths.test_predictions(name)
    write_arrays(path, logits=np.stack(logits), labels=labels, seeds=np.array(seeds))


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """Two models, seeds 5 and 3; for each seed, a different one is right and the only member."""
    monkeypatch.chdir(tmp_path)
    write_model("a", [RIGHT, WRONG], [5, 3])
    write_model("b", [WRONG, RIGHT], [5, 3])
    write_json(paths.ENSEMBLE_METRICS, {"rule": "all", "voting": "soft"})
    select({"3": {"b-3": 1}, "5": {"a-5": 2}})


def select(votes: dict[str, dict[str, int]]) -> None:
    chosen = {seed: {"all": {"votes": of_seed}} for seed, of_seed in votes.items()}
    write_json(paths.SELECTION, chosen)


def test_scores_of_images():
    a = read_predictions("a")
    assert accuracy(a).tolist() == [[True] * 6, [False] * 6]
    assert nll(a)[:, 0] == pytest.approx([-np.log1p(np.exp(-9)), -np.log1p(np.exp(9))])
    assert np.exp(a.log_probabilities).sum(2) == pytest.approx(np.ones((2, 6)))


def test_every_seed_of_the_ensemble_has_its_own_members():
    ensemble = read_ensemble_predictions()
    assert ensemble.seeds == [5, 3] and accuracy(ensemble).all()
    assert nll(ensemble) == pytest.approx(nll(read_predictions("a"))[0, 0])


def test_members_vote_by_their_weight():
    select({"3": {"a-3": 1, "b-3": 3}, "5": {"a-5": 1, "b-5": 1}})
    p = 1 / (1 + np.exp(-9))
    loss = nll(read_ensemble_predictions())
    assert np.exp(loss[:, 0]) == pytest.approx([0.5, 0.25 * (1 - p) + 0.75 * p])


def test_an_ensemble_may_be_of_several_seeds():
    select({"5 3": {"a-5": 1, "b-3": 1, "b-5": 1}})  # two right, one wrong
    ensemble = read_ensemble_predictions()
    assert ensemble.seeds == [5, 3] and accuracy(ensemble).tolist() == [[True] * 6]
    p = 1 / (1 + np.exp(-9))
    assert np.exp(nll(ensemble)) == pytest.approx((2 * p + 1 - p) / 3)


def test_hard_votes_have_no_loss():
    write_json(paths.ENSEMBLE_METRICS, {"rule": "all", "voting": "hard"})
    ensemble = read_ensemble_predictions()
    assert accuracy(ensemble).all()
    with pytest.raises(ValueError, match="hard votes are no probabilities: compare them by acc"):
        nll(ensemble)


def test_only_the_same_seeds_and_images_are_paired():
    of_a = read_predictions("a")
    check_alike({"a": of_a, "b": read_predictions("b")})
    write_model("b", [RIGHT, WRONG], [3, 5])
    with pytest.raises(ValueError, match=r"a has test predictions of seeds \[5, 3\], b of \[3, 5"):
        check_alike({"a": of_a, "b": read_predictions("b")})
    write_model("b", [RIGHT, WRONG], [5, 3], 1 - LABELS)
    with pytest.raises(ValueError, match="a and b were scored on other test images"):
        check_alike({"a": of_a, "b": read_predictions("b")})


def test_artifacts_of_other_runs_are_refused():
    select({"4": {"b-4": 1}, "5": {"a-5": 2}})
    with pytest.raises(ValueError, match="selection.json is of other seeds than a: run `dvc repro"):
        read_ensemble_predictions()
    write_json(paths.SELECTION, {"5": {"loss": {"votes": {"a": 2}}}})
    with pytest.raises(ValueError, match="selection.json is of an older version: run `dvc repro"):
        read_ensemble_predictions()
    write_arrays(paths.test_predictions("a"), logits=RIGHT[None], labels=LABELS)
    with pytest.raises(ValueError, match="a.npz is of an older version, without its seeds"):
        read_predictions("a")
