"""The stage `pretrain`: trains what is missing or out of date, keeps the rest, removes strays."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from stages.pretrain import main
from thumbnets import encoders, paths, pretraining
from thumbnets.artifacts import read_arrays, read_csv, read_json, sha256, write_json
from thumbnets.data.arrays import Meta, Split, write_split
from thumbnets.fingerprint import forget
from thumbnets.inputs import stage_inputs, training_inputs
from thumbnets.launch import plan, worker
from thumbnets.launch.plan import missing_encoders
from thumbnets.methods.weights import read_key
from thumbnets.params import load_params
from thumbnets.store import project_store


class Stage:
    """The stage in a folder of its own, with params that a test changes."""

    def __init__(self, monkeypatch, params: Path) -> None:
        self.trained: list[str] = []
        self.params = params
        self.code = {"torch": "1"}  # releases, since what modules say is compared with the files
        self.own_code = {"embedding": "1"}
        train = encoders.train_encoder

        def noted(settings, seed, *to):
            self.trained.append(f"{settings.name} {seed}")
            train(settings, seed, *to)

        monkeypatch.setattr(encoders, "train_encoder", noted)
        # It prepares torch for a process of its own, and this one has other tests to run.
        monkeypatch.setattr(pretraining.runtime, "prepare", lambda **_: None)

    def edit(self, old: str, new: str) -> None:
        text = self.params.read_text()
        assert old in text
        self.params.write_text(text.replace(old, new, 1))

    def run(self, *names: str) -> list[str]:
        """Run it for a run that needs these encoders; returns what it trained."""
        params = load_params(self.params)
        inputs = stage_inputs(params, "pretrain") | {"libraries": self.own_code}
        assert [*inputs["encoders"]] == [*names]
        for rests_on in inputs["encoders"].values():
            rests_on["libraries"] = self.code
        write_json(paths.stage_inputs("pretrain"), inputs, exact=True)
        self.trained.clear()
        main()
        return list(self.trained)


@pytest.fixture
def stage(copied, monkeypatch):
    """A linear probe of `simclr_mnist` is the headline model, on some images of digits."""
    monkeypatch.chdir(copied)
    digits = load_digits()
    images = (digits.images[:96, None] * 15).astype(np.uint8)
    classes = [str(digit) for digit in range(10)]
    meta = Meta("digits", classes, 1, 8, [0.3], [0.4], [10] * 10, "0" * 64)
    fold = np.arange(96, dtype=np.int16) % 4
    write_split(paths.TRAIN, Split(images, digits.target[:96], meta, fold))
    stage = Stage(monkeypatch, copied / "params.yaml")
    stage.edit("model: mlp4", "model: simclr_mnist_linear")
    zoo = copied / "zoo/simclr.yaml"
    text = zoo.read_text()
    start, end = text.index("simclr_mnist:"), text.index("simclr_mnist_linear:")
    block = "simclr_mnist: {arch: lenet_300_100, method: simclr, epochs: 1}\n"
    zoo.write_text(text[:start] + block + text[end:])
    return stage


def begins(model: str, seed: int = 0) -> dict[str, str]:
    return json.loads(paths.encoder_of(model, seed).read_text())


def files() -> list[str]:
    return sorted(str(p.relative_to(paths.ENCODERS)) for p in paths.ENCODERS.rglob("*.*"))


def test_trains_once_and_says_what_each_model_begins_with(stage):
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    checksum = sha256(paths.encoder("simclr_mnist", 0))
    assert begins("headline") == {"simclr_mnist": checksum}
    assert begins("mlp4") == {}
    assert [row["epoch"] for row in read_csv(paths.ENCODERS / "simclr_mnist/0.csv")] == ["1"]
    assert stage.run("simclr_mnist") == []
    stage.edit("model: simclr_mnist_linear", "model: simclr_mnist_finetune")
    assert stage.run("simclr_mnist") == []
    assert begins("headline") == {"simclr_mnist": checksum}
    assert {path.name for path in paths.ENCODERS_OF.iterdir()} == {*POOL, "headline"}


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("simclr_mnist_knn", "simclr_mnist_knn: neighbours must be at most the 72 labelled images"),
        ("simclr_mnist_1000", "simclr_mnist_1000: labels: 1000 asks for 100 training images of"),
    ],
)
def test_a_probe_that_could_not_be_trained_is_refused_before_its_encoder_is(stage, probe, message):
    stage.edit("model: simclr_mnist_linear", f"model: {probe}")
    with pytest.raises(ValueError, match=message):
        stage.run("simclr_mnist")
    assert stage.trained == []


def test_a_seed_more_trains_one_and_a_seed_less_removes_it(stage):
    stage.run("simclr_mnist")
    before = files()
    stage.edit("- 0\n", "- 0\n- 1\n")
    assert stage.run("simclr_mnist") == ["simclr_mnist 1"]
    assert begins("headline", 1) != begins("headline", 0)
    stage.edit("- 0\n- 1\n", "- 0\n")
    assert stage.run("simclr_mnist") == []
    assert files() == before


def test_other_code_or_images_train_it_anew(stage):
    stage.run("simclr_mnist")
    first = read_key(paths.encoder("simclr_mnist", 0))
    stage.code = {"torch": "2"}
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    assert read_key(paths.encoder("simclr_mnist", 0)) not in (first, None)
    meta = paths.TRAIN / "meta.json"
    meta.write_text(meta.read_text().replace("0" * 64, "1" * 64))
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    paths.encoder("simclr_mnist", 0).write_bytes(b"damaged")
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]


def test_other_code_that_trains_it_trains_it_anew_and_is_not_found_by_the_former(stage, copied):
    (copied / ".dvc").mkdir()
    stage.run("simclr_mnist")
    file = copied / "src/thumbnets/pretraining.py"
    text = file.read_text()
    file.write_text(text.replace("seed=seed,", "seed=seed + 1,"))
    forget()
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    file.write_text(text)
    forget()
    assert stage.run("simclr_mnist") == []  # found
    forget()


def test_files_that_are_missing_or_damaged_are_written_again(stage, copied):
    (copied / ".dvc").mkdir()
    stage.run("simclr_mnist")
    before = {path: path.read_bytes() for path in (paths.ENCODERS / "simclr_mnist").iterdir()}
    assert len(before) == 3
    for path in before:
        path.unlink()
        assert stage.run("simclr_mnist") == []
        path.write_bytes(b"damaged")
        assert stage.run("simclr_mnist") == []
        assert {path: path.read_bytes() for path in before} == before


def test_other_code_of_the_stage_draws_the_map_anew_and_keeps_the_encoder(stage, monkeypatch):
    stage.run("simclr_mnist")
    checksum, path = begins("headline"), paths.embedding("simclr_mnist", 0)
    drawn = read_arrays(path)
    assert drawn["map"].shape == (24, 2) and drawn["labels"].shape == (24,)
    path.write_bytes(path.read_bytes() + b"kept")
    stage.run("simclr_mnist")
    assert path.read_bytes().endswith(b"kept")
    stage.own_code = {"embedding": "2"}
    assert stage.run("simclr_mnist") == []
    again = read_arrays(path)
    assert again.pop("key") != drawn.pop("key")
    for name in drawn:
        np.testing.assert_array_equal(again[name], drawn[name])
    assert begins("headline") == checksum


def test_an_encoder_that_was_taken_away_is_found_by_its_inputs(stage, copied, capsys):
    (copied / ".dvc").mkdir()
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    encoder, curve = (paths.ENCODERS / f"simclr_mnist/0.{end}" for end in ("safetensors", "csv"))
    checksum, rows = sha256(encoder), curve.read_bytes()
    assert not [*paths.CHECKPOINTS.iterdir()]
    shutil.rmtree(paths.ENCODERS)
    capsys.readouterr()
    assert stage.run("simclr_mnist") == []
    assert capsys.readouterr().out == "simclr_mnist, seed 0: trained before, found by its inputs\n"
    assert sha256(encoder) == checksum and curve.read_bytes() == rows
    shutil.rmtree(paths.ENCODERS)
    shutil.rmtree(".dvc/cache")
    assert stage.run("simclr_mnist") == ["simclr_mnist 0"]
    assert sha256(encoder) == checksum


def test_a_job_trains_an_encoder_that_the_stage_then_takes(stage, copied, monkeypatch):
    stage.run("simclr_mnist")
    (copied / ".dvc").mkdir()
    alone = sha256(paths.encoder("simclr_mnist", 0))
    shutil.rmtree(paths.ENCODERS)
    params, store = load_params(stage.params), project_store()
    monkeypatch.setattr(plan, "run_to_end", lambda *_, **__: 0)  # the images are there
    [training] = missing_encoders(params, store)
    assert (training.slot, training.title) == ("encoders/simclr_mnist", "simclr_mnist, seed 0")
    assert training.epochs == 1 and not store.has(training.key)
    written = read_json(paths.stage_inputs("pretrain"))
    encoders = {"simclr_mnist": training_inputs(params, "simclr_mnist")}  # with no code of a test
    write_json(paths.stage_inputs("pretrain"), written | {"encoders": encoders}, exact=True)
    [training] = missing_encoders(params, store)
    with pytest.raises(SystemExit):
        worker.work([training.argument.replace(training.key, "0" * 64)])
    worker.work([training.argument])
    assert store.has(training.key) and not paths.encoder("simclr_mnist", 0).exists()
    stage.trained.clear()
    main()
    assert stage.trained == [] and missing_encoders(params, store) == []
    assert read_key(paths.encoder("simclr_mnist", 0)) is not None
    assert sha256(paths.encoder("simclr_mnist", 0)) != alone  # the fingerprint in it is another


def test_a_run_without_probes_has_no_encoders_and_needs_no_torch(stage, python):
    stage.run("simclr_mnist")
    stage.edit("model: simclr_mnist_linear", "model: mlp4")
    assert stage.run() == []
    assert files() == sorted(f"of-models/{m}/0.json" for m in [*POOL, "headline"])
    python("import sys; import stages.pretrain; assert 'torch' not in sys.modules")


POOL = ["mlp4", "mlp_custom", "cnn_a", "cnn_b", "cnn_c", "tiny_cnn"]
