"""The table of local error signals: the source's settings, as params that load, and its numbers."""

import shutil

import pytest
from dvc.utils.hydra import apply_overrides

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.summaries import over_seeds
from thumbnets.params import load_params
from thumbnets.report.local_losses import _length, blocks, networks, overrides, table
from thumbnets.report.published import _results

DATASETS = ["mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn_extra", "stl10"]


@pytest.fixture
def run_params(root, tmp_path):
    """The shipped params as DVC changes them for the experiment of a network."""

    def change(dataset: str, network: str, epochs: int | None = None):
        path = tmp_path / "params.yaml"
        shutil.copy(root / "params.yaml", path)
        apply_overrides(path, overrides(dataset, network, epochs)[1::2])
        return load_params(path)

    return change


@pytest.mark.parametrize("dataset", DATASETS)
def test_blocks_are_those_with_a_published_number(dataset):
    ours = {b: s for name in networks(dataset) for b, s in blocks(dataset, name).items()}
    source = "Nøkland and Eidnes 2019, local error signals"
    theirs = {r.block: r.arch for r in _results() if (r.dataset, r.source) == (dataset, source)}
    assert {b: s["arch"] for b, s in ours.items() if "bio" not in b} == theirs


def test_dvc_puts_every_network_into_params(run_params):
    for dataset in DATASETS:
        assert get_dataset(dataset)
        for name in networks(dataset):
            params, expected = run_params(dataset, name), blocks(dataset, name)
            assert params.data.name == dataset
            assert list(dict.fromkeys(params.pool)) == list(expected) and params.model in expected
            for block, settings in expected.items():
                found = params.settings[block]
                written = found.train.model_dump() | found.options | {"arch": found.arch}
                for key, value in settings.items():
                    value = {"name": value} if value == "supervised" else value
                    if key == "optimizer":
                        value = {"name": "adam", "beta2": 0.999}
                    if key == "method" and value["name"] == "local":
                        value = {"few_classes": None, **value}
                    assert written[key] == value, (dataset, block, key)


def test_settings_of_the_source():
    found = blocks("mnist", "vgg8b")
    assert list(found) == [
        "vgg8b", "vgg8b_pred", "vgg8b_sim", "vgg8b_predsim", "vgg8b_predsim_cutout"
    ]  # fmt: skip
    assert found["vgg8b"]["method"] == "supervised"
    assert found["vgg8b_predsim"]["method"]["decoder"] == 1024
    assert [s["activation"] for s in found.values()] == ["relu"] * 2 + ["leaky_relu"] * 3
    assert found["vgg8b_predsim_cutout"]["augment"][-1] == {"name": "cutout", "size": 14}
    kmnist = blocks("kmnist", "vgg8b")
    assert [s["dropout"] for s in kmnist.values()] == [0.3] * 4 + [0.15]
    limited = {b: s["method"] for b, s in blocks("cifar100", "mlp").items()}
    assert "few_classes" not in limited["mlp_pred"] and limited["mlp"] == "supervised"
    assert all(limited[f"mlp_{loss}"]["few_classes"] == 20 for loss in ("sim", "predsim"))
    bio = blocks("cifar10", "vgg8b_bio")
    assert list(bio) == ["vgg8b_bio_pred", "vgg8b_bio_sim", "vgg8b_bio_predsim"]
    assert all(s["method"]["bio"] and s["method"]["beta"] == 0.01 for s in bio.values())


@pytest.mark.parametrize(
    ("dataset", "epochs", "milestones"),
    [
        ("mnist", None, [50, 75, 89, 94]),
        ("mnist", 20, [10, 15, 18, 19]),
        ("fashion_mnist", None, [100, 150, 175, 188]),
        ("cifar100", None, [200, 300, 350, 375]),
        ("cifar100", 4, [2, 3, 4]),
        ("mnist", 1, [1]),
    ],
)
def test_milestones_keep_their_place(dataset, epochs, milestones):
    for settings in blocks(dataset, "mlp", epochs).values():
        assert settings["schedule"]["milestones"] == milestones
        assert settings["epochs"] == epochs or epochs is None


def test_table(run_params, tmp_path):
    params = run_params("mnist", "mlp", 7)
    scores = [{"accuracy": a, "recall": [a]} for a in (0.98, 0.99)]
    metrics = over_seeds(scores, classes=["one"], images=10_000) | {"parameters": 2_919_434}
    write_json(tmp_path / paths.metrics("mlp_predsim").name, metrics)
    text = table(params, tmp_path).replace("\u202f", " ")
    assert text.startswith("# Local error signals: MNIST\n\nTest errors in percent")
    assert "from 11 of 12 folds" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 9 and len({line.count("|") for line in lines}) == 1
    # Student with one degree of freedom: 1.5 ± 12.706 * 0.5, cut at 0.
    (row,) = (line for line in lines if line.startswith("| mlp_predsim |"))
    assert row == (
        "| mlp_predsim | predsim | 2,919,434 | 2 | 1.50 | 0.71 | 0.00 – 7.85 | 0.62 | 7 | 100 |"
    )
    (row,) = (line for line in lines if line.startswith("| vgg8b_predsim_cutout |"))
    assert row == (
        "| vgg8b_predsim_cutout | predsim with cutout | – | – | – | – | – | 0.26 | not run | 100 |"
    )


def test_what_the_source_does_not_have_is_one_clear_line():
    with pytest.raises(ValueError, match="^Unknown data set of local losses 'digits'. Known: mn"):
        networks("digits")
    with pytest.raises(ValueError, match="^Unknown network of local losses for mnist 'vgg11b'"):
        blocks("mnist", "vgg11b")
    for epochs in ("0", "-1", "all"):
        with pytest.raises(ValueError, match="^EPOCHS must be a number above 0, or `source`"):
            _length(epochs)
    assert _length("source") is None and _length("12") == 12
