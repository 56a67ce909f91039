"""One thin script a stage of dvc.yaml: read params and artifacts, call the package, write outs."""

import signal

signal.signal(
    signal.SIGINT, signal.SIG_DFL
)  # Ctrl-C in the imports: no traceback; `run` takes over

import thumbnets  # noqa: E402, F401  (before torch: it makes waiting threads sleep)
