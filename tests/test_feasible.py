"""What is refused before anything is trained."""

from pathlib import Path

import pytest

from thumbnets import feasible, runtime
from thumbnets.artifacts import write_json, write_text
from thumbnets.feasible import check_feasible
from thumbnets.fingerprint import forget
from thumbnets.params import Params, check_params
from thumbnets.yaml_files import read_yaml


@pytest.fixture
def params(root, copied, monkeypatch) -> Params:
    """Params of one network, in a project with a cache."""
    monkeypatch.chdir(copied)
    forget()  # code of other folders
    (copied / ".dvc").mkdir()
    content = read_yaml(Path("params.yaml"))
    return check_params({**content, "pool": ["mlp4"], "model": "mlp4"}, "params.yaml")


def test_what_was_built_once_is_remembered_without_torch(params, monkeypatch, python):
    check_feasible(params)
    monkeypatch.setattr(feasible, "measure", lambda *_, **__: pytest.fail("built again"))
    check_feasible(params)
    used = """
import sys
sys.path.insert(0, "src")
from thumbnets.feasible import check_feasible
from thumbnets.params import check_params
from thumbnets.yaml_files import read_yaml
from pathlib import Path
content = read_yaml(Path("params.yaml"))
check_feasible(check_params({**content, "pool": ["mlp4"], "model": "mlp4"}, "params.yaml"))
print("torch" in sys.modules)
"""
    assert python(used, cwd=Path.cwd()) == "False\n"


def test_another_setting_or_a_damaged_record_is_built_again(params, monkeypatch):
    built = []
    real = feasible.measure
    monkeypatch.setattr(feasible, "measure", lambda s, **shape: built.append(s) or real(s, **shape))
    check_feasible(params)
    [record] = Path(".dvc/cache/feasible").rglob("*.json")
    record.write_bytes(b"{")
    check_feasible(params)
    write_json(record, {"format": 0})
    check_feasible(params)
    content = read_yaml(Path("params.yaml"))
    content["models"]["mlp4"]["lr"] = content["train"]["weight_decay"] = 0.01  # need no trial
    check_feasible(check_params({**content, "pool": ["mlp4"], "model": "mlp4"}, "params.yaml"))
    assert len(built) == 3
    content["train"]["batch_size"] = 64
    check_feasible(check_params({**content, "pool": ["mlp4"], "model": "mlp4"}, "params.yaml"))
    assert len(built) == 4


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("src/mylab/sizes.py", "from mylab.sizes import HIDDEN"),
        ("mylab/sizes.py", "import mylab.sizes"),
        ("sizes.py", "from sizes import *"),
    ],
)
def test_code_that_dvc_does_not_watch_is_refused(params, file, line):
    path = Path("src/thumbnets/models/mlp4.py")
    text, doc = path.read_text(), '"""\n'
    at = text.index(doc, 3) + len(doc) if doc in text[3:] else 0
    path.write_text(f"{text[:at]}\n{line}\n{text[at:]}")
    write_text(Path(file), "HIDDEN = 32\n")
    forget()
    with pytest.raises(ValueError, match=f"models.mlp4: {path} imports {file}, whose edits would"):
        check_feasible(params)
    forget()


def test_a_network_larger_than_memory_and_what_to_do(params, monkeypatch):
    monkeypatch.setenv("THUMBNETS_DEVICE", "cpu")
    monkeypatch.setenv("THUMBNETS_MEMORY", "0.001")
    with pytest.raises(ValueError, match=r"models.mlp4: .* at least 0\.\d GiB .*THUMBNETS_MEMORY"):
        check_feasible(params)
    monkeypatch.setenv("THUMBNETS_DEVICE", "cuda")  # which has memory of its own
    check_feasible(params)


def test_addresses_that_the_shell_limits_are_memory(monkeypatch):
    monkeypatch.delenv("THUMBNETS_MEMORY", raising=False)
    monkeypatch.setattr(runtime.resource, "getrlimit", lambda _: (12345, 12345))
    assert runtime.memory() == 12345


def test_more_folds_than_images_of_a_class(params):
    meta = Path("data/processed/train/meta.json")
    known = {"classes": ["a", "b"], "channels": 1, "image_size": 28, "mean": [0.5], "std": [0.5]}
    known |= {"counts": [11, 40], "sha256": "0" * 64, "fit": "stretch", "depth": 16}
    write_json(meta, {"dataset": "fashion_mnist", **known})
    with pytest.raises(ValueError, match="split.folds is 12, but class a of fashion_mnist has on"):
        check_feasible(params)
    write_json(meta, {"dataset": "mnist", **known})  # of the run before
    check_feasible(params)
