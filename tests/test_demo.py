"""The demo page: what it answers, to whom, and a picture dropped in a real browser."""

import base64
import io
import json
import shutil
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import thumbnets
from tests.browser import BROWSER, run_in_browser
from thumbnets import paths
from thumbnets.demo import commands
from thumbnets.demo.commands import _models
from thumbnets.demo.server import LARGEST, DemoServer


@pytest.fixture
def server(small_run):
    with DemoServer({"a": "a", "ensemble": "ensemble", "ä b": "a"}, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def picture() -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def ask(server, path: str, body: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(server.address + path, body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


@pytest.mark.parametrize("model", ["a", "ensemble", "ä b"])
def test_the_same_answer_as_from_python(server, picture, model):
    found = json.loads(ask(server, f"classify/{quote(model)}", picture))
    expected = thumbnets.load(server.models[model]).predict(io.BytesIO(picture), top=5)[0]
    names, probabilities = zip(*found["classes"], strict=True)
    assert names == tuple(name for name, _ in expected) and found["dataset"] == "toy"
    # Kernels for a batch of one and of several may round otherwise.
    assert probabilities == pytest.approx([p for _, p in expected], rel=1e-6)
    for name in ("picture", "heat"):
        shown = Image.open(io.BytesIO(base64.b64decode(found[name].partition(",")[2])))
        assert shown.size == (8, 8)


def test_what_is_no_picture_or_no_model_is_told_in_a_line(server, picture):
    told = json.loads(ask(server, "classify/a", b"no picture"))["error"]
    assert told.startswith("the content can't be read as an image:")
    told = json.loads(ask(server, "classify/..%2Fb", picture))["error"]
    assert told == "There is no model '../b': choose one of a, ensemble, ä b."
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(server, "params.yaml")


def test_other_pages_are_refused(server, picture):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(server, "classify/a", picture, **headers)
    port = server.server_port if hasattr(server, "server_port") else server.rpartition(":")[2]
    local = f"localhost:{port}"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(server, "", Host=local, Origin="http://127.0.0.1")
    assert b"thumbnets demo" in ask(server, "") and b"thumbnets demo" in ask(server, "", Host=local)


def test_a_length_that_is_too_long_is_not_read(server):
    told = json.loads(ask(server, "classify/a", b"", **{"Content-Length": str(LARGEST + 1)}))
    assert told["error"] == "A picture of at most 64 MiB is needed."
    assert json.loads(ask(server, "classify/a", b"")) == {"error": "The file is empty."}


def test_which_models_can_be_chosen(tmp_path):
    with pytest.raises(ValueError, match=r"none.safetensors not found: name a weights file"):
        _models(tmp_path / "none.safetensors")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ValueError, match=r"a.onnx is of another kind: name a weights file"):
        _models(tmp_path / "a.onnx")


def test_models_are_those_that_the_run_has_trained(small_run, monkeypatch):
    """With their first seed, as `predict` takes it; weights of an earlier headline are not."""
    slots = {"a": "a", "b": "b", "c": "headline"}
    params = SimpleNamespace(seeds=[7, 0], slots=slots)
    monkeypatch.setattr(commands, "load_params", lambda: params)
    for name in ("a", "b"):
        shutil.copy(paths.weights(name, 0), paths.weights(name, 7))
    paths.weights("headline", 7).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(paths.weights("b", 0), paths.weights("headline", 7))
    found = _models(None)
    assert [*found] == ["a", "b", "ensemble"]
    assert found["a"] == paths.weights("a", 7)


@pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")
def test_a_picture_that_is_too_large_is_told(server, tmp_path):
    script = """(async () => {
        const of = id => document.getElementById(id);
        const until = async done => { while (!done()) await new Promise(r => setTimeout(r, 20)); };
        await until(() => of("model").options.length);
        classify(new Blob([new Uint8Array(65 * 2 ** 20)]));
        await until(() => of("status").className === "error");
        return of("status").textContent;
    })()"""
    told = run_in_browser(server.address, script, tmp_path / "profile")
    assert told == "A picture of at most 64 MiB is needed."


DROP = """(async () => {
    const of = id => document.getElementById(id);
    const until = async done => { while (!done()) await new Promise(r => setTimeout(r, 20)); };
    await until(() => of("model").options.length);
    const picture = await (await fetch("data:image/png;base64,PICTURE")).blob();
    const files = new DataTransfer();
    files.items.add(new File([picture], "x.png", {type: "image/png"}));
    const drop = {dataTransfer: files, bubbles: true, cancelable: true};
    of("drop").dispatchEvent(new DragEvent("drop", drop));
    await until(() => !of("found").hidden || of("status").className === "error");
    const cells = [...of("classes").rows[0].cells].map(cell => cell.textContent);
    await until(() => of("heat").complete);
    return [...cells.slice(0, 2), of("heat").naturalWidth, of("status").textContent];
})()"""


@pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")
def test_a_picture_dropped_in_a_browser(server, picture, tmp_path):
    ((name, share),) = thumbnets.load("a").predict(io.BytesIO(picture))[0]
    script = DROP.replace("PICTURE", base64.b64encode(picture).decode())
    found = run_in_browser(server.address, script, tmp_path / "profile")
    assert found == [name, f"{100 * share:.1f} %", 8, ""]
