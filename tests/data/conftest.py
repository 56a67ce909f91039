"""A server on loopback that serves tiny archives, and misbehaves as it is told."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from thumbnets.data import download as module
from thumbnets.data import sources


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Look at nothing outside the test, and wait for nothing."""
    monkeypatch.setattr(module, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(sources, "BACKOFF", 0.01)
    monkeypatch.setattr(sources, "TIMEOUT", (0.3, 0.3))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@dataclass
class Server:
    """A mirror that misbehaves for the next requests of `worst`, then serves as it should.

    Attributes:
        worst: the one file that it misbehaves for.
        address: of the folder with the archives.
        files: what it has.
        tricks: what it does to the next requests of `worst`, first one first; "" is nothing.
        ranges: the Range header of each request of `worst` so far.
        asked: the file of each request so far.
        together: how many must be asked for at once before any is served.
    """

    worst: str = ""
    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tricks: list[str] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    done: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server(alone):
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            name = self.path.rsplit("/", 1)[1]
            state.asked.append(name)
            state.together.wait(5)
            trick = ""
            if name == state.worst:
                state.ranges.append(self.headers["Range"])
                trick = state.tricks.pop(0) if state.tricks else ""
            body = state.files.get(name)
            if body is None or trick.isdecimal():
                return self.send_error(int(trick or 404))
            start = int((self.headers["Range"] or "bytes=0-")[6:-1])
            if trick == "no-range":
                start = 0
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            shown = start + 1 if trick == "other-range" else start
            if start:
                self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
            body = body[start:]
            length = len(body) + {"says-more": 100, "says-less": -100}.get(trick, 0)
            if trick != "endless":
                self.send_header("Content-Length", str(length))
            self.end_headers()
            if trick in ("cut", "stall"):
                body = body[: len(body) // 2]
            try:
                self.wfile.write(body)
                while trick == "endless":
                    self.wfile.write(bytes(1 << 16))
            except ConnectionError:
                pass  # the client has had enough
            if trick == "stall":
                self.wfile.flush()
                state.done.wait(5)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_address[1]}/tiny/"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        state.done.set()
        http.shutdown()
        thread.join()
