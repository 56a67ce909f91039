"""params.yaml: what is shipped loads; whatever is wrong with it is one line that names the key."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from thumbnets import blocks, checks
from thumbnets.choices import Choice
from thumbnets.params import load_params
from thumbnets.registry import METHODS, MethodMetadata
from thumbnets.training.settings import TrainSettings
from thumbnets.watched import check_watched

GONE = object()


@pytest.fixture
def load(root, tmp_path):
    """Loads the shipped params with changes: dotted key to value, `GONE` to remove it."""
    shipped = YAML(typ="safe", pure=True).load((root / "params.yaml").read_text())

    def with_changes(changes: dict):
        content = copy.deepcopy(shipped)
        for key, value in changes.items():
            *parents, last = key.split(".")
            place = content
            for parent in parents:
                place = place.setdefault(parent, {})  # over a block of the zoo
            if value is GONE:
                del place[last]
            else:
                place[last] = value
        if not (tmp_path / "zoo").exists():
            (tmp_path / "zoo").symlink_to(root / "zoo")
        with (tmp_path / "params.yaml").open("w") as file:
            YAML(typ="safe", pure=True).dump(content, file)
        return load_params(tmp_path / "params.yaml")

    return with_changes


@pytest.fixture
def load_text(root, tmp_path):
    """Loads params from text."""
    (tmp_path / "zoo").symlink_to(root / "zoo")

    def load(text: str | bytes):
        path = tmp_path / "params.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_params(path)

    return load


def test_the_shipped_params_load(root):
    params = load_params(root / "params.yaml")
    assert params.model == "mlp4"
    assert set(params.settings) == set(params.models) >= set(params.run)


def test_tiny_experiments_have_the_settings_of_their_source(root):
    settings = load_params(root / "params.yaml").settings
    lrs = {"tiny_cnn_skeleton": 0.01, "tiny_cnn_augmented": 0.015, "tiny_cnn_onecycle": 0.02}
    for name, lr in lrs.items():
        train = settings[name].train
        assert (train.optimizer.name, train.lr, train.momentum) == ("sgd", lr, 0.9)
        assert (train.epochs, train.batch_size, train.weight_decay) == (15, 128, 0.0)
        assert settings[name].options["dropout"] == 0.025 and train.refit
        if name == "tiny_cnn_skeleton":
            assert train.augment == [] and settings[name].options["layout"] == "skeleton"
        else:
            jitter, rotation = train.augment
            factors = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.0, "hue": 0.0}
            assert jitter.options == {**factors, "p": 1.0}
            assert rotation.options == {"degrees": 5.0}
        assert train.schedule.name == ("onecycle" if lr == 0.02 else "constant")
        assert settings[name].options["order"] == ("norm_relu" if lr == 0.01 else "relu_norm")


def test_random_networks_differ_by_their_number(root):
    settings = load_params(root / "params.yaml").settings
    for kind in ("dnn", "cnn", "rnn"):
        for number in range(3):
            block = settings[f"rmdl_{kind}_{number}"]
            assert (block.arch, block.options["architecture"]) == (f"rmdl_{kind}", number)


OWN = {
    "name": "folder",
    "path": ".",
    "size": 32,
    "fit": "crop",
    "test": 0.2,
    "seed": 0,
    "broken": "refuse",
}

BAD = [
    # key, value, parts of the message: the key, what was expected, what was given
    ("modle", "mlp4", ["'modle'", "Did you mean 'model'"]),
    ("train.epoch", 3, ["train.epoch"]),
    ("split.fold", 3, ["split.fold"]),
    ("models.mlp4.droput", 0.1, ["models.mlp4", "'droput'", "Did you mean 'dropout'"]),
    ("models.mlp4.softmax_output", True, ["models.mlp4", "'softmax_output'"]),
    ("train.epochs", GONE, ["train.epochs is missing"]),
    ("models.mlp4.arch", GONE, ["models.mlp4 names no network", "cnn_a", "keys augment,"]),
    ("models.simclr_mnist_knn.method", "probe", ["knn.method.encoder is missing: name the block"]),
    ("models.mlp4.arch", 4, ["models.mlp4.arch must be one of", "cnn_a"]),
    ("train.epochs", "3", ["train.epochs", "whole number", "'3'"]),
    ("train.epochs", 3.0, ["train.epochs", "whole number", "3.0"]),
    ("train.epochs", True, ["train.epochs", "whole number", "True"]),
    ("train.lr", "0.1", ["train.lr", "number", "'0.1'"]),
    ("split.rotate", 1, ["split.rotate", "boolean", "1"]),
    ("train.patches", 7, ["train.patches", "keys size, mode", "7"]),
    ("train.augment", "flip", ["train.augment", "list", "'flip'"]),
    ("models.mlp4", None, ["models.mlp4", "map", "None"]),
    ("train", None, ["train", "map", "None"]),
    ("train.lr", 0, ["train.lr", "greater than 0", "got 0"]),
    ("train.lr", float("inf"), ["train.lr", "finite", "inf"]),
    ("train.lr", float("nan"), ["train.lr", "nan"]),
    ("train.momentum", 1.0, ["train.momentum", "less than 1", "1.0"]),
    ("train.weight_decay", -1e-4, ["train.weight_decay", "0", "-0.0001"]),
    ("train.batch_size", 1, ["train.batch_size", "2", "1"]),
    ("train.label_smoothing", 1.0, ["train.label_smoothing", "less than 1", "1.0"]),
    ("train.early_stopping", {"patience": 0}, ["train.early_stopping.patience", "1", "got 0"]),
    ("train.patches", {"size": 7, "mode": "mix"}, ["train.patches.mode", "'permute'", "'mix'"]),
    ("models.cnn_c.lr", -1, ["models.cnn_c.lr", "greater than 0", "-1"]),
    ("models.mlp4.dropout", 1.5, ["models.mlp4", "dropout", "less than 1", "1.5"]),
    ("split.folds", 1, ["split.folds", "2", "1"]),
    ("ensemble.steps", 0, ["ensemble.steps", "1", "0"]),
    ("evaluation.mistakes", 201, ["evaluation.mistakes", "200", "201"]),
    ("evaluation.ece_bins", 0, ["evaluation.ece_bins", "1", "0"]),
    ("seeds", [], ["seeds", "one value or more"]),
    ("seeds", [0, 1, 0], ["seeds", "repeat", "[0, 1, 0]"]),
    ("seeds", [-1], ["seeds.0", "0", "-1"]),
    ("seeds", [2**31], ["seeds.0", "2147483648"]),
    ("pool", [], ["pool", "one value or more"]),
    ("pool", ["mlp4", "cnn_c", "mlp4"], ["pool", "must not repeat"]),
    (
        "pool",
        ["cnn_b", "cnn_c", "cnn_d"],
        ["pool", "Unknown model 'cnn_d'", "Did you mean", "'cnn_c'"],
    ),
    ("model", "mlp44", ["model", "Unknown model 'mlp44'", "Did you mean 'mlp4'"]),
    ("models.mlp4.arch", "mlp_4", ["models.mlp4", "Unknown network 'mlp_4'", "'mlp4'"]),
    ("data.name", "fashion_mnst", ["data.name", "'fashion_mnst'", "mean fashion_mnist"]),
    ("data.size", 0, ["data.size", "1", "got 0"]),
    ("data.fit", "squash", ["data.fit", "'crop'", "'squash'"]),
    ("data.test", 1.0, ["data.test", "less than 1", "1.0"]),
    ("data.broken", "drop", ["data.broken", "'skip'", "'drop'"]),
    ("train.class_weights", "balance", ["train.class_weights", "balanced", "'balance'"]),
    ("train.class_weights", [-1], ["train.class_weights", "0", "-1"]),
    ("train.class_weights", [1, 2.5], ["class_weights must have 10 weights, one per class, got 2"]),
    ("train.optimizer", "sdg", ["train.optimizer", "'sdg'", "Did you mean 'sgd'"]),
    ("models.mlp4.optimizer", "adma", ["models.mlp4.optimizer", "'adma'", "'adam'"]),
    ("train.optimizer", 3, ["train.optimizer", "name of one optimizer"]),
    ("train.optimizer", {"name": "sgd", "nestrov": True}, ["train.optimizer", "'nesterov'"]),
    ("train.schedule", "onecyle", ["train.schedule", "'onecyle'", "Did you mean 'onecycle'"]),
    ("train.schedule", {"name": "step", "every": 0}, ["train.schedule", "every", "1", "got 0"]),
    ("train.augment", [{"name": "shft"}], ["train.augment.0", "'shft'", "Did you mean 'shift'"]),
    ("train.augment", ["flip", {"name": "flip", "p": 1.1}], ["train.augment.1", "p", "1.1"]),
    (
        "train.augment",
        [{"name": "erasing", "area": [0.5, 0.1]}],
        ["train.augment.0", "'erasing'", "area: must be [least, greatest], got [0.5, 0.1]"],
    ),
    ("train.augment", [{"name": "erasing", "area": [0.1, 2]}], ["area.1", "at most 1", "got 2"]),
    ("train.augment", [{"name": "affine", "scale": 1.1}], ["'affine'", "scale", "tuple", "1.1"]),
    ("train.augment", [{"name": "affine", "scale": [0, 1]}], ["scale.0", "greater than 0"]),
    ("train.augment", [{"name": "affine", "shear": 90}], ["shear", "less than 90", "got 90"]),
    ("train.augment", [{"name": "affine", "translate": 29}], ["translate of affine", "28"]),
    ("train.augment", [{"name": "elastic", "sigma": 0.5}], ["sigma", "at least 1", "0.5"]),
    ("train.augment", [{"name": "flip", "epoch": 1}], ["'flip'", "'epoch'"]),
    ("train.mix", "mixupp", ["train.mix", "Unknown mix 'mixupp'", "Did you mean 'mixup'"]),
    ("train.mix", {"name": "cutmix", "alpha": 0}, ["train.mix", "alpha", "0.05", "got 0"]),
    ("train.mix", 0.2, ["train.mix", "name of one mix"]),
    ("models.mlp4.weights", "/w.pth", ["models.mlp4.weights", "in pretrained/", "'/w.pth'"]),
    ("models.mlp4.weights", "pretrained/../w.pth", ["models.mlp4.weights", "in pretrained/"]),
    ("models.mlp4.weights", "pretrained", ["models.mlp4.weights", "a file in pretrained/"]),
    ("models.mlp4.arch", "torchvision/resnet19", ["models.mlp4", "Did you mean 'resnet18'"]),
    ("train.init", "xavier", ["train.init", "'xavier'", "xavier_normal"]),
    ("train.init", {"name": "normal", "std": 0}, ["train.init", "std", "got 0"]),
    (
        "train.schedule",
        {"name": "multi_step", "milestones": []},
        ["milestones", "one value or more"],
    ),
    ("train.schedule", {"name": "multi_step", "milestones": [0]}, ["milestones", "1, got 0"]),
    ("train.schedule", {"name": "multi_step", "milestones": "57"}, ["milestones", "list", "'57'"]),
    ("train.schedule", {"name": "triangular", "rise": 1.0}, ["rise", "less than 1", "1.0"]),
    ("train.optimizer", "adadelta", ["train: adadelta has no momentum", "cycle_momentum: false"]),
    ("models.cnn_c.optimizer", "adadelta", ["models.cnn_c", "no momentum", "onecycle"]),
    ("train.decay_norms", 0, ["train.decay_norms", "boolean", "0"]),
    ("train.clip", 0, ["train.clip", "greater than 0", "got 0"]),
    ("train.lookahead", {"steps": 5}, ["train.lookahead.alpha is missing"]),
    ("train.lookahead", {"steps": 0, "alpha": 0.5}, ["train.lookahead.steps", "1", "got 0"]),
    ("train.lookahead", {"steps": 5, "alpha": 0}, ["train.lookahead.alpha", "0", "got 0"]),
    ("train.warmup", -1, ["train.warmup", "0", "-1"]),
    ("train.warmup", 20.5, ["train: warmup must be at most epochs, 20, got 20.5"]),
    ("models.cnn_c.warmup", 13, ["models.cnn_c", "warmup must be at most epochs, 12, got 13"]),
    ("train.average", "eam", ["train.average", "weight average 'eam'", "Did you mean 'ema'"]),
    ("train.average", {"name": "swa", "start": 1.0}, ["train.average", "start", "less than 1"]),
    ("train.average", {"name": "ema", "every": 0}, ["train.average", "every", "got 0"]),
    ("train.threads", 5000, ["threads must be at most 256"]),
    ("models.cnn_c.batch_size", 10**22, ["models.cnn_c", "batch_size must be at most"]),
    ("evaluation.ece_bins", 10**11, ["evaluation.ece_bins", "10000"]),
    ("models.cnn_b.augment", [{"name": "shift", "pixels": 99}], ["models.cnn_b", "shift", "28"]),
    ("models.mlp4.patches", {"size": 5, "mode": "shared"}, ["models.mlp4.patches.size", "divide"]),
    ("model", "simclr_mnist", ["simclr_mnist trains an encoder", "simclr_mnist_linear"]),
    (
        "models.simclr_mnist_knn.method.encoder",
        "simclr",
        [
            "models.simclr_mnist_knn.method",
            "Unknown encoder 'simclr'",
            "Did you mean 'simclr_mnist'",
        ],
    ),
    ("models.simclr_mnist_knn.method.encoder", "mlp4", ["Unknown encoder 'mlp4'"]),
    ("models.simclr_mnist_knn.method.encoder", ["simclr_mnist"], ["Unknown encoder ['simclr"]),
    ("models.simclr_mnist_knn.epoch", 5, ["'epoch'", "Did you mean 'epochs'"]),
    ("train.method", "simclr", ["train.method can't be simclr", "a block of `models`"]),
    ("train.method", {"name": "probe", "encoder": "simclr_mnist"}, ["train.method can't be probe"]),
    ("models.simclr_mnist_knn.arch", "cnn_c", ["arch must be that of its encoder, simclr_mnist"]),
    ("models.simclr_mnist_knn.width", 16, ["width must be that of its encoder, simclr_mnist"]),
    (
        "ensemble.objective",
        "los",
        ["ensemble.objective", "'loss', 'accuracy' or 'macro_f1'", "'los'"],
    ),
    ("ensemble.rule", "bagging", ["ensemble.rule", "'bagged'", "'bagging'"]),
    ("ensemble.seeds", 0, ["ensemble.seeds", "1", "0"]),
    ("ensemble.seeds", 2, ["ensemble.seeds must divide the number of `seeds`, 1, got 2"]),
    ("ensemble.voting", "both", ["ensemble.voting", "'soft' or 'hard'", "'both'"]),
]


@pytest.mark.parametrize(("key", "value", "parts"), BAD, ids=[f"{k}={v}" for k, v, _ in BAD])
def test_a_bad_value_is_one_line(load, key, value, parts):
    with pytest.raises(ValueError) as caught:
        load({key: value})
    message = str(caught.value)
    assert "\n" not in message and "params.yaml" in message
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(
    "train",
    [
        {"train.warmup": 5},
        {"train.momentum": 0.0},
        {"train.optimizer": "adadelta", "train.schedule": "constant"},
    ],
)
def test_blocks_that_are_not_in_the_run_may_contradict_its_train(load, train):
    """As simclr_mnist_knn does, which has one epoch, or simplenet_slim, which asks for nesterov."""
    params = load({**train, "pool": ["cnn_a"], "model": "cnn_a"})
    for key, value in train.items():
        found = getattr(params.settings["cnn_a"].train, key.removeprefix("train."))
        assert getattr(found, "name", found) == value
    with pytest.raises(ValueError, match=r"models\.(simclr_mn|simplenet_s|tiny_cnn_o)"):
        load({**train, "pool": ["simclr_mnist_knn", "simplenet_slim", "tiny_cnn_onecycle"]})


def test_only_blocks_of_the_run_need_fit_the_images(load):
    assert load({"data.name": "cifar10"}).data.image_size == 32
    assert load({"data": OWN}).data.rule.size == 32
    with pytest.raises(
        ValueError, match=r"models\.mlp4_permuted\.patches\.size .* 32 pixels, got 7"
    ):
        load({"data.name": "cifar10", "model": "mlp4_permuted"})


def test_a_folder_of_images_is_needed_where_the_pipeline_runs_and_not_where_it_trains(
    load, tmp_path
):
    params = load({"data": OWN | {"path": "nowhere"}})
    with pytest.raises(ValueError, match=r"^data.path: nowhere does not exist"):
        check_watched(params)
    with pytest.raises(ValueError, match=r"^data.path must be a folder, got the file"):
        check_watched(load({"data": OWN | {"path": __file__}}))
    check_watched(load({"data": OWN | {"path": str(tmp_path)}}))
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="holds data/raw, which the pipeline itself writes"):
            check_watched(load({"data": OWN | {"path": name}}))


def test_a_link_that_leads_nowhere_is_named(load, tmp_path):
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/a.png").symlink_to(tmp_path / "gone.png")
    params = load({"data": OWN | {"path": str(tmp_path / "photos")}})
    with pytest.raises(ValueError, match=r"photos/cat/a\.png is a link to nothing"):
        check_watched(params)


def test_a_list_with_a_column_that_nearly_divides_is_refused(load, tmp_path):
    params = load({"data": OWN | {"path": str(tmp_path), "list": "labels.csv"}})
    (tmp_path / "labels.csv").write_text("file,label,Split\na.png,cat,test\n")
    with pytest.raises(ValueError, match=r"labels\.csv has a column Split: call it split"):
        check_watched(params)


def test_a_misspelt_key_below_the_top_brings_the_nearest(load):
    with pytest.raises(ValueError, match=r"train\.epoch.*Did you mean '.*epochs'"):
        load({"train.epoch": 3})


def test_a_fault_that_blocks_have_from_train_says_so(load):
    method = {"name": "distill", "teacher": "nowhere.npz"}
    with pytest.raises(
        ValueError, match=r"models\.mlp4\.method\.teacher .*from train\.method\.\)$"
    ):
        load({"train.method": method})
    with pytest.raises(ValueError, match=r"models\.mlp4\.method\.teacher .*nowhere.npz'\.$"):
        load({"models.mlp4.method": method})


def test_several_faults_are_told_at_once(load):
    with pytest.raises(ValueError, match=r"train\.lr .*; split\.folds|split\.folds .*; train\.lr"):
        load({"train.lr": 0, "split.folds": 0})


BROKEN = [
    ("a: 1\na: 2\n", "line 2: the key a stands there twice"),
    ("1: a\n", ": a key must be text, got 1: quote or remove it"),
    ("a: [{b: {~: 3}}]\n", ": a key of a.b must be text, got nothing: quote or remove it"),
    ("a: [1\nb: 2\n", "line 2.*not valid YAML"),
    ("a: b: c\n", "line 1.*not valid YAML"),
    ("\ta: 1\n", "line 1.*not valid YAML"),
    ("a: !!python/object:os.system x\n", "line 1.*not valid YAML"),
    ("", "must hold keys and values"),
    ("- a\n", "must hold keys and values"),
]


@pytest.mark.parametrize(("text", "match"), BROKEN)
def test_broken_yaml_is_one_line(load_text, text, match):
    with pytest.raises(ValueError, match=match) as caught:
        load_text(text)
    assert "\n" not in str(caught.value) and "params.yaml" in str(caught.value)


@pytest.mark.parametrize("content", [b"a: \x07\n", b"a: \xff\n"])
def test_bytes_that_are_no_text_are_one_line(load_text, content):
    with pytest.raises(ValueError, match="params.yaml"):
        load_text(content)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ValueError, match="nowhere.yaml not found\\."):
        load_params(tmp_path / "nowhere.yaml")


def test_an_arch_that_is_no_name_is_one_line(load):
    with pytest.raises(ValueError, match=r"models\.mlp4"):
        load({"models.mlp4.arch": ["mlp4"]})


def test_images_that_a_network_of_the_run_is_not_for_are_refused(load):
    large = {"data": OWN | {"size": 224}}
    load(large)  # the blocks of RNNs are there, but not in this run
    message = (
        "models.rmdl_rnn_1: rmdl_rnn takes images of at most 96 pixels, got 224; set data.size"
    )
    with pytest.raises(ValueError, match=message):
        load(large | {"model": "rmdl_rnn_1"})
    load({"data": OWN | {"size": 96}, "model": "rmdl_rnn_1"})
    cut = {"models.rmdl_rnn_1.patches": {"size": 28, "mode": "shared"}}
    assert load(large | cut | {"model": "rmdl_rnn_1"}).data.size == 224


def test_an_ensemble_needs_votes_and_seeds(load):
    with pytest.raises(ValueError, match="ensemble: voting must be soft with rule: stacking"):
        load({"ensemble.rule": "stacking", "ensemble.voting": "hard"})
    seeds = {"seeds": [0, 1, 2, 3], "ensemble.seeds": 2}
    assert load(seeds).ensemble.counts == "greedy_loss"
    with pytest.raises(ValueError, match="ensemble.seeds must be 1 with split.rotate"):
        load(seeds | {"split.rotate": True})


@pytest.mark.parametrize("name", ["headline", "ensemble", "../up", "a/b"])
def test_a_block_name_that_clashes_with_an_output_is_refused(load, name):
    with pytest.raises(ValueError, match=name):
        load({"models": {"mlp4": {"arch": "mlp4"}, name: {"arch": "mlp4"}}, "pool": ["mlp4"]})


@pytest.mark.parametrize(
    "changes",
    [
        {"train.optimizer": {"name": "adam", "beta2": 1.0}},
        {"train.optimizer": {"name": "sgd", "nesterov": True}, "train.momentum": 0.0},
    ],
)
def test_what_torch_would_refuse_is_refused_before_training(load, changes):
    with pytest.raises(ValueError):
        load(changes)


def test_numbers_are_those_of_yaml_1_2(load_text, root):
    text = (root / "params.yaml").read_text()
    params = load_text(text.replace("\n  lr: 0.1\n", "\n  lr: 1e-3\n"))
    assert params.train.lr == 0.001
    assert load_text(text.replace("\n  lr: 0.1\n", "\n  lr: 1\n")).train.lr == 1.0
    with pytest.raises(ValueError, match="split.rotate.*'yes'"):
        load_text(text.replace("rotate: false", "rotate: yes"))


def test_a_block_overrides_train(load):
    params = load(
        {
            "models.a": {"arch": "cnn_c", "lr": 0.02, "dropout": 0.3, "optimizer": "adam"},
            "train.patches": {"size": 7, "mode": "permute"},
            "models.b": {"arch": "cnn_c", "patches": None},
        }
    )
    a, b = params.settings["a"], params.settings["b"]
    assert (a.name, a.arch, a.train.lr) == ("a", "cnn_c", 0.02)
    assert a.options == {"dropout": 0.3}
    assert (a.train.optimizer.name, a.train.optimizer.options) == ("adam", {"beta2": 0.999})
    assert a.train.batch_size == b.train.batch_size == params.train.batch_size
    assert (b.train.lr, b.train.optimizer.name) == (params.train.lr, "sgd")
    assert a.train.patches.size == 7 and b.train.patches is None
    assert b.options == {"dropout": 0.1}  # the network's own default, filled in


def test_a_probe_has_the_network_of_its_encoder(load):
    probe = {"method": {"name": "probe", "encoder": "simclr_mnist"}, "epochs": 3}
    patches = {"size": 7, "mode": "permute"}
    params = load({"models.mine": probe, "models.simclr_mnist.patches": patches, "model": "mine"})
    mine, encoder = params.settings["mine"], params.settings["simclr_mnist"]
    assert (mine.arch, mine.options) == (encoder.arch, encoder.options)
    assert mine.train.patches == encoder.train.patches is not None
    assert mine.train.epochs == 3 and mine.train.optimizer.name == params.train.optimizer.name
    assert params.encoders == ["simclr_mnist"] and load({}).encoders == []


def test_the_encoder_of_a_run_must_fit_its_images(load):
    wide = [{"name": "shift", "pixels": 29}]
    load({"models.simclr_mnist.augment": wide})
    load({"models.simclr_mnist.threads": 2})
    with pytest.raises(
        ValueError, match="simclr_mnist: threads must be 1 for method: simclr, got 2"
    ):
        load({"models.simclr_mnist.threads": 2, "model": "simclr_mnist_knn"})
    with pytest.raises(ValueError, match="models.simclr_mnist: pixels of shift must be at most"):
        load({"models.simclr_mnist.augment": wide, "model": "simclr_mnist_knn"})
    with pytest.raises(ValueError, match="threads must be 1 for method: simclr, got 2"):
        load({"models.simclr_mnist.threads": 2, "model": "simclr_mnist_knn"})


def test_a_probe_of_few_labels_has_no_second_draw(load):
    def refitted(name: str) -> dict:
        return {"data.name": "mnist", "model": name, f"models.{name}.refit": True}

    load(refitted("simclr_mnist_linear"))
    with pytest.raises(ValueError, match="simclr_mnist_100: refit must be false with method.label"):
        load(refitted("simclr_mnist_100"))


def test_rotation_of_folds_reaches_every_model(load):
    assert not any(s.rotate for s in load({}).settings.values())
    assert all(s.rotate for s in load({"split.rotate": True}).settings.values())


def test_run_is_the_headline_model_then_the_pool_without_repeats(load):
    pool = ["cnn_b", "mlp4", "cnn_a"]
    params = load({"model": "cnn_a", "pool": pool})
    assert params.run == ["cnn_a", "cnn_b", "mlp4"]
    assert params.slots == {"cnn_a": "cnn_a", "cnn_b": "cnn_b", "mlp4": "mlp4"}
    params = load({"model": "lenet5", "pool": pool})
    assert params.run == ["lenet5", "cnn_b", "mlp4", "cnn_a"]
    assert params.slots["lenet5"] == "headline" and params.block_of("headline") == "lenet5"


def test_params_can_not_be_changed(root):
    params = load_params(root / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.train.lr = 1.0


def test_loading_params_does_not_import_torch(python):
    code = "import sys; from thumbnets.params import load_params; load_params()\n"
    code += "print(*({'torch', 'sklearn', 'scipy', 'matplotlib'} & {*sys.modules}))"
    assert python(code).strip() == ""


BAGS = ["mil_attention", "mil_mean", "mil_max"]


def test_a_run_of_bags_is_one_of_bags_alone(load):
    params = load({"model": "mil_gated", "pool": BAGS, "data.name": "mnist"})
    assert params.example == "bag" and load({}).example == "image"
    with pytest.raises(ValueError) as caught:
        load({"model": "mil_gated", "data.name": "mnist"})
    message = str(caught.value)
    for part in (
        "must be judged on the same examples",
        "mil_gated: bags; ",
        "mlp4, mlp_custom, cnn_a, cnn_b, cnn_c, tiny_cnn: images",
        "-S 'pool=[mil_gated]'",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models.mil_max.method.target": 8}, "mil_max: bags .target 8"),
        ({"models.mil_max.method.test_bags": 500}, "mil_max: bags .test_bags 500.. "),
        ({"models.mil_max.method.target": 10}, "mil_max.method.target must be .* 0 to 9, got 10"),
        ({"models.mil_max.mix": "mixup"}, "mix must be null for method: mil"),
        (
            {"models.mil_max.class_weights": [1.0] * 10},
            "class_weights must have 2 weights, one per class",
        ),
        ({"models.mil_max.method.train_bags": 1}, "train_bags .*at least 2"),
        ({"ensemble.teach": "none"}, "ensemble.teach must be null: distillation from bag"),
        ({"data.group": "(.)"}, "data.group must be null for bags"),
    ],
)
def test_bags_that_do_not_do_are_refused(load, changes, message):
    run = {"model": "mil_gated", "pool": BAGS, "data.name": "mnist"}
    with pytest.raises(ValueError, match=message):
        load(run | changes)


def test_models_may_learn_from_other_training_bags(load):
    run = {"model": "mil_gated", "pool": BAGS, "data.name": "mnist"}
    changes = {"models.mil_max.method.train_bags": 500, "models.mil_max.class_weights": [1.0, 2.0]}
    assert load(run | changes).settings["mil_max"].train.method.options["train_bags"] == 500


def test_options_of_ones_own_may_have_any_value(load, monkeypatch):
    options = {"target": "soft", "radius": [1, 2], "size": (0.5, 1.0)}
    monkeypatch.setattr(TrainSettings, "check_method", lambda _: None)
    given = {"name": "supervised", "options": options}
    settings = load({}).settings["mlp4"]
    mine = Choice(**given)
    train = settings.train.model_copy(update={"method": mine, "augment": [mine]})
    params = SimpleNamespace(
        settings={"mlp4": settings.model_copy(update={"train": train})},
        data=SimpleNamespace(image_size=28, classes=10, own=False),
    )
    checks._check_fit(params, "mlp4")


@pytest.mark.parametrize("option", ["epochs", "name"])
def test_a_network_whose_option_has_a_name_that_blocks_need_is_refused(load, monkeypatch, option):
    monkeypatch.setattr(blocks, "options_of", lambda arch: {option})
    with pytest.raises(ValueError, match=f"network 'cnn_a' has an option {option}, which has"):
        load({})


def test_a_method_that_names_an_unknown_key_of_train_is_refused(load, monkeypatch):
    entry = replace(METHODS["supervised"], metadata=MethodMetadata(excludes=("mixx",)))
    monkeypatch.setattr(blocks, "METHODS", {name: entry for name in METHODS.entries})
    with pytest.raises(ValueError, match="method 'supervised' .*key of train 'mixx'.*mean 'mix'"):
        load({})
