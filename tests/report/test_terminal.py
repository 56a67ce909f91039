"""The commands `thumbnets compare` and `thumbnets describe`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from torch import nn

from thumbnets import cli, compare_command, paths
from thumbnets.artifacts import read_arrays
from thumbnets.evaluation.comparisons import Comparison
from thumbnets.evaluation.statistics import Estimate
from thumbnets.params import Params
from thumbnets.report.terminal import comparison_table


@pytest.fixture
def compare(make_run, monkeypatch, capsys):
    """Runs the command on a toy run of the given seeds; its lines, or its error."""

    def run(
        *arguments: str, seeds: tuple[int, ...] = (0,), without: str | None = None, **params: dict
    ) -> list:
        params = make_run(seeds=list(seeds), model="mlp4_patches", **params)
        Path("dvc.yaml").touch()  # of a project
        if without:
            paths.test_predictions(without).unlink()
            paths.validation_predictions(without, 0).unlink()
        monkeypatch.setattr(compare_command, "load_params", lambda: params)
        monkeypatch.setattr(sys, "argv", ["thumbnets", "compare", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            return [stop.code]
        return capsys.readouterr().out.splitlines()

    return run


def test_one_seed(compare):
    # Right on the first 36 and the first 38 of 40 images: McNemar of 2 and 0 is 2 / 2^2.
    first, head, row, last = compare("mlp4", "cnn_c")
    assert first == "accuracy, 40 test images, 1 seed"
    assert head.split() == "A B gain, points 95 % p (Holm) McNemar verdict".split()
    assert row.split()[:3] == ["mlp4", "cnn_c", "-5.00"]
    assert row.endswith("0.500     0.500    no difference shown")
    assert "McNemar's exact test, for one training of each" in last
    # Right on the first 20: 2 / 2^16.
    _, _, row, _ = compare("mlp4_patches", "mlp4")
    assert "-40.00" in row and row.endswith("< 0.0001  < 0.0001  mlp4 is better")


def test_the_headline_by_that_name(compare):
    by_slot, by_block = (compare(name, "ensemble", "mlp4") for name in ("headline", "mlp4_patches"))
    assert len(by_slot) > 4 and any(line.startswith("headline") for line in by_slot)
    assert [line.split()[2:] for line in by_slot[2:]] == [line.split()[2:] for line in by_block[2:]]


def test_on_validation_images(compare):
    """Seed 0 of the toy run predicts the validation images as it does those of the test."""
    on_test, on_validation = (compare("mlp4", "cnn_c", *given) for given in ([], ["--validation"]))
    assert on_validation[0] == "accuracy, 40 validation images, 1 seed"
    assert on_validation[1:] == on_test[1:]
    *_, test, last = compare("mlp4", "cnn_c", "--validation", seeds=(0, 1))
    assert test.startswith("p: paired test over validation images and seeds.")
    assert last.startswith("P(A > B): ")


def test_a_score_on_images_that_decided_when_to_stop_is_told_as_such(compare):
    early = {"arch": "mlp4", "early_stopping": {"patience": 2}}
    models = {"mlp4": early, "cnn_c": {"arch": "cnn_c"}, "mlp4_patches": {"arch": "mlp4"}}
    first, second, *_ = compare("mlp4", "cnn_c", "--validation", models=models)
    assert first == "mlp4: its early_stopping looked at these images, so its score is too good."
    assert second.startswith("accuracy, 40 validation images")


def test_an_ensemble_is_not_judged_by_the_images_that_selected_it(compare):
    (message,) = compare("mlp4", "ensemble", "--validation")
    assert message.startswith("error: The ensemble was selected on the validation images:")


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 1, 2, 4)])
def test_folds_are_the_sample_where_seeds_have_their_own(compare, seeds):
    """mlp4 is right on 36, 32 and 36 of 40 images, cnn_c on 38, 36 and 38; seed 4 has fold 1."""
    rotating = {"folds": 3, "seed": 0, "rotate": True}
    lines = compare("mlp4", "cnn_c", "--validation", seeds=seeds, split=rotating)
    assert lines[0] == f"accuracy, 120 validation images in 3 folds, {len(seeds)} seeds"
    right = {name: of_seeds[:3] for name, of_seeds in read_validation_scores(seeds).items()}
    if len(seeds) == 4:
        for name, of_seeds in read_validation_scores(seeds).items():
            right[name][1] = (of_seeds[1] + of_seeds[3]) / 2
    p = stats.ttest_rel(right["mlp4"], right["cnn_c"]).pvalue
    gain = 100 * np.mean(np.subtract(right["mlp4"], right["cnn_c"]))
    assert lines[2].split()[2] == f"{gain:+.2f}" and lines[2].split()[6] == f"{p:.3f}"
    assert lines[3].startswith("p: Student's paired test over folds.")


def test_seeds_of_one_fold_are_compared_on_its_images(compare):
    rotating = {"folds": 3, "seed": 0, "rotate": True}
    lines = compare("mlp4", "cnn_c", "--validation", seeds=(0, 3), split=rotating)
    assert lines[0] == "accuracy, 40 validation images, 2 seeds"


def read_validation_scores(seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """Accuracy of each seed of the toy run on its validation images."""
    scores = {}
    for name in ("mlp4", "cnn_c"):
        runs = [read_arrays(paths.validation_predictions(name, seed)) for seed in seeds]
        scores[name] = [float((run["logits"].argmax(1) == run["labels"]).mean()) for run in runs]
    return scores


def test_bags_are_called_bags(compare, monkeypatch):
    monkeypatch.setattr(Params, "example", "bag")
    for given, of in ([], "test"), (["--validation"], "validation"):
        assert compare("mlp4", "cnn_c", *given)[0] == f"accuracy, 40 {of} bags, 1 seed"


def test_no_gain_is_above_a_hundred_points():
    found = Comparison("a", "b", Estimate(0.3, -0.5, 1.1), p=0.5, mcnemar=None, superiority=None)
    assert "+30.00        -50.00 to +100.00  " in comparison_table([found], "accuracy")
    assert "+0.3000     -0.5000 to +1.1000  " in comparison_table([found], "nll")


def test_groups(compare):
    """Right on the first 20 and 36 of 40 images: of ten groups of four, on 5 and on 9."""
    first, head, row, last = compare("mlp4", "mlp4_patches", group=np.arange(40) // 4)
    assert first == "accuracy, 40 test images in 10 groups, 1 seed" and "McNemar" not in head
    p = stats.ttest_1samp([0] * 5 + [1] * 4 + [0], 0).pvalue
    assert row.endswith(f"{p:.3f}     no difference shown")
    assert last.startswith("p: Student's paired test over groups of test images, for one training")


def test_all_pairs_of_several(compare):
    lines = compare("ensemble", "mlp4_patches", "cnn_c", seeds=(0, 1))
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["ensemble", "mlp4_patches"],
        ["ensemble", "cnn_c"],
        ["mlp4_patches", "cnn_c"],
    ]
    assert lines[2].endswith("1.00                 ensemble is better")  # two seeds that agree
    # cnn_c alone is the ensemble.
    assert "+0.00 to +0.00" in lines[3] and "0.50 (0.50 to 0.50)" in lines[3]
    assert lines[3].endswith("no difference shown") and lines[4].endswith("cnn_c is better")
    assert lines[5].startswith("p: paired test over test images and seeds.")


def test_an_ensemble_of_several_seeds(compare):
    asked = {"rule": "all", "seeds": 2}
    lines = compare("ensemble", "cnn_c", "mlp4", seeds=(0, 1), ensemble=asked)
    # Right on 36 of 40, beside 38 twice, and 36 and 32 in the mean; there is one ensemble.
    assert "-5.00" in lines[2] and "+5.00" in lines[3] and "+10.00" in lines[4]
    assert lines[2].split()[-4:] == ["–", "no", "difference", "shown"]
    assert "P(A > B)" in lines[1] and "1.00" in lines[4]
    assert lines[-1] == (
        "There is one ensemble, of the trainings of 2 seeds, compared with their mean: p of its "
        "pairs covers only the sample of test images, no new trainings."
    )
    assert lines[-2].startswith("P(A > B): ")
    # Without a pair of trainings there is no such column, and nothing to explain.
    assert not any(
        "P(A > B)" in line for line in compare("ensemble", "mlp4", seeds=(0, 1), ensemble=asked)
    )


def test_losses_are_in_nats(compare):
    _, head, row, last = compare("mlp4_patches", "cnn_c", "--metric", "nll")
    assert "gain, nats" in head and "McNemar" not in head
    # An image that is taken for another class costs about 3 nats more; 18 of 40 more are.
    assert -3.3 * 18 / 40 < float(row.split()[2]) < -2.7 * 18 / 40
    assert row.endswith("cnn_c is better") and last.startswith("p: Student's paired test")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["mlp4"], "error: Name two or more different models to compare."),
        (["mlp4", "mlp4"], "error: Name two or more different models to compare."),
        (["mlp4", "cnn"], "error: Unknown model 'cnn'. Did you mean 'cnn_c'? Known: mlp4, cnn_c,"),
        (["mlp4", "cnn_c", "--metric", "ece"], "error: Unknown metric 'ece'. Known: accuracy, nll"),
    ],
)
def test_mistakes_are_one_line(compare, arguments, error):
    (message,) = compare(*arguments)
    assert message.startswith(error) and "\n" not in message


def test_missing_predictions_are_one_line(compare):
    (message,) = compare("mlp4", "cnn_c", without="cnn_c")
    assert message == "error: cnn_c has no test predictions: run `dvc repro`."
    (message,) = compare("mlp4", "cnn_c", "--validation", without="cnn_c")
    assert message.startswith("error: cnn_c has no validation predictions of all seeds: run")


@pytest.fixture
def describe(root, monkeypatch, capsys):
    """Runs the command in the project; what it prints, or its error."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(root)
        monkeypatch.setattr(sys, "argv", ["thumbnets", "describe", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            return stop.code
        return capsys.readouterr().out

    return run


def test_describe_prints_both_tables_of_the_source(describe):
    lines = [line.split() for line in describe("tiny_cnn").splitlines()]
    assert ["Conv2d-1", "[-1,", "8,", "26,", "26]", "72", "48,672", "0", "0", "0", "5,408"] in lines
    assert ["Trainable", "params:", "7,496"] in lines
    assert "AdaptiveAvgPool2d-25 6 1 20 20 0 6 1 2 2 18 28".split() in lines


def test_describe_counts_all_members_of_an_ensemble(describe):
    alone, five = (json.loads(describe(m, "--json")) for m in ("tiny_cnn", "tiny_bagging"))
    assert five["parameters"] == 5 * alone["parameters"] == 5 * 7_496 and not five["not_counted"]
    macs = [of["total"]["multiply_accumulates"] for of in (alone, five)]
    assert macs[1] == 5 * macs[0]


def test_describe_computes_where_a_network_looks_at_values(describe, monkeypatch):
    class Looks(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1)) * (1 if images.sum() > 0 else 2)

    for module in ("models", "models.patches"):
        monkeypatch.setattr(f"thumbnets.{module}.create_model", lambda *_, **__: Looks(784, 10))
    for name in ("sprint_cnn", "mlp4_permuted"):
        assert json.loads(describe(name, "--json"))["parameters"] == 7_850


def test_describe_takes_blocks_networks_and_data_sets(describe):
    shared = json.loads(describe("mlp4_shared", "--json"))
    assert shared["parameters"] == 215_510 and shared["receptive_field"] == [28, 28]
    own = json.loads(describe("cnn_a", "--json", "--dataset", "digits"))
    assert own["image"] == [1, 28, 28] and own["total"]["multiply_accumulates"] == 62_328
    assert json.loads(describe("sprint_cnn", "--json"))["model"] == "sprint_cnn"  # no block
    assert json.loads(describe("cnn_a", "--json", "--dataset", "cifar10"))["image"] == [3, 32, 32]
    hundred = json.loads(describe("cnn_a", "--json", "--dataset", "cifar100"))
    assert hundred["image"] == [3, 32, 32]
    assert "are known once the images are there" in describe("cnn_a", "--dataset", "folder")
    assert "Did you mean 'cnn_a'" in describe("cnn_aa")
    assert "network of torchvision 'resnet81'. Did you mean 'resnet18'" in describe(
        "torchvision/resnet81"
    )
    assert "Unknown data set 'nmist'" in describe("cnn_a", "--dataset", "nmist")
