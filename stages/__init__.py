"""One thin script per dvc.yaml stage: read params and artifacts, call the package, write outs."""

import signal

signal.signal(
    signal.SIGINT, signal.SIG_DFL
)  # Ctrl-C during imports gives no traceback; `run` handles it later

import thumbnets  # noqa: E402, F401  (before torch: it makes waiting threads sleep)
