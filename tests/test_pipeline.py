"""The real pipeline, run by DVC on `digits` in a temporary clone, as a user would."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from thumbnets.review.stale import is_whole

ROOT = Path(__file__).parents[1]
POOL = ["mlp4", "cnn_a", "cnn_c"]  # of the six, for the sake of time


def environment() -> dict[str, str]:
    """The environment of the commands: the tools beside this Python come first."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }


@dataclass
class Project:
    """A clone of the project in which commands are run."""

    folder: Path

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command; returns what it printed (stdout, then stderr)."""
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, text=True
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed
        return printed

    def stages_run(self, *command: str) -> list[str]:
        """Run a DVC command; returns the stages that it ran or took from the run-cache."""
        return re.findall(
            r"(?:Running stage|Stage) '([^']+)'(?:| is cached.*):", self.run(*command)
        )

    def commit(self) -> None:
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "state")

    def changed(self) -> set[str]:
        """Files that differ from the last commit, and new ones that git does not ignore."""
        return {line[3:] for line in self.run("git", "status", "--porcelain").splitlines()}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


def clone(folder: Path) -> Project:
    """What git tracks or would track, in a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    project = Project(folder)
    project.run("git", "init", "-q", "-b", "main")
    project.run("git", "config", "user.name", "Test")
    project.run("git", "config", "user.email", "test@localhost")
    project.edit("params.yaml", "name: fashion_mnist", "name: digits")
    pool_of(project, *POOL)
    project.commit()
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which the whole pipeline has run on `digits` and is committed."""
    project = clone(tmp_path_factory.mktemp("clone"))
    printed = project.run("dvc", "repro")
    assert trainings(printed) == sorted(f"{model}, seed 0" for model in POOL)
    project.commit()
    return project


@pytest.fixture
def restored(project: Project):
    """The clone as committed, before and after a test that changes it."""
    yield project
    project.run("git", "reset", "-q", "--hard")
    project.run("git", "clean", "-qfd")
    project.run("dvc", "checkout", "-q")


# Runs a stage, and names functions of the project that it called but its fingerprints do not cover.
CALLED = """
import json, os, runpy, sys, threading
from pathlib import Path

stage, *arguments = sys.argv[1:]
project, called = f"{Path.cwd()}/", set()

def is_import(code):
    return code.co_name == "<module>" and code.co_filename.startswith(project + "src")

def note(frame, event, _):
    code = frame.f_code
    if event != "call" or code in called or not code.co_flags & 1:  # the body of a class
        return
    if code.co_filename.startswith(project):
        above = frame.f_back
        while above and not is_import(above.f_code):
            above = above.f_back
        if not above:  # not a constant that is computed at import
            called.add(code)

def leave(status):
    sys.setprofile(None)
    from thumbnets import fingerprint as of
    from thumbnets.modules import module_name, named
    covered = {}
    for name in (f"stages/{stage}", *arguments[:1]):
        if (inputs := Path(f"build/inputs/{name}.json")).is_file():
            content, source = json.loads(inputs.read_text()), Path("src")
            used = of._Used(source, content["entries"], content["unused"])
            used.by(Path(root) for root in content["roots"])
            for module, number in used.places:
                node = named(module, source).statements[number].node
                first = min([node, *getattr(node, "decorator_list", [])], key=lambda n: n.lineno)
                covered.setdefault(module, []).append((first.lineno, node.end_lineno))
    for code in called:
        name = module_name(Path(code.co_filename).relative_to(project), Path("src"))
        lines = covered.get(name, [])
        # A package's own is asked for every module in it, and finds names for users alone.
        asked = code.co_name == "__getattr__" and name in ("thumbnets", "thumbnets.data")
        if not asked and name not in of.WITHOUT_EFFECT and not any(
            first <= code.co_firstlineno <= last for first, last in lines
        ):
            print("missing", name, code.co_name)
    print(len(called), "called")
    sys.stdout.flush()
    exit_at_once(status)

exit_at_once, os._exit = os._exit, leave
sys.argv = sys.argv[1:]
threading.setprofile(note)
sys.setprofile(note)
runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("stage", "least"),
    [
        ("preprocess", 50),
        ("train mlp4 0", 100),
        ("evaluate cnn_c", 100),
        ("ensemble_select", 50),
        ("evaluate_ensemble", 50),
    ],
)
def test_fingerprints_cover_every_function_that_a_stage_calls(restored, stage, least):
    command = [sys.executable, "-c", CALLED, *stage.split()]
    retrains = {"THUMBNETS_RETRAIN": "1", "PYTHONPATH": "src"}
    done = subprocess.run(
        command, cwd=restored.folder, env=environment() | retrains, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *_, last = lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("missing")] == []
    assert int(last.split()[0]) >= least


def trainings(printed: str) -> list[str]:
    """What was trained, and not found: model and seed, sorted, since DVC's order is not fixed."""
    return sorted(re.findall(r"^(\w+, seed \d+): epoch 1/", printed, flags=re.M))


def lock_entries(project: Project) -> dict[str, dict]:
    """The entries of dvc.lock by stage."""
    return YAML(typ="safe").load((project.folder / "dvc.lock").read_text())["stages"]


def same_files(a: Path, b: Path) -> bool:
    """Whether two files or folders hold the same files with the same bytes."""
    names = {path.relative_to(b) for path in [b, *b.rglob("*")] if path.is_file()}
    return bool(names) and all((a / name).read_bytes() == (b / name).read_bytes() for name in names)


def pool_of(project: Project, *models: str) -> None:
    """Write a pool, and the first of it as the headline."""
    text = (project.folder / "params.yaml").read_text()
    start, end = text.index("model:"), text.index("seeds:")
    lists = "\n".join([f"model: {models[0]}", "pool:", *(f"- {model}" for model in models), ""])
    (project.folder / "params.yaml").write_text(text[:start] + lists + text[end:])


def test_everything_is_written(project: Project):
    summary = json.loads((project.folder / "metrics/summary.json").read_text())
    assert summary["model"]["name"] == "mlp4"
    assert summary["model"]["accuracy"] > 0.9
    assert summary["ensemble"]["accuracy"] > 0.9
    metrics = json.loads((project.folder / "metrics/models/cnn_a.json").read_text())
    assert (metrics["parameters"], metrics["multiply_accumulates"]) == (2174, 62_328)
    card = (project.folder / "report/model_card.md").read_text()
    assert "Licence: CC BY 4.0" in card and "`digits`" in card
    assert "<html" in (project.folder / "report/index.html").read_text()
    assert project.run("git", "status", "--porcelain") == ""


def test_a_second_run_runs_nothing(project: Project):
    assert project.stages_run("dvc", "repro") == []
    assert "up to date" in project.run("dvc", "status")


def test_another_headline_model_trains_nothing_and_shows_in_the_metrics(restored: Project):
    printed = restored.run("dvc", "exp", "run", "-S", "model=cnn_c")
    assert trainings(printed) == []
    changes = restored.run("dvc", "metrics", "diff", "main")
    assert re.search(r"model\.accuracy\s+0\.\d+\s+0\.\d+\s+-?0\.\d+", changes)


def test_a_headline_outside_the_pool_is_trained_alone_and_then_enters_it_untrained(
    restored: Project,
):
    before = lock_entries(restored)
    printed = restored.run("dvc", "exp", "run", "-S", "model=lenet_300_100")
    assert trainings(printed) == ["lenet_300_100, seed 0"]
    assert restored.changed() - {"report/quality.json"} == {  # it may find the same labels
        *("params.yaml", "dvc.lock"),
        *("report/index.html", "report/report.md", "report/model_card.md"),
        *("metrics/models/headline.json", "metrics/correct/headline.json", "metrics/summary.json"),
    }
    by_option = lock_entries(restored)
    assert {stage for stage in before if before[stage] != by_option[stage]} == {
        *("code", "train-headline@headline-0", "evaluate-headline@headline"),
        *("evaluate-ensemble", "report"),
    }
    # A hand edit ends with the same bytes as the option.
    lock = (restored.folder / "dvc.lock").read_text()
    restored.run("git", "reset", "-q", "--hard")
    restored.edit("params.yaml", "model: mlp4", "model: lenet_300_100")
    assert trainings(restored.run("dvc", "repro")) == []
    assert (restored.folder / "dvc.lock").read_text() == lock
    # What the headline has learnt is found when the block enters the pool, which lost others.
    printed = restored.run("dvc", "exp", "run", "-S", "pool=[cnn_a,lenet_300_100,mlp4]")
    assert trainings(printed) == []
    assert not (restored.folder / "weights/cnn_c").exists()
    assert not (restored.folder / "metrics/models/cnn_c.json").exists()
    lock = (restored.folder / "dvc.lock").read_text()
    assert "evaluate@cnn_c:" in lock and is_whole(lock)


def test_a_run_that_stops_after_its_first_stage_is_told(restored: Project):
    assert is_whole((restored.folder / "dvc.lock").read_text())
    restored.edit("params.yaml", "  lr: 0.1\n", "  lr: 0.2\n")
    restored.run("dvc", "repro", "code")
    assert not is_whole((restored.folder / "dvc.lock").read_text())
    said = restored.run("python", "-m", "thumbnets", "review", "main")
    assert "did not finish" in said and "no difference shown" not in said


def test_what_earlier_runs_left_changes_no_byte(restored: Project):
    stale = ["weights/gone/0.safetensors", "predictions/validation/mlp4/9.npz"]
    for name in [*stale, "metrics/models/gone.json"]:
        (restored.folder / name).parent.mkdir(exist_ok=True)
        (restored.folder / name).write_text("stale")
    assert trainings(restored.run("dvc", "repro")) == []
    assert restored.changed() == set()
    assert not (restored.folder / "weights/gone").exists()


def test_a_pool_of_one_and_what_an_experiment_elsewhere_has_trained(restored: Project):
    one = ["-S", "pool=[lenet_300_100]", "-S", "model=lenet_300_100", "-S", "seeds=[0,1]"]
    printed = restored.run("dvc", "exp", "run", "--temp", *one)
    assert "lenet_300_100, seed 1" in trainings(printed) and restored.changed() == set()
    assert {line.split(",")[0] for line in trainings(printed)} == {"lenet_300_100"}
    printed = restored.run("dvc", "exp", "run", *one)
    assert trainings(printed) == []
    summary = json.loads((restored.folder / "metrics/summary.json").read_text())
    assert summary["model"]["name"] == "lenet_300_100" and summary["model"]["seeds"] == 2
    models = sorted(path.name for path in (restored.folder / "metrics/models").iterdir())
    assert models == ["headline.json", "lenet_300_100.json"]


def test_a_size_changed_there_and_back_is_answered_by_its_own_images(tmp_path: Path):
    """DVC's run-cache does not see a change of a param called `size`."""
    photos(tmp_path / "photos")
    project = clone(tmp_path / "clone")
    pool_of(project, "mlp4")  # the others need larger images
    own = {"name: digits": "name: folder", "path: images": f"path: {tmp_path / 'photos'}"}
    for old, new in {**own, "size: 32": "size: 16", "broken: refuse": "broken: skip"}.items():
        project.edit("params.yaml", old, new)
    project.edit("params.yaml", "folds: 12", "folds: 4")
    sizes = []
    for old, new in (("size: 16", "size: 16"), ("size: 16", "size: 24"), ("size: 24", "size: 16")):
        project.edit("params.yaml", old, new)
        project.run("dvc", "repro", "preprocess")
        meta = json.loads((project.folder / "data/processed/train/meta.json").read_text())
        sizes.append(meta["image_size"])
    assert sizes == [16, 24, 16]


def test_no_stage_in_the_run_cache_has_params(project: Project):
    """Their keys `size` and `nfiles` would not count there; build/inputs has them by content."""
    stages = YAML(typ="safe").load((project.folder / "dvc.yaml").read_text())["stages"]
    assert [name for name, stage in stages.items() if "params" in stage] == ["code"]
    assert stages["code"]["outs"] == [{"build/inputs": {"persist": True}}]
    used = [path for path in (project.folder / ".dvc/cache/runs").rglob("*") if path.is_file()]
    assert used and not any("stages.code" in path.read_text() for path in used)


@pytest.mark.slow
def test_the_experiments_of_the_readme_train_what_it_says(restored: Project):
    """One after the other, each on top of the one before."""
    restored.edit("zoo/yardsticks.yaml", "resnet20, init: he, epochs: 10", "lenet5, epochs: 1")
    section = (ROOT / "README.md").read_text().partition("## Change one thing")[2]
    section = section.replace("[0,1,2,3,4]", "[0,1]")  # for the sake of time
    lines = re.findall(r"^    (dvc exp run .*?)(?:\s+#|$)", section.partition("\n## ")[0], re.M)
    trained = {}
    for line in lines:
        printed = restored.run(*shlex.split(line))
        trained[line.split("-S ")[1].strip("'")] = trainings(printed)
        if "cnn_c.lr" in line:
            assert re.findall(r"Running stage '(evaluate@\w+)'", printed) == ["evaluate@cnn_c"]
    models = ("cnn_c", "mlp4", "resnet20")
    assert trained == {
        "models.cnn_c.lr=0.02": ["cnn_c, seed 0"],
        "model=resnet20": ["resnet20, seed 0"],
        "pool=[mlp4,cnn_c]": [],
        "seeds=[0,1]": [f"{model}, seed 1" for model in models],
        "data.name=digits": [],  # as here all the time
        "ensemble.rule=stacking": [],
    }


@pytest.mark.slow
def test_a_seed_more_trains_only_that_seed_and_a_seed_less_leaves_no_trace(restored: Project):
    pool_of(restored, "cnn_a", "mlp4")
    assert trainings(restored.run("dvc", "repro")) == []
    before = lock_entries(restored)
    restored.edit("params.yaml", "- 0\n", "- 0\n- 7\n")
    assert trainings(restored.run("dvc", "repro")) == ["cnn_a, seed 7", "mlp4, seed 7"]
    restored.edit("params.yaml", "- 0\n- 7\n", "- 0\n")
    assert trainings(restored.run("dvc", "repro")) == []
    after = lock_entries(restored)
    assert {stage: after[stage] for stage in before} == before


def test_code_that_says_the_same_retrains_nothing(restored: Project):
    restored.edit("src/thumbnets/training/loop.py", '"""The training loop', '"""The very same loop')
    restored.edit(
        "src/thumbnets/models/cnn_c.py", "    return nn", "    # a comment\n    return nn"
    )
    shutil.copy(
        restored.folder / "src/thumbnets/models/cnn_a.py",
        restored.folder / "src/thumbnets/models/cnn_new.py",
    )
    restored.edit("src/thumbnets/models/cnn_new.py", "def cnn_a(", "def cnn_new(")
    restored.edit("src/thumbnets/report/charts.py", "import", "import sys as _\nimport")
    stages = restored.stages_run("dvc", "repro")
    assert stages == ["code", "report"]


def test_an_edit_to_a_network_retrains_that_network(restored: Project):
    restored.edit("src/thumbnets/models/cnn_a.py", "    return nn", "    _ = 0\n    return nn")
    assert trainings(restored.run("dvc", "repro")) == ["cnn_a, seed 0"]


def test_an_edit_to_the_loop_makes_all_trainings_stale(restored: Project):
    restored.edit(
        "src/thumbnets/training/loop.py", "_GREATEST_HALVINGS = 3", "_GREATEST_HALVINGS = 3 + 0"
    )
    restored.run("dvc", "repro", "code")
    stale = restored.run("dvc", "status")
    trains = {*(f"train@{model}-0" for model in POOL), "train-headline@headline-0"}
    assert set(re.findall(r"^(train\S*@\S+):", stale, flags=re.M)) == trains


def test_push_clone_pull_leaves_nothing_to_run(project: Project, tmp_path: Path):
    remote, other = tmp_path / "remote", tmp_path / "other"
    project.run("dvc", "remote", "add", "--local", "-d", "store", str(remote))
    project.run("dvc", "push", "-q")
    project.run("git", "clone", "-q", str(project.folder), str(other))
    fresh = Project(other)
    fresh.run("dvc", "remote", "add", "--local", "-d", "store", str(remote))
    fresh.run("dvc", "pull", "-q")
    assert "up to date" in fresh.run("dvc", "status")
    assert fresh.stages_run("dvc", "repro") == []
    artifacts = YAML(typ="safe").load((other / "dvc.yaml").read_text())["artifacts"]
    for name, artifact in artifacts.items():  # as docs/quickstart.md says
        fresh.run(
            "git", "-c", "user.name=T", "-c", "user.email=t@t", "tag", "-am1", f"{name}@v1.0.0"
        )
        project.run("dvc", "artifacts", "get", str(other), name, "-o", str(tmp_path / name))
        assert same_files(tmp_path / name, other / artifact["path"])


@pytest.mark.slow
def test_an_empty_cache_ends_with_the_same_bytes(project: Project, tmp_path: Path):
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "other"))
    fresh = Project(tmp_path / "other")
    printed = fresh.run("dvc", "repro", "evaluate@mlp4", "evaluate@cnn_c")
    assert trainings(printed) == ["cnn_c, seed 0", "mlp4, seed 0"]
    assert fresh.run("git", "status", "--porcelain") == ""  # dvc.lock and metrics/


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "batch_size: 128",
            "batch_sise: 128",
            "Unknown key 'train.batch_sise'. Did you mean 'batch_size'",
        ),
        ("name: digits", "name: digitz", "Did you mean digits"),
    ],
)
def test_a_bad_param_stops_the_run_at_once(restored: Project, old: str, new: str, message: str):
    restored.edit("params.yaml", old, new)
    printed = restored.run("dvc", "repro", fails=True)
    assert message in printed
    assert "Traceback" not in printed
    assert "Running stage 'train" not in printed


def test_nothing_that_chooses_depends_on_the_test_split(project: Project):
    edges = json_graph(project)
    chooses = [stage for stage in edges if stage.startswith(("train@", "ensemble-select"))]
    assert chooses
    for stage in chooses:
        assert not any(s.startswith("evaluate") for s in ancestors(stage, edges))
    listed = (project.folder / "dvc.lock").read_text()
    readers = re.findall(
        r"^  (\S+):\n(?:    .*\n)*?    - path: data/processed/test\n", listed, re.M
    )
    assert {r.split("@")[0] for r in readers} == {"evaluate", "evaluate-headline", "preprocess"}


def json_graph(project: Project) -> dict[str, set[str]]:
    """Stage -> the stages it depends on directly, from `dvc dag`."""
    edges: dict[str, set[str]] = {}
    for a, b in re.findall(r'"([^"]+)" -> "([^"]+)"', project.run("dvc", "dag", "--dot")):
        edges.setdefault(b, set()).add(a)
    return edges


def ancestors(stage: str, edges: dict[str, set[str]]) -> set[str]:
    above = set(edges.get(stage, set()))
    for parent in tuple(above):
        above |= ancestors(parent, edges)
    return above


def photos(folder: Path) -> None:
    """Images of two uneven classes in every format, grey and RGB, of any size; two are the same."""
    rng = np.random.default_rng(0)
    formats = ("png", "jpg", "bmp", "webp", "tiff")
    for label, colour, count in (("red", 0, 20), ("blue", 2, 10)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 60, (20 + number, 40 - number, 3), np.uint8)
            pixels[..., colour] += 150
            image = Image.fromarray(pixels)
            if number % 7 == 6:
                image = image.convert("L")
            image.save(folder / label / f"{number}.{formats[number % 5]}")
    shutil.copy(folder / "red/0.png", folder / "red/copy.png")
    (folder / "blue/broken.jpg").write_bytes(b"no image")


def test_images_of_your_own_from_a_folder_to_a_prediction(tmp_path: Path):
    photos(tmp_path / "photos")
    project = clone(tmp_path / "clone")
    pool_of(project, "lenet_300_100")
    project.edit("params.yaml", "models:", "models:\n  lenet_300_100: {epochs: 2}\n #")
    project.edit("params.yaml", "folds: 12", "folds: 4")
    project.edit("params.yaml", "class_weights:", "class_weights: balanced")
    own = ["-S", "data.name=folder", "-S", f"data.path={tmp_path / 'photos'}", "-S", "data.size=16"]
    refused = project.run("dvc", "exp", "run", *own, fails=True)
    assert "1 of 32 images can't be read: blue/broken.jpg (cannot identify" in refused
    assert "Traceback" not in refused
    project.run("dvc", "exp", "run", *own, "-S", "data.broken=skip")

    meta = json.loads((project.folder / "data/processed/train/meta.json").read_text())
    assert meta["classes"] == ["blue", "red"] and meta["channels"] == 3 and meta["image_size"] == 16
    assert meta["counts"] == [8, 17] and meta["fit"] == "crop"
    page = (project.folder / "report/index.html").read_text()
    assert "The classes are uneven" in page and "blue/broken.jpg" in page
    report = (project.folder / "report/report.md").read_text()
    assert "| red | 17 | 4 |" in report and "# Small image classifiers: Own images" in report
    assert "1 training image repeats another" in report
    assert "up to date" in project.run("dvc", "status")

    image = tmp_path / "photos/blue/1.jpg"
    named, label, probability = project.run("thumbnets", "predict", str(image)).strip().split("\t")
    assert (named, label) == (str(image), "blue") and float(probability) > 0.5

    (tmp_path / "photos/blue/notes.txt").write_text("no image")
    assert project.stages_run("dvc", "repro") == ["download", "preprocess", "report"]  # counted
    Image.new("RGB", (30, 30), (250, 0, 0)).save(tmp_path / "photos/red/0.png")
    stages = project.stages_run("dvc", "repro", "train@lenet_300_100-0")
    assert stages == ["download", "preprocess", "pretrain", "train@lenet_300_100-0"]
