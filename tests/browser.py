"""A headless Chromium, spoken to by its own protocol over two pipes, without a driver."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")


def run_in_browser(address: str, script: str, profile: Path) -> Any:
    """What the expression `script` gives in a page once it is loaded; it may be a promise."""
    commands, answers = os.pipe(), os.pipe()

    def pipes() -> None:  # the numbers that Chromium reads and writes
        os.dup2(commands[0], 3)
        os.dup2(answers[1], 4)

    browser = subprocess.Popen(
        [BROWSER, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        preexec_fn=pipes,
        pass_fds=(3, 4),
        stderr=subprocess.DEVNULL,
    )
    numbers = itertools.count(1)

    def call(method: str, session: str | None = None, **arguments: object) -> dict:
        message = {"id": next(numbers), "method": method, "params": arguments}
        if session:
            message["sessionId"] = session
        os.write(commands[1], json.dumps(message).encode() + b"\0")
        while (answer := _next(answers[0])).get("id") != message["id"]:
            pass  # events
        assert "result" in answer, answer
        return answer["result"]

    try:
        target = call("Target.createTarget", url="about:blank")["targetId"]
        session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        call("Page.navigate", session, url=address)
        loaded = "new Promise(done => document.readyState === 'complete' ? done() : onload = done)"
        expression = f"{loaded}.then(() => {script})"
        result = call(
            "Runtime.evaluate",
            session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")
    finally:
        browser.kill()
        browser.wait()
        for end in (*commands, *answers):
            os.close(end)


def _next(pipe: int) -> dict:
    text = bytearray()
    while (byte := os.read(pipe, 1)) != b"\0":
        assert byte, "the browser has ended"
        text += byte
    return json.loads(text)
