"""One thin script a stage of dvc.yaml: read params and artifacts, call the package, write outs."""

import thumbnets  # noqa: F401  (before torch: it makes waiting threads sleep)
