"""One thin script a stage of dvc.yaml: read params and artifacts, call the package, write outs."""
