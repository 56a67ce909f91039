"""Classifying files: a bad one never ends the others, wherever it stands."""

import os

import numpy as np
import torch
from PIL import Image

from thumbnets.api import ImageClassifier
from thumbnets.data.arrays import Meta
from thumbnets.predict import image_files, predict
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier


class Brightness(torch.nn.Module):
    """Says `light` of an image that is lighter than the mean."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        level = self.scale * images.mean((1, 2, 3))
        return torch.stack([-level, level], 1)


def answers(meta: Meta, files: list) -> dict:
    """What is said of each file: its class, or why it has none."""
    model = ImageClassifier(Trained.of(Classifier(Brightness(), meta)))
    return {
        answer.file: answer.reason or meta.classes[int(answer.probabilities.argmax())]
        for answer in predict(model, files)
    }


def test_bad_files_get_a_reason_and_the_others_a_class(tmp_path):
    Image.new("L", (9, 9), 10).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    os.mkfifo(tmp_path / "c.png")
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "d.png")  # light, of 12 bits
    (tmp_path / "notes.txt").write_text("no image")
    meta = Meta("toy", ["dark", "light"], 1, 8, [0.5], [0.2], [1, 1], "", "crop", 12)
    found = answers(meta, image_files([tmp_path]))
    said = {path.name: row for path, row in found.items()}
    assert said["a.png"] == "dark" and said["d.png"] == "light" and len(said) == 4
    missing = image_files([tmp_path / "nowhere.png", tmp_path / "a.png"])
    rows = list(answers(meta, missing).values())
    assert rows[0] == "does not exist" and rows[1] == "dark"
    # The file is named beside the reason, so not in it again.
    assert said["b.jpg"] == "can't be read as an image: cannot identify image file"
    assert said["c.png"] == "can't be read as an image: not a regular file"


def test_what_can_not_be_looked_into_is_told_with_the_rest(tmp_path, monkeypatch):
    Image.new("L", (9, 9), 10).save(tmp_path / "a.png")
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refused(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)  # as root, who may look into all
    meta = Meta("toy", ["dark", "light"], 1, 8, [0.5], [0.2], [1, 1], "", "crop", 12)
    rows = answers(meta, image_files([tmp_path]))
    assert rows[tmp_path / "a.png"] == "dark"
    assert rows[tmp_path / "locked"] == "is a folder that can't be opened"


def test_links_to_folders_are_told_and_not_followed(tmp_path):
    Image.new("L", (9, 9), 10).save(tmp_path / "a.png")
    (tmp_path / "photos").mkdir()
    Image.new("L", (9, 9), 10).save(tmp_path / "photos/b.png")
    (tmp_path / "photos/up").symlink_to(tmp_path)
    (tmp_path / "named").symlink_to(tmp_path / "photos")
    meta = Meta("toy", ["dark", "light"], 1, 8, [0.5], [0.2], [1, 1], "", "crop", 12)
    rows = answers(meta, image_files([tmp_path / "named"]))
    assert sorted(path.name for path in rows) == ["b.png", "up"]
    assert "a link to a folder" in rows[tmp_path / "photos/up"]
