"""Test scores of ensembles over seeds, by hand."""

import numpy as np
import pytest

from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.statistics import paired_gain

LABELS = np.array([0, 1, 0, 1])
RIGHT, WRONG = 0.9, 0.2  # probability of the true class


def predictions(*seeds: str) -> np.ndarray:
    """Probabilities [S, 4, 2]; `rrwr` is a seed that is right but for the third image."""
    of_label = np.array([[RIGHT if c == "r" else WRONG for c in seed] for seed in seeds])
    p = np.stack([of_label, 1 - of_label], axis=2)
    return np.where(LABELS[None, :, None] == 0, p, p[:, :, ::-1])


POOL = {
    "a": predictions("rrww", "rrrr"),
    "b": predictions("wwrr", "wwww"),
    "c": predictions("rwrw", "rwwr"),
}


def both(**votes: int) -> dict:
    return {objective: {"votes": votes} for objective in ("loss", "accuracy")}


def score(selection: dict, **changes) -> dict:
    arguments = {"objective": "loss", "voting": "soft", "classes": ["x", "y"], "ece_bins": 5}
    arguments["seeds"] = [0, 1]
    return score_ensembles(selection, POOL, LABELS, **{**arguments, **changes})


def test_an_ensemble_of_one_is_its_member():
    result = score({"0": both(a=3), "1": both(a=1)})
    accuracy = result["counted"]["accuracy"]
    assert accuracy["mean"] == pytest.approx((0.5 + 1) / 2)
    assert result["members"] == {"a": {"weight": 1, "gain": {"mean": 0, "low": 0, "high": 0}}}
    assert result["counted"]["nll"]["mean"] == pytest.approx(
        -(2 * np.log(RIGHT) + 2 * np.log(WRONG) + 4 * np.log(RIGHT)) / 8
    )


def test_every_seed_has_its_own_members_and_weights():
    result = score({"0": both(a=1, b=1, c=2), "1": both(a=1)})
    assert {name: m["weight"] for name, m in result["members"].items()} == pytest.approx(
        {"a": (0.25 + 1) / 2, "b": 0.125, "c": 0.25}
    )
    # Seed 0, weights 1 : 1 : 2 on rrww, wwrr, rwrw: image 1 and 3 right (0.75 of the weight).
    assert result["counted"]["accuracy"]["mean"] == pytest.approx((0.5 + 1) / 2)
    right = np.array([[True, False, True, False], [True] * 4])
    of_b = POOL["b"].argmax(2) == LABELS
    gain = paired_gain(right, of_b)
    assert result["members"]["b"]["gain"] == {"mean": gain.mean, "low": gain.low, "high": gain.high}


def test_objective_and_voting_that_count():
    selection = {"0": {"loss": {"votes": {"a": 1}}, "accuracy": {"votes": {"b": 1}}}}
    selection["1"] = selection["0"]
    by_loss, by_accuracy = (score(selection, objective=o) for o in ("loss", "accuracy"))
    assert list(by_loss["members"]) == ["a"] and list(by_accuracy["members"]) == ["b"]
    assert by_accuracy["counted"]["accuracy"]["mean"] == pytest.approx(0.25)
    assert by_loss["rules"] == by_accuracy["rules"]
    for objective, mean in (("loss", 0.75), ("accuracy", 0.25)):
        for voting in ("soft", "hard"):
            rule = by_loss["rules"][objective][voting]
            assert rule["accuracy"]["mean"] == pytest.approx(mean)
            assert set(rule) == {"accuracy", "wilson"}


def test_hard_votes_have_no_probabilities_to_score():
    result = score({"0": both(a=1, c=1, b=1), "1": both(a=1)}, voting="hard")
    counted = result["counted"]
    # Majority of rrww, wwrr, rwrw: r w r w.
    assert counted["accuracy"]["mean"] == pytest.approx((0.5 + 1) / 2)
    assert not {"nll", "ece", "top2"} & set(counted)
    assert {"accuracy", "error", "macro_f1", "recall", "wilson"} <= set(counted)


def test_the_order_of_seeds_in_the_file_does_not_matter():
    chosen = {"3": both(b=1), "10": both(a=1)}
    turned = dict(reversed(chosen.items()))
    results = [score(selection, seeds=[10, 3]) for selection in (chosen, turned)]
    assert results[0] == results[1]
    # Seed 10 comes first: a is right on half the images; then b, never right.
    assert results[0]["counted"]["accuracy"]["mean"] == pytest.approx(0.25)


def test_recall_is_by_class():
    recall = score({"0": both(c=1), "1": both(c=1)}, classes=["zebra", "ant"])["counted"]["recall"]
    # c on labels 0101: rwrw is right on all of the first class, rwwr on half of each.
    assert recall["zebra"]["mean"] == pytest.approx(0.75)
    assert recall["ant"]["mean"] == pytest.approx(0.25)
