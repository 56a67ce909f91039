"""The page's server: only for programs of this machine, built on the standard library."""

import io
import json
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

from thumbnets.api import ImageClassifier, load
from thumbnets.heatmaps import overlay
from thumbnets.report.panels import png

HOST = "127.0.0.1"
LARGEST = 64 << 20  # bytes of a picture
_TOP = 5  # classes that are shown
_POLICY = "default-src 'self' 'unsafe-inline' data: blob:"
_PAGE = Path(__file__).with_name("page.html")


class DemoServer(ThreadingHTTPServer):
    """Serves the page, and classifies the pictures sent to it.

    Args:
        models: Arguments for `load`, by the name that is shown; the first is preselected.
        port: Port on the loopback address; 0: any free one.

    Raises:
        OSError: The port is in use.
    """

    daemon_threads = True

    def __init__(self, models: Mapping[str, str | Path], port: int) -> None:
        self.models = models
        self._loaded: dict[str, ImageClassifier] = {}
        self._lock = Lock()  # a network serves one request at a time
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def classify(self, model: str, content: bytes) -> dict[str, Any]:
        """Classify a picture with a model.

        Returns:
            `classes`: names and probabilities, the best first; `picture` as the model sees it, and
            `heat` over it, as data URIs; `dataset` that the model was trained on.

        Raises:
            ValueError: The model does not exist, or the content is not a picture.
        """
        if model not in self.models:
            raise ValueError(
                f"There is no model {model!r}: choose one of {', '.join(self.models)}."
            )
        with self._lock:
            if model not in self._loaded:
                self._loaded[model] = load(self.models[model])
            classifier = self._loaded[model]
            pixels = classifier.pixels(io.BytesIO(content))
            (best,) = classifier.predict(io.BytesIO(content), top=_TOP)
            heat = classifier.heatmap(io.BytesIO(content))
        return {
            "classes": best,
            "picture": png(pixels),
            "heat": png(overlay(pixels, heat)),
            "dataset": classifier.dataset,
        }


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    server_version = "thumbnets"

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        if self.path == "/":
            self._send(_PAGE.read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/models":
            self._send_json({"models": list(self.server.models), "largest": LARGEST})
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not self._is_ours():
            return
        if not length.isdecimal() or not 0 < int(length) <= LARGEST:
            needed = f"A picture of at most {LARGEST >> 20} MiB is needed."
            self._send_json({"error": "The file is empty." if length == "0" else needed})
            self.close_connection = True  # else the unread rest would be taken for a request
            return
        content = self.rfile.read(int(length))
        try:
            found = self.server.classify(unquote(self.path.removeprefix("/classify/")), content)
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            found = {"error": str(error)}
        self._send_json(found)

    def _is_ours(self) -> bool:
        """Whether the request is from our page, not another one, however it names this machine."""
        port = self.server.server_port
        end = f":{port}" if port != 80 else ""  # browsers leave the default port out
        host = self.headers.get("Host")
        ours = host in (f"{HOST}{end}", f"localhost{end}")
        if ours and self.headers.get("Origin") in (None, f"http://{host}"):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def _send_json(self, content: Mapping[str, Any]) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing: the page shows errors."""
