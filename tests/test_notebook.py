"""The notebook of the docs runs from top to bottom, and says what is true."""

import json


def test_every_cell_runs(root, capsys):
    notebook = json.loads((root / "docs/python.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    names: dict = {}
    for cell in cells:
        exec(cell, names)
    assert names["network"].score(names["X_test"], names["y_test"]) > 0.95
    printed = capsys.readouterr().out
    assert "lenet_300_100: 0.9" in printed and "over 3 folds" in printed
