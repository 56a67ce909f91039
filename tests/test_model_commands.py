"""`thumbnets predict` and `export` as a user runs them, in a small run of untrained networks."""

import csv
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

import thumbnets
from thumbnets import cli, paths
from thumbnets.artifacts import write_arrays, write_json
from thumbnets.methods.weights import save_weights
from thumbnets.params import load_params
from thumbnets.training.classifier import Classifier
from thumbnets.training.settings import ModelSettings


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., tuple[str, str]]:
    """Runs a command: what it printed on stdout, and its error and notes."""

    def run(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["thumbnets", *map(str, arguments)])
        failed = ""
        try:
            cli.main()
        except SystemExit as end:
            failed = str(end.code)
        captured = capsys.readouterr()
        return captured.out, captured.err + failed

    return run


@pytest.fixture
def photos(small_run) -> Path:
    """Two images and a file that is none."""
    folder, rng = small_run / "photos", np.random.default_rng(0)
    folder.mkdir()
    for name in ("=1+1.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name)
    (folder / "c.jpg").write_text("no image")
    return folder


WEIGHTS = ("--model", "weights/a/0.safetensors")


def test_text_names_the_best_and_the_reason_and_fails_in_the_end(photos, command):
    out, error = command("predict", "photos", *WEIGHTS, "--top", "2")
    rows = [line.split("\t") for line in out.splitlines()]
    expected = thumbnets.load("weights/a/0.safetensors").predict(photos / "b.png", top=2)[0]
    assert rows[1] == [
        "photos/b.png",
        *[cell for name, p in expected for cell in (name, f"{p:.4f}")],
    ]
    assert rows[2][:2] == ["photos/c.jpg", "error"] and "cannot identify" in rows[2][2]
    assert error == "error: 1 of 3 files could not be read: their lines say why."


def test_values_that_fill_a_part_of_16_bits_are_told(photos, command):
    for name, white in (("all", 65_535), ("twelve", 4_095), ("part", 16_383)):
        Image.fromarray(np.full((8, 8), white, np.uint16)).save(photos / f"{name}.tif")
    error = command("predict", "photos", *WEIGHTS)[1]
    assert "note: photos/part.tif and 1 more: 16-bit values that stay below" in error
    assert "65,535" in error


def test_json_has_all_probabilities_and_csv_no_formula(photos, command):
    out, _ = command("predict", "photos", *WEIGHTS, "--format", "json")
    first, second, third = map(json.loads, out.splitlines())
    probabilities = thumbnets.load("a").predict_proba(photos / "b.png")[0]
    assert list(second["probabilities"]) == ["dark", "left", "right"]
    assert list(second["probabilities"].values()) == pytest.approx(probabilities, rel=1e-6)
    assert first["file"] == "photos/=1+1.png" and not first["unsure"] and "error" in third
    (photos.parent / "=1.png").write_bytes((photos / "b.png").read_bytes())
    out, _ = command("predict", "=1.png", *WEIGHTS, "--format", "csv", "--top", "9")
    (row,) = csv.DictReader(out.splitlines())
    assert row["file"] == "'=1.png" and row["class_1"] == row["answer"] and not row["error"]
    assert float(row["probability_1"]) >= float(row["probability_3"]) and "class_4" not in row


def test_below_the_limit_the_answer_is_unsure(photos, command):
    ((_, best),) = thumbnets.load("a").predict(photos / "b.png")[0:1][0]
    for limit, unsure in ((best + 1e-4, True), (best - 1e-4, False)):
        options = (*WEIGHTS, "--unsure", f"{limit:.6f}")
        text, _ = command("predict", "photos/b.png", *options)
        assert (text.split("\t")[1] == "unsure") == unsure
        content = json.loads(command("predict", "photos/b.png", *options, "--format", "json")[0])
        assert content["unsure"] == unsure and (content["class"] is None) == unsure
        table, _ = command("predict", "photos/b.png", *options, "--format", "csv")
        assert (table.splitlines()[1].split(",")[1] == "unsure") == unsure


def test_a_file_is_written_whole_beside_heat_maps(photos, command):
    out, _ = command("predict", "photos", "photos/b.png", *WEIGHTS, "--output", "said.txt")
    assert not out and len(Path("said.txt").read_text().splitlines()) == 4
    command("predict", "photos", "photos/b.png", "--model", "ensemble", "--heatmap", "heat")
    assert sorted(path.name for path in Path("heat").iterdir()) == ["=1+1.png", "b-2.png", "b.png"]
    long = Path("one") / f"{'ä' * 120}.png"
    long.parent.mkdir()
    long.write_bytes((photos / "b.png").read_bytes())
    command("predict", "one", *WEIGHTS, "--heatmap", "long")
    assert [path.name for path in Path("long").iterdir()] == [f"{'ä' * 100}.png"]
    _, error = command("predict", "photos", *WEIGHTS, "--heatmap", "photos")
    assert error.startswith("error: --heatmap photos holds the images themselves")
    _, error = command("predict", "photos", *WEIGHTS, "--output", "no/said.txt")
    assert error == "error: no/said.txt: there is no folder no: create it first."
    _, error = command("predict", "photos", *WEIGHTS, "--output", "photos")
    assert error == "error: photos is a folder: name a file." and not Path("no").exists()
    _, error = command("predict", "photos", *WEIGHTS, "--output", "photos/b.png")
    assert "--output photos/b.png is one of the images" in error
    os.mkfifo("pipe")
    _, error = command("predict", "photos", *WEIGHTS, "--output", "pipe")
    assert error == "error: pipe is not a regular file: name another."
    _, error = command("predict", "photos", *WEIGHTS, "--output", WEIGHTS[1])
    assert error.endswith("is the file of weights itself: name another file.")
    _, error = command("predict", "photos", *WEIGHTS, "--heatmap", "said.txt")
    assert error == "error: --heatmap said.txt is a file: name a folder."


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--top", "0"), "--top must be 1 or more, got 0"),
        (("--unsure", "2"), "--unsure must be a probability from 0 to 1, got 2"),
        (("--seed", "1"), "is a file of one training: leave out the seed 1"),
    ],
)
def test_options_out_of_range_are_refused(photos, command, option, message):
    assert message in command("predict", "photos", *WEIGHTS, *option)[1]


def test_weights_alone_say_that_no_temperature_is_known(photos, command):
    shutil.copy("weights/a/0.safetensors", "alone.safetensors")
    _, notes = command("predict", "photos/b.png", "--model", "alone.safetensors")
    assert notes.startswith("No temperature is known for alone.safetensors")


def test_a_file_of_weights_needs_no_params_of_ours(photos, command):
    Path("params.yaml").write_text("alpha: 1\n")
    out, error = command("predict", "photos/b.png", *WEIGHTS)
    assert out.startswith("photos/b.png\t") and not error


def test_a_file_is_called_after_its_folder(photos, command, monkeypatch):
    monkeypatch.chdir("weights/a")
    for path in ("0.safetensors", "../a/0.safetensors"):
        out, told = command("export", path, "--format", "torchscript")
        assert out.startswith("a-0.pt: "), told
    assert thumbnets.load("../b/0.safetensors").calibrated
    _, error = command("export", "0.safetensors", "--output", "../a/0.safetensors")
    assert "--output" in error and "is the file of weights itself" in error


def test_members_of_published_weights_are_normalised_in_their_own_way(photos, command):
    trained = thumbnets.load("a").trained
    own = Classifier(trained.members["0"].network, replace(trained.meta, mean=[0.485], std=[0.229]))
    with safe_open("weights/a/0.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["thumbnets"])["settings"]
    save_weights(Path("weights/a/0.safetensors"), own, ModelSettings.model_validate(settings))
    assert thumbnets.load("ensemble").trained.members["a-0"].meta.mean == [0.485]


def test_a_headline_of_another_block_is_not_taken_for_it(project, command):
    shutil.copytree("weights/tiny_cnn", "headline/weights")
    copied = Path("params.yaml").read_text().replace("model: mlp4", "model: resnet20")
    Path("params.yaml").unlink()
    Path("params.yaml").write_text(copied)
    asked_for = ("export", "resnet20"), ("predict", "photos/b.png", "--model", "headline")
    for asked in (("predict", "photos/b.png"), *asked_for):
        assert "headline/ holds a, not resnet20: run `dvc repro`" in command(*asked)[1]
    for slot in ("headline", "cnn_b"):
        write_arrays(paths.test_predictions(slot), labels=np.zeros(2))
    write_json(paths.correct("headline"), {"model": "mlp4"})
    for name in ("resnet20", "headline"):
        _, error = command("compare", name, "cnn_b")
        assert "headline/ holds mlp4, not resnet20: run `dvc repro`" in error


@pytest.fixture
def project(photos, root) -> Path:
    """The run as a project whose data are those of its weights; its block is called tiny_cnn."""
    for name in ("params.yaml", "zoo"):
        Path(name).symlink_to(root / name)
    Path("dvc.yaml").touch()
    Path("weights/a").rename("weights/tiny_cnn")
    params = load_params()
    shutil.copytree("weights/tiny_cnn", paths.weights_folder(params.slots[params.model]))
    content = vars(thumbnets.load("tiny_cnn").trained.meta)
    Path("data/processed/train").mkdir(parents=True)
    write_json(Path("data/processed/train/meta.json"), {**content})
    return Path.cwd()


def test_weights_of_other_images_are_used_only_by_name_and_say_so(project, command):
    out, error = command("predict", "photos/b.png")
    assert out.count("\t") == 2, error
    meta = project / "data/processed/train/meta.json"
    content = json.loads(meta.read_text())
    write_json(meta, {**content, "dataset": "photos", "sha256": "1" * 64})
    out, error = command("predict", "photos/b.png")
    assert not out and "was trained on toy (dark, left, right, …), while data.name is" in error
    out, notes = command("predict", "photos/b.png", "--model", "tiny_cnn")
    assert out.endswith("\t(trained on toy)\n") and "was trained on toy" in notes
    write_json(meta, {**content, "classes": ["x", "y", "z"], "sha256": "1" * 64})
    _, error = command("predict", "photos/b.png")
    assert "toy (dark, left, right, …), while data/processed/train holds toy (x, y, z, …)" in error
    write_json(meta, {**content, "sha256": "1" * 64})  # the same name, other pixels
    assert "other images of toy" in command("predict", "photos/b.png")[1]


def _lock_other(path: Path) -> None:
    """Write a dvc.lock whose run made another file at that path."""
    Path("dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  made:\n    cmd: x\n    outs:\n"
        f"    - path: {path}\n      hash: md5\n      md5: {'0' * 32}\n"
    )


def test_weights_of_another_run_are_used_and_told(project, command):
    _lock_other(path := paths.weights("tiny_cnn", 0))
    out, notes = command("predict", "photos/b.png", "--model", "tiny_cnn")
    assert out.count("\t") == 2
    assert f"note: {path}: not from the run in dvc.lock: dvc checkout" in notes


def test_an_ensemble_of_another_run_is_told(photos, command):
    """Networks may have been trained once more since the ensemble of them was selected."""
    _lock_other(paths.SELECTION)
    out, notes = command("predict", "photos/b.png", "--model", "ensemble")
    assert out.count("\t") == 2
    assert f"note: {paths.SELECTION}: not from the run in dvc.lock: dvc checkout" in notes


def test_exported_files_are_for_other_programs(project, command):
    _, error = command("predict", "photos/b.png", "--model", "tiny_cnn-0.onnx")
    assert "'tiny_cnn-0.onnx' is an exported file for other programs" in error


def test_an_empty_name_is_not_the_folder_of_the_project(project, command):
    """As of a variable of the shell that is not set."""
    _, error = command("predict", "", "--model", "tiny_cnn")
    assert "'' names no file" in error


def test_what_needs_a_project_says_so(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for asked in (("results",), ("recipe", "mnist/tiny"), ("compare", "a", "b"), ("history",)):
        assert command(*asked)[1].startswith("error: No project here: go to a folder of a project")


def test_paths_are_the_users_from_any_folder(project, command, monkeypatch):
    monkeypatch.chdir(project / "photos")
    options = ("--model", "../weights/tiny_cnn/0.safetensors")
    assert command("predict", "b.png", *options)[0].startswith("b.png\t")
    monkeypatch.chdir(project / "photos")  # the command has gone to the root
    out, _ = command("export", "tiny_cnn", "--format", "torchscript")
    assert out.startswith("tiny_cnn-0.pt: largest difference in a logit")
    assert (project / "photos/tiny_cnn-0.pt").is_file()
    monkeypatch.chdir(project / "photos")
    assert command("export", "tiny_cnn", "--output", "a.pt")[0].startswith("a.pt: largest")
    assert zipfile.is_zipfile("photos/a.pt")  # TorchScript, as the suffix says
    monkeypatch.chdir(project / "photos")
    _, error = command("export", "tiny_cnn", "--format", "onnx", "--output", "a.pt")
    assert error == "error: --output a.pt has the suffix of torchscript, not onnx."
    monkeypatch.chdir(project / "photos")
    _, error = command("export", "tiny_cnn", "--output", "new/a.onnx")
    assert error == "error: new/a.onnx: there is no folder new: create it first."
    assert not (project / "photos/new").exists()
