"""docs/browser: a browser gives a network the pixels that `thumbnets predict` gives it.

What needs Node is skipped without it; the page itself is tried where Chromium and onnxruntime-web
(`npm install --prefix tests/browser`) are there.
"""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thumbnets.api import ImageClassifier
from thumbnets.data.arrays import Meta
from thumbnets.export import export
from thumbnets.models import create_model
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier

NODE = shutil.which("node")
SCRIPT = Path(__file__).parents[1] / "docs/browser/thumbnets.mjs"
META = Meta("toy", ["dark", "light", "é"], 3, 28, [0.5] * 3, [0.25] * 3, [1] * 3, "0" * 64)

READ = """
import { readFileSync } from "node:fs";
const { pixels, metadata } = await import(process.argv[2]);
const cases = JSON.parse(readFileSync(0, "utf8"));
const bytes = (text) => new Uint8ClampedArray(Buffer.from(text, "base64"));
const found = cases.pictures.map(({ width, height, data, about }) =>
  Buffer.from(pixels({ width, height, data: bytes(data) }, about)).toString("base64"));
const model = readFileSync(cases.model);
const about = metadata(model.buffer.slice(model.byteOffset, model.byteOffset + model.length));
console.log(JSON.stringify({ found, about }));
"""


@pytest.fixture(scope="module")
def trained() -> Trained:
    """An untrained network for colour images."""
    torch.manual_seed(0)
    network = create_model("lenet_300_100", **META.shape)
    return replace(Trained.of(Classifier(network, META)), temperature=1.5, calibrated=True)


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_pixels_and_metadata_are_those_of_python(trained, tmp_path):
    from base64 import b64decode, b64encode

    export(trained, "onnx", tmp_path / "net.onnx", probabilities=True)
    rng, pictures, expected = np.random.default_rng(0), [], []
    for width, height in ((28, 28), (9, 14), (97, 40), (40, 97), (61, 300), (1, 90), (255, 1)):
        for fit in ("crop", "pad", "stretch"):
            for channels in (1, 3):
                meta = replace(META, fit=fit, channels=channels)
                image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                classifier = Classifier(torch.nn.Identity(), meta)
                expected.append(ImageClassifier(Trained.of(classifier)).pixels(image))
                opaque = np.dstack([image, np.full((height, width), 255, np.uint8)])
                data = b64encode(opaque.tobytes()).decode()
                about = {"channels": channels, "image_size": 28, "fit": fit}
                pictures.append({"width": width, "height": height, "data": data, "about": about})
    (tmp_path / "read.mjs").write_text(READ)
    given = json.dumps({"pictures": pictures, "model": str(tmp_path / "net.onnx")})
    done = subprocess.run(
        [NODE, tmp_path / "read.mjs", SCRIPT.as_uri()],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for picture, text, pixels in zip(pictures, result["found"], expected, strict=True):
        found = np.frombuffer(b64decode(text), np.uint8).reshape(pixels.shape)
        about = picture["width"], picture["height"], picture["about"]
        assert np.array_equal(found, pixels), (about, np.abs(found - pixels.astype(int)).max())
    assert result["about"]["classes"] == META.classes and result["about"]["temperature"] == 1.5
    assert result["about"]["output"]["name"] == "probabilities"
