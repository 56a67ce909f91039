"""Test scores of ensembles over seeds, by hand."""

import numpy as np
import pytest

from thumbnets.ensembles.members import by_training, groups_of, training
from thumbnets.ensembles.rules import RULES
from thumbnets.ensembles.scoring import score_ensembles
from thumbnets.evaluation.statistics import of_groups
from thumbnets.evaluation.two_way import paired_gain

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


def votes(seed: int, **of_model: int) -> dict:
    """The same votes by every rule."""
    return dict.fromkeys(
        RULES, {"votes": {training(model, seed): n for model, n in of_model.items()}}
    )


def score(selection: dict, seeds: tuple[int, ...] = (0, 1), size: int = 1, **changes) -> dict:
    arguments = {"rule": "greedy_loss", "voting": "soft", "classes": ["x", "y"], "ece_bins": 5}
    groups = {
        group: [training(model, seed) for model in POOL for seed in of_group]
        for group, of_group in groups_of(list(seeds), size).items()
    }
    pool = by_training(POOL, list(seeds))
    return score_ensembles(selection, pool, LABELS, groups=groups, **{**arguments, **changes})


def test_an_ensemble_of_one_is_its_member():
    result = score({"0": votes(0, a=3), "1": votes(1, a=1)})
    accuracy = result["selected"]["accuracy"]
    assert accuracy["mean"] == pytest.approx((0.5 + 1) / 2)
    none = {"mean": 0, "low": 0, "high": 0}
    assert result["members"] == {"a": {"trainings": 1, "weight": 1, "gain": none}}
    assert result["selected"]["nll"]["mean"] == pytest.approx(
        -(2 * np.log(RIGHT) + 2 * np.log(WRONG) + 4 * np.log(RIGHT)) / 8
    )


def test_every_seed_has_its_own_members_and_weights():
    result = score({"0": votes(0, a=1, b=1, c=2), "1": votes(1, a=1)})
    assert {name: m["weight"] for name, m in result["members"].items()} == pytest.approx(
        {"a": (0.25 + 1) / 2, "b": 0.125, "c": 0.25}
    )
    # Seed 0, weights 1 : 1 : 2 on rrww, wwrr, rwrw: image 1 and 3 right (0.75 of the weight).
    assert result["selected"]["accuracy"]["mean"] == pytest.approx((0.5 + 1) / 2)
    right = np.array([[True, False, True, False], [True] * 4])
    of_b = POOL["b"].argmax(2) == LABELS
    gain = paired_gain(right, of_b)
    assert result["members"]["b"]["gain"] == {"mean": gain.mean, "low": gain.low, "high": gain.high}


def test_gains_are_of_groups_where_images_come_in_some():
    selection = {str(seed): votes(seed, a=1, b=1) for seed in (0, 1)}
    group = np.array([0, 0, 1, 1])
    alone, grouped = score(selection), score(selection, image_group=group)
    assert grouped["selected"]["groups"] == 2
    assert grouped["selected"]["wilson"] != alone["selected"]["wilson"]
    right = np.ones((2, 4), bool)  # the mean of 0.9 and 0.2 is above a half
    of_b = POOL["b"].argmax(2) == LABELS
    gain = paired_gain(of_groups(right, group), of_groups(of_b, group))
    assert grouped["members"]["b"]["gain"] == {
        "mean": gain.mean,
        "low": gain.low,
        "high": gain.high,
    }
    assert grouped["members"]["b"]["gain"] != alone["members"]["b"]["gain"]


def test_several_seeds_may_make_one_ensemble():
    chosen = {"0 1": votes(0, a=1, b=1)}
    for rule in RULES:  # a of both seeds and b of one: rrww, rrrr, wwrr
        chosen["0 1"][rule] = {"votes": {"a-0": 2, "a-1": 1, "b-0": 1}}
    result = score(chosen, size=2)
    accuracy = result["selected"]["accuracy"]
    assert accuracy["mean"] == 1.0 and accuracy["sd"] is None and result["selected"]["seeds"] == 1
    a, b = result["members"]["a"], result["members"]["b"]
    assert (a["trainings"], a["weight"]) == (2, 0.75) and (b["trainings"], b["weight"]) == (1, 0.25)
    # Beside the mean of the two trainings of a, right on 2 and 4 of 4, and of b, on 2 and 0.
    assert (a["gain"]["mean"], b["gain"]["mean"]) == pytest.approx((0.25, 0.75))
    assert result["rules"]["greedy_loss"]["trainings"] == {"a": 2, "b": 1}


def test_the_rule_and_the_voting_that_count():
    selection = {str(seed): votes(seed, a=1) | {"all": votes(seed, b=1)["all"]} for seed in (0, 1)}
    by_loss, by_all = (score(selection, rule=rule) for rule in ("greedy_loss", "all"))
    assert list(by_loss["members"]) == ["a"] and list(by_all["members"]) == ["b"]
    assert by_all["selected"]["accuracy"]["mean"] == pytest.approx(0.25)
    assert by_loss["rules"] == by_all["rules"] and set(by_all["rules"]) == set(RULES)
    for rule, mean in (("greedy_loss", 0.75), ("all", 0.25)):
        for voting in ("soft", "hard"):
            found = by_loss["rules"][rule][voting]
            assert found["accuracy"]["mean"] == pytest.approx(mean)
            # The best single one is a.
            assert found["gain"]["mean"] == pytest.approx(mean - 0.75)
        assert "nll" in by_loss["rules"][rule]["soft"]
        assert "nll" not in by_loss["rules"][rule]["hard"]
    assert "hard" not in by_loss["rules"]["stacking"]


def test_diversity_is_that_of_the_members():
    result = score({"0": votes(0, a=1, b=5), "1": votes(1, a=1, c=1)})
    # rrww and wwrr disagree everywhere, rrrr and rwwr on two of four.
    diversity = result["rules"]["all"]["diversity"]
    assert diversity["disagreement"] == pytest.approx((1 + 0.5) / 2)
    assert diversity["q"] == pytest.approx(-1)  # of seed 0; rrrr never errs, so it has no Q


def test_hard_votes_have_no_probabilities_to_score():
    result = score({"0": votes(0, a=1, c=1, b=1), "1": votes(1, a=1)}, voting="hard")
    selected = result["selected"]
    # Majority of rrww, wwrr, rwrw: r w r w.
    assert selected["accuracy"]["mean"] == pytest.approx((0.5 + 1) / 2)
    assert not {"nll", "ece", "top2"} & set(selected)
    assert {"accuracy", "error", "macro_f1", "recall", "wilson"} <= set(selected)


def test_the_order_of_seeds_in_the_file_does_not_matter():
    chosen = {"3": votes(3, b=1), "10": votes(10, a=1)}
    turned = dict(reversed(chosen.items()))
    results = [score(selection, seeds=(10, 3)) for selection in (chosen, turned)]
    assert results[0] == results[1]
    # Seed 10 comes first: a is right on half the images; then b, never right.
    assert results[0]["selected"]["accuracy"]["mean"] == pytest.approx(0.25)


def test_recall_is_by_class():
    selection = {"0": votes(0, c=1), "1": votes(1, c=1)}
    recall = score(selection, classes=["zebra", "ant"])["selected"]["recall"]
    # c on labels 0101: rwrw is right on all of the first class, rwwr on half of each.
    assert recall["zebra"]["mean"] == pytest.approx(0.75)
    assert recall["ant"]["mean"] == pytest.approx(0.25)
