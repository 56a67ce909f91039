"""README and docs: short, and every link, command, target and key that they name is there."""

import re
import shlex
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from dvc.cli.parser import get_main_parser
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from torch import nn

from thumbnets.cli import _parser
from thumbnets.params import check_params
from thumbnets.recipes.recipe import read_recipe
from thumbnets.zoo import read_yaml

ROOT = Path(__file__).parents[1]
FIRST = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")
PAGES = [*(ROOT / name for name in FIRST), *sorted((ROOT / "docs").rglob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FOLDERS = "benchmarks|docs|pretrained|recipes|report|src|stages|tests|zoo"


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def inline(page: Path) -> list[str]:
    """Code within a sentence."""
    return re.findall(r"`([^`\n]+)`", text(page))


def commands(page: Path) -> list[list[str]]:
    """Commands of the indented lines, one per `&&`, as a shell would split them."""
    found = []
    for line in re.findall(r"^ {4,}(?:\$ )?((?:dvc|thumbnets|make) .+)$", text(page), re.MULTILINE):
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            found.append(words[:end])
            words = words[end + 1 :]
    return found


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as Git hosts make them."""
    titles = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    plain = [re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in plain}


def overrides(page: Path) -> list[tuple[list[str], bool]]:
    """What `-S` sets in each command or in a sentence, and whether it is a sweep."""
    found = []
    for words in commands(page):
        given = [after for word, after in zip(words, words[1:], strict=False) if word == "-S"]
        found.append((given, "--queue" in words))
    for code in inline(page):
        if re.fullmatch(r"(-S |dvc exp run -S )?'?\+?[a-z]+\.[\w.]+=.+", code):
            found.append(([shlex.split(code)[-1]], False))
    return [(given, sweep) for given, sweep in found if given and "NAME" not in " ".join(given)]


def test_the_readme_is_short():
    assert len(text(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} is not there"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_files_that_are_named_are_there(page):
    for code in inline(page):
        if re.fullmatch(rf"(?:{FOLDERS})/[a-z0-9_/.]+", code):
            made = re.match(r"(pretrained|report)/", code)  # by a run
            assert made or (ROOT / code).exists(), f"{code} is not there"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_are_known(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    targets = re.search(r"^\.PHONY: (.+)$", text(ROOT / "Makefile"), re.MULTILINE)[1].split()
    ours = _parser()
    names = next(a for a in ours._actions if a.dest == "command").choices
    for code in inline(page):
        if named := re.match(r"(thumbnets|make) ([a-z]+)", code):
            assert named[2] in (targets if named[1] == "make" else names), code
    for tool, *words in commands(page):
        if tool == "make":
            assert {word for word in words if "=" not in word} <= set(targets), words
        elif tool == "dvc":
            get_main_parser().parse_args(words)
        else:
            arguments = ours.parse_args(words)
            if arguments.command == "recipe":
                for file in arguments.files:
                    read_recipe(file, ROOT)  # by name or by path
            if arguments.command == "verify" and arguments.recipe:
                read_recipe(arguments.recipe, ROOT)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_keys_that_are_set_can_be_set(page, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    for given, sweep in overrides(page):
        given = [re.sub(r"data\.path=.+", f"data.path={tmp_path}", one) for one in given]
        given = [re.sub(r"data\.corrections=.+", "data.corrections=null", one) for one in given]
        each = get_hydra_sweeps({"params.yaml": given}) if sweep else [{"params.yaml": given}]
        for run in each:
            copy = shutil.copy(ROOT / "params.yaml", tmp_path)
            apply_overrides(copy, run["params.yaml"])
            check_params(read_yaml(Path(copy)), " ".join(given), zoo=ROOT / "zoo")


def test_what_is_found_in_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A page: [of](x) words\n\nSee `make test` or `-S data.name=digits`.\n\n"
        "    dvc exp run --queue -S 'seeds=[0,1]' && make repro JOBS=2   # a comment\n"
        "    $ thumbnets models\n\nA word thumbnets in a sentence; `train.lr=0.1`, `x = 3`.\n"
    )
    assert commands(page) == [
        ["dvc", "exp", "run", "--queue", "-S", "seeds=[0,1]"],
        ["make", "repro", "JOBS=2"],
        ["thumbnets", "models"],
    ]
    assert overrides(page) == [
        (["seeds=[0,1]"], True),
        (["data.name=digits"], False),
        (["train.lr=0.1"], False),
    ]
    assert anchors(page) == {"a-page-of-words"}


def examples() -> dict[str, str]:
    """Code on the page about extending, by the name of its file."""
    blocks = re.findall(r"```python\n(.+?)```", text(ROOT / "docs/extending.md"), re.DOTALL)
    return {re.search(r"/(\w+)\.py\n", code)[1]: code for code in blocks}


def test_the_method_of_the_docs_is_the_focal_loss(model_settings, meta):
    names: dict = {}
    exec(examples()["focal"], names)
    logits = torch.tensor([[2.0, 0, 1], [0.5, 0, -1]])
    labels = torch.tensor([0, 1])
    # Probabilities 0.6652 and 0.3315: 0.3348^2 * 0.4076 = 0.0457 and 0.6685^2 * 1.1042 = 0.4935.
    plain = float(nn.functional.cross_entropy(logits, labels))
    for gamma, expected in ((0.0, plain), (2.0, (0.0457 + 0.4935) / 2)):
        method = names["focal"](model_settings(), meta, gamma=gamma)
        loss, correct = method.loss(lambda images: logits, torch.zeros(2, 1, 8, 8), labels)
        assert float(loss) == pytest.approx(expected, abs=1e-4) and correct == 1


def test_the_network_of_the_docs_is_what_it_says():
    names: dict = {}
    code = examples()["two_layers"]
    exec(code, names)
    network = names["two_layers"](in_channels=1, image_size=28, num_classes=10)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"parameters={count:_}," in code
