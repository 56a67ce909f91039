"""params.yaml as a file: short, and in the form that DVC's own rewriting leaves as it is."""

import shutil
from difflib import unified_diff

import pytest
from dvc.utils.hydra import apply_overrides

CHANGES = [
    # option of -S, and the lines of params.yaml that it takes away and adds
    ("model=mlp4", [], []),
    ("train.clip=null", [], []),
    ("model=cnn_c", ["model: mlp4"], ["model: cnn_c"]),
    ("report.title='My title'", ["title: Small image classifiers"], ["title: My title"]),
    ("models.cnn_c.lr=0.02", ["epochs: 12, lr: 0.1}"], ["epochs: 12, lr: 0.02}"]),
    ("train.warmup=1e-3", ["warmup: 0.0"], ["warmup: 0.001"]),
    ("train.clip=1.0", ["clip:"], ["clip: 1.0"]),
    ("seeds=[0,1]", [], ["- 1"]),
    ("pool=[mlp4,cnn_c]", ["- mlp_custom", "- cnn_a", "- cnn_b", "- tiny_cnn"], []),
    ("ensemble.teach=none", ["teach:"], ["teach: none"]),
    ("split.rotate=true", ["rotate: false"], ["rotate: true"]),
    ("++models.cnn_c.batch_size=64", ["lr: 0.1}"], ["lr: 0.1, batch_size: 64}"]),
    ("++models.resnet20.lr=0.1", [], ["resnet20:", "lr: 0.1"]),
]


@pytest.mark.parametrize(("option", "gone", "added"), CHANGES, ids=[c[0] for c in CHANGES])
def test_an_option_changes_the_lines_of_its_key_alone(root, tmp_path, option, gone, added):
    before = (root / "params.yaml").read_text().splitlines()
    path = shutil.copy(root / "params.yaml", tmp_path)
    apply_overrides(path, [option])
    after = open(path, encoding="utf-8").read().splitlines()
    diff = unified_diff(before, after, n=0, lineterm="")
    changes = [line for line in diff if line[:3] not in ("---", "+++", "@@ ")]
    for sign, parts in (("-", gone), ("+", added)):
        lines = [line for line in changes if line.startswith(sign)]
        assert len(lines) == len(parts), changes
        for line, part in zip(lines, parts, strict=True):
            assert part in line, changes


def test_it_is_short(root):
    assert len((root / "params.yaml").read_text().splitlines()) <= 90
    assert len((root / "dvc.yaml").read_text().splitlines()) <= 250
