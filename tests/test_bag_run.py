"""A run of bag networks through all stages, on digits: what reaches metrics and report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

STAGES = """
from stages import code, download, evaluate, evaluate_ensemble, ensemble_select, preprocess
from stages import pretrain, report, train
from thumbnets.params import load_params
params = load_params()
for stage in (code, download, preprocess, pretrain):
    stage.main()
for model in [*params.pool, "headline"]:
    for seed in params.seeds:
        train.main(model, str(seed))
    evaluate.main(model)
for stage in (ensemble_select, evaluate_ensemble, report):
    stage.main()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a finished run with two poolings and two seeds."""
    root, folder = Path(__file__).parents[1], tmp_path_factory.mktemp("run")
    for name in ("src", "stages", "zoo", "requirements.lock"):
        (folder / name).symlink_to(root / name)
    (folder / "images").mkdir()
    (folder / ".dvc").mkdir()  # a store, in which the headline finds what the pool has trained
    (folder / ".dvc/config").write_text("[cache]\ndir = cache\n")
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load((root / "params.yaml").read_text())
    names = ["mil_gated", "mil_max"]
    for name in names:
        changes = {"epochs": 5, "lr": 0.003, "augment": []}
        params["models"][name] = changes | {"method": {"train_bags": 150, "test_bags": 60}}
    params |= {"model": names[0], "pool": names, "seeds": [0, 1]}
    params["data"]["name"] = "digits"
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    done = subprocess.run(
        [sys.executable, "-c", STAGES],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_metrics_are_of_bags_and_have_the_area_under_the_curve(run):
    found = np.load(run / "predictions/test/mil_gated.npz")
    assert found["logits"].shape == (2, 60, 2)
    assert found["classes"].tolist() == ["without 9", "with 9"]
    metrics = json.loads((run / "metrics/models/mil_gated.json").read_text())
    expected = [roc_auc_score(found["labels"], logits[:, 1]) for logits in found["logits"]]
    assert metrics["auc"]["mean"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert metrics["images"] == 60 and set(metrics["recall"]) == {"without 9", "with 9"}
    assert metrics["auc"]["mean"] > 0.8
    summary = json.loads((run / "metrics/summary.json").read_text())
    assert summary["model"]["auc"] == metrics["auc"]["mean"] and "auc" in summary["ensemble"]


def test_all_seeds_and_models_are_judged_on_the_same_bags(run):
    folder = run / "predictions"
    files = [folder / f"validation/{m}/{s}.npz" for m in ("mil_gated", "mil_max") for s in (0, 1)]
    labels = [np.load(file)["labels"].tolist() for file in files]
    assert labels[0] == labels[1] == labels[2] == labels[3] and len(labels[0]) == 200
    tested = [
        np.load(folder / f"test/{m}.npz")["labels"].tolist() for m in ("mil_gated", "mil_max")
    ]
    assert tested[0] == tested[1]


def test_mistakes_are_pictures_of_whole_bags(run):
    found = np.load(run / "predictions/test/mil_gated.npz")
    count, channels, height, width = found["mistake_images"].shape
    assert count == len(found["mistake_index"]) and channels == 1
    assert height == width and height % 28 == 0 and (not count or height >= 2 * 28)


def test_the_report_shows_where_attention_lies_positive_bags_first(run):
    page = (run / "report/index.html").read_text()
    section = page.split('<section id="attention">')[1].split("</section>")[0]
    assert section.count('<figure class="bag">') == 9
    labels = [part.split("</b>")[0] for part in section.split(", <b>")[1:]]
    assert labels == ["with 9"] * 6 + ["without 9"] * 3
    found = np.load(run / "predictions/validation/mil_gated/0.npz")
    shown, sizes = found["bag_shown"], found["bag_sizes"]
    assert section.count("<img ") == sizes[shown].sum() == len(found["bag_images"])
    first = np.split(found["bag_attention"], np.cumsum(sizes)[:-1])[shown[0]]
    assert all(f"{weight:.2f}" in section for weight in first)
    assert "60 test bags" in page and "without 9" in page and "AUC" in page
    assert "| AUC |" in (run / "report/report.md").read_text()
    assert "mil_max</h3>" not in section  # it has no attention
