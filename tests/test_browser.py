"""docs/predicting.md: exported networks answer in other programs as `thumbnets predict` does.

What needs Node is skipped without it; the page itself is tried where Chromium is, and in the root
of the project onnxruntime-web (`npm install onnxruntime-web`).
"""

import json
import re
import shutil
import subprocess
import threading
from base64 import b64decode, b64encode
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from PIL import Image

from thumbnets.api import ImageClassifier
from thumbnets.data.arrays import Meta
from thumbnets.export import export
from thumbnets.models import create_model
from thumbnets.trained import Trained
from thumbnets.training.classifier import Classifier

NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs/browser/thumbnets.mjs"
RUNTIME = ROOT / "node_modules/onnxruntime-web/dist"
DOCS = (ROOT / "docs/predicting.md").read_text(encoding="utf-8")
META = Meta("toy", ["dark", "é"], 3, 28, [0.5] * 3, [0.25] * 3, [1, 1], "0" * 64, "crop")

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


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    """It as a file of ONNX that gives probabilities."""
    path = tmp_path_factory.mktemp("exported") / "cnn_c-0.onnx"
    export(trained, "onnx", path, probabilities=True)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> dict[str, Path]:
    """Photographs: wide and tall JPEGs, one turned by its EXIF, and a PNG with transparency."""
    folder = tmp_path_factory.mktemp("photos")
    pictures = Path(sklearn.__file__).parent / "datasets/images"
    found = {path.name: path for path in sorted(pictures.glob("*.jpg"))}
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    with Image.open(found["china.jpg"]) as china:
        china.save(folder / "turned.jpg", exif=exif, quality=95)
        layer = Image.linear_gradient("L").resize(china.size).point(lambda v: 255 * (v > 99))
        china.putalpha(layer)
        china.save(folder / "clear.png")
    return found | {path.name: path for path in sorted(folder.iterdir())}


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_pixels_and_metadata_are_those_of_python(exported, tmp_path):
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
    given = json.dumps({"pictures": pictures, "model": str(exported)})
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


def block(language: str) -> str:
    """The code of the docs in a language."""
    [code] = re.findall(rf"```{language}\n(.+?)```", DOCS, re.DOTALL)
    return code


def test_ten_lines_of_python_give_the_same(trained, exported, photos, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(exported.parent)
    for name in ("china.jpg", "flower.jpg", "turned.jpg", "clear.png"):
        shutil.copy(photos[name], "boot.png")
        exec(block("python"), {})
        label, probability = capsys.readouterr().out.split()
        [[expected]] = ImageClassifier(trained).predict(photos[name])
        assert (label, float(probability)) == (expected[0], pytest.approx(expected[1], abs=1e-5))


class Site(SimpleHTTPRequestHandler):
    """Serves a folder, and takes what the page has found."""

    found: list[dict] = []
    told = threading.Event()

    def do_POST(self) -> None:
        Site.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        Site.told.set()

    def log_message(self, *arguments: object) -> None:
        pass


ANSWERS = """
const names = NAMES, found = [];
try {
  for (const name of names) found.push(await classify(await (await fetch(name)).blob()));
} catch (error) { found.push({ error: String(error) }); }
await fetch("found", { method: "POST", body: JSON.stringify(found) });
</script>"""


@pytest.mark.skipif(
    CHROMIUM is None or not RUNTIME.is_dir(), reason="needs Chromium and onnxruntime-web"
)
def test_a_browser_gives_the_same_class_and_probability(trained, exported, photos, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(RUNTIME, site, ignore=shutil.ignore_patterns("*.map", "*.js"))
    for path in (SCRIPT, exported, *photos.values()):
        shutil.copy(path, site / path.name)
    script = ANSWERS.replace("NAMES", json.dumps(list(photos)))
    (site / "index.html").write_text(block("html").replace("</script>", script), "utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    page = f"http://127.0.0.1:{server.server_port}/index.html"
    browser = subprocess.Popen(
        [CHROMIUM, *options, "--remote-debugging-port=0", page],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert Site.told.wait(90), "the page told nothing"
    finally:
        browser.terminate()
        browser.wait(20)
        server.shutdown()
        server.server_close()
    expected = ImageClassifier(trained).predict(list(photos.values()))
    assert len(Site.found) == len(photos), Site.found
    for name, found, [(label, probability)] in zip(photos, Site.found, expected, strict=True):
        assert found["class"] == label, name
        assert found["probability"] == pytest.approx(probability, abs=1e-4), name
