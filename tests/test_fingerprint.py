"""Fingerprints: what changes a number changes them, and nothing else does."""

import ast
import hashlib
import sys
from pathlib import Path

import pytest

from thumbnets import fingerprint as fingerprints
from thumbnets import registry
from thumbnets.fingerprint import WITHOUT_EFFECT, changed, fingerprint, forget
from thumbnets.inputs import READS, stage_code, training_code
from thumbnets.modules import imports, module_name
from thumbnets.params import load_params
from thumbnets.statements import REGISTRIES
from thumbnets.syntax import code_of, read_tree

TREE = {
    "stages/run.py": "from package.main import go\n\ngo()\n",
    "src/package/__init__.py": "",
    "src/package/main.py": "from package import helper\n\n\ndef go():\n    return helper.value\n",
    "src/package/helper.py": "import numpy as np\n\nfrom .deep import leaf\n\nvalue = leaf.x\n",
    "src/package/deep/__init__.py": "",
    "src/package/deep/leaf.py": "from ..far import y\n\nx = y + 1\n",
    "src/package/far.py": "y = 1\n",
    "src/package/unused.py": "z = 1\n",
    "requirements.lock": "numpy==2.1.0 \\\n    --hash=sha256:0\nscikit-learn==1.5\n",
}


@pytest.fixture
def take(tmp_path, monkeypatch):
    """Writes `TREE` with changes (None removes a file) and fingerprints its stage."""

    def of(changes: dict[str, str | None] | None = None) -> fingerprints.Fingerprint:
        for name, content in {**TREE, **(changes or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(content)
        forget()  # a file is read once a process
        return fingerprint([Path("stages/run.py")], Path("src"), Path("requirements.lock"))

    monkeypatch.chdir(tmp_path)
    return of


def test_names_all_that_is_used_directly_or_not(take):
    found = take()
    assert list(found["modules"]) == [
        "package.deep.leaf",
        "package.far",
        "package.helper",
        "package.main",
        "stages.run",
    ]
    assert found["libraries"] == {"numpy": "2.1.0"}
    assert (found["roots"], found["unused"]) == (["stages/run.py"], [])


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\ny = 1\n",
        '"""A docstring."""\n\n\n\ny = 1  # one\n',
        "y = (\n    1\n)\n",
    ],
)
def test_comments_docstrings_and_layout_change_nothing(take, text):
    assert take({"src/package/far.py": text}) == take()


def test_a_docstring_of_a_function_changes_nothing(take):
    body = "def y():\n    {}return 1\n\n\nclass A:\n    {}b: int = 2\n"
    plain = take({"src/package/far.py": body.format("", "")})
    documented = take({"src/package/far.py": body.format('"""Doc."""\n    ', '"""Doc."""\n    ')})
    assert plain == documented


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("raise ValueError('a')\n", "raise ValueError('b')\n"),
        ("raise ValueError(f'{y} is bad')\n", "raise ValueError(f'{y!r} is bad, not {x}')\n"),
        ("raise ValueError(f'{y} is bad')\n", "raise ValueError('bad')\n"),
        ("raise A('a', y) from error\n", "raise A('b', y) from error\n"),
    ],
)
def test_the_text_of_an_error_changes_nothing(take, before, after):
    assert take({"src/package/far.py": before}) == take({"src/package/far.py": after})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("raise ValueError('a')\n", "raise KeyError('a')\n"),
        ("raise A('a', 1)\n", "raise A('a', 2)\n"),
        ("if y > 1: raise A('a')\n", "if y > 2: raise A('a')\n"),
        ("if y == 'a': raise A\n", "if y == 'b': raise A\n"),
        ("y = ValueError('a')\n", "y = ValueError('b')\n"),
        ("y = f'{1} a'\n", "y = f'{1} b'\n"),
        ("y = 1\n", "y = 2\n"),
        ("y = 1\n", "y = 1.0\n"),
        ("y = 1\n", "y = True\n"),
        ("y = 1\n", "y = '1'\n"),
        ("y = 'a'\n", "y = 'b'\n"),
        ("y = ['a']\n", "y = ['b']\n"),
        ("y = 1\n", "y = -1\n"),
        ("y = 1 + 2\n", "y = 1 - 2\n"),
        ("def y(): return\n", "def y(): return ...\n"),
        ("def y(a, b=1): ...\n", "def y(a, *, b=1): ...\n"),
        ("def y(*, a, b=1): ...\n", "def y(*, a=1, b): ...\n"),
        ("y = {'a': 1, **{}}\n", "y = {**{}, 'a': 1}\n"),
        ("y = [1][:1]\n", "y = [1][1:]\n"),
        ("y = f'{1!r}'\n", "y = f'{1!s}'\n"),
        ("raise (A if y == 'a' else B)('a')\n", "raise (A if y == 'b' else B)('a')\n"),
    ],
)
def test_code_changes_the_module_it_is_in_and_no_other(take, before, after):
    old, new = take({"src/package/far.py": before}), take({"src/package/far.py": after})
    assert old["modules"].pop("package.far") != new["modules"].pop("package.far")
    assert old == new


def test_what_no_one_imports_changes_nothing(take):
    plain = take()
    assert take({"src/package/unused.py": "z = 2\n", "src/package/new.py": "import os\n"}) == plain


def test_a_renamed_module_is_another(take):
    moved = take(
        {
            "src/package/far.py": None,
            "src/package/near.py": TREE["src/package/far.py"],
            "src/package/deep/leaf.py": "from ..near import y\n\nx = y + 1\n",
        }
    )["modules"]
    assert "package.near" in moved and "package.far" not in moved


BESIDE = "z = 1\n\n\ndef beside():\n    return 2\n"


@pytest.mark.parametrize(
    ("statement", "body"),
    [
        ("import package.unused", "return package.unused.z"),
        ("import package.unused as u", "return u.z"),
        ("from package import unused", "return unused.z + 1"),
        ("from package import unused as u", "return [u.z for _ in ()]"),
        ("from package.unused import z", "return z"),
        ("from package.unused import z as a", "return f'{a}'"),
        ("from . import unused", "return unused.z"),
        ("from .unused import z", "return lambda: z"),
        ("", "from package import unused\n    return unused.z"),
        ("", "import package.unused\n    return package.unused.z.real"),
        ("if go:\n    from package.unused import z\nelse:\n    z = 0", "return z"),
        ("from package.unused import z\n\na = b = z", "return b"),
        ("from package.unused import z\n\na, (b, c) = z", "return c"),
        ("from package.unused import z\n\na: int = z", "return a"),
        ("from package.unused import z\n\n\nclass A:\n    b: 'z'", "return A"),
        ("from package.unused import z\n\n\nclass A:\n    b: 'list[z]'", "return A"),
        ("from package.unused import z\n\n\n@keep\ndef a():\n    return z", "return"),
        ("from package.unused import z\n\nsome.thing = z", "return"),
        ("from package.unused import z\n\nhelper.append(z)", "return"),
    ],
)
def test_what_is_used_of_a_module_counts_and_what_stands_beside_it_does_not(take, statement, body):
    main = f"{statement}\n\n\ndef go():\n    {body}\n"
    tree = {"src/package/main.py": main, "src/package/unused.py": BESIDE}
    plain = take(tree)
    other = take({**tree, "src/package/unused.py": BESIDE.replace("1", "3")})
    assert plain["modules"].pop("package.unused") != other["modules"].pop("package.unused")
    assert plain == other
    assert take({**tree, "src/package/unused.py": BESIDE.replace("2", "3")}) == take(tree)
    without = take({**tree, "src/package/main.py": f"{statement}\n\n\ndef go():\n    return\n"})
    acts = "@keep" in statement or "some" in statement or "helper" in statement
    assert ("package.unused" in without["modules"]) == acts


@pytest.mark.parametrize(
    ("main", "unused"),
    [
        ("from package.unused import *\n\n\ndef go():\n    return z\n", BESIDE),
        ("from package import unused\n\n\ndef go():\n    return vars(unused)\n", BESIDE),
        (
            "from package.unused import found\n\n\ndef go():\n    return found\n",
            BESIDE + "\n\ndef __getattr__(name):\n    return z\n",
        ),
        (
            "from package.unused import Base\n\n\ndef go():\n    return Base()\n",
            BESIDE + "\n\nclass Base:\n    def __init_subclass__(cls):\n        print(cls)\n",
        ),
        (
            "from package.unused import Base\n\n\ndef go():\n    return Base.__subclasses__()\n",
            BESIDE + "\n\nclass Base:\n    pass\n",
        ),
        (
            "from package.unused import of\n\n\ndef go():\n    return of('z')\n",
            BESIDE + "\n\ndef of(name):\n    return globals()[name]\n",
        ),
    ],
)
def test_all_of_a_module_counts_where_names_do_not_say_what_is_used(take, main, unused):
    tree = {"src/package/main.py": main, "src/package/unused.py": unused}
    assert take(tree) != take({**tree, "src/package/unused.py": unused.replace("2", "3", 1)})


USES = "from package.unused import {}\n\n\ndef go():\n    return {}\n"


@pytest.mark.parametrize(
    ("main", "unused"),
    [
        # What acts when it is imported, though it looks like a definition.
        (USES.format("T", "T"), "T = {}\n\n\ndef put(v):\n    T[0] = v\n\n\na = put(2)\n"),
        (USES.format("T", "T"), "T = {}\n_ = T.setdefault('a', 2)\n"),
        (USES.format("T", "T"), "T = []\nassert T.append(2) is None\n"),
        (USES.format("T", "T"), "T = {}\n\n\nclass A:\n    T[0] = 2\n"),
        (USES.format("T", "T"), "T = []\n\n\nclass R:\n    b: int = T.append(2)\n"),
        (
            USES.format("T", "T"),
            "T = {}\n\n\ndef cache(f):\n    T[0] = f\n\n\n@cache\ndef a():\n    return 2\n",
        ),
        (
            USES.format("A", "A"),
            "class M(type):\n    pass\n\n\nclass A(metaclass=M):\n    pass\n\n\n"
            "class B(A):\n    c = 2\n",
        ),
        (
            USES.format("T", "T"),
            "from abc import ABCMeta\n\nT = []\n\n\nclass M(ABCMeta):\n"
            "    def __init__(cls, *_):\n        T.append(cls)\n\n\n"
            "class A(metaclass=M):\n    pass\n\n\nclass B(A):\n    c = 2\n",
        ),
        (
            USES.format("T", "T"),
            "T = []\n\n\nclass A:\n    __init_subclass__ = classmethod(T.append)\n\n\n"
            "class B(A):\n    c = 2\n",
        ),
        (
            USES.format("T", "T"),
            "T = []\n\n\ndef put(f):\n    T.append(f)\n\n\nwrap = put\n\n\n"
            "@wrap\ndef a():\n    return 2\n",
        ),
        (
            USES.format("T", "T"),
            "class R:\n    def wrap(self, f):\n        self.f = f\n\n\n"
            "T, N = R(), 0\n\n\n@T.wrap\ndef a():\n    return 2\n",
        ),
        (USES.format("a", "a"), "import torch\n\na = 1\n_old = torch.set_num_threads(2)\n"),
        # What is found without being named.
        (USES.format("T", "T"), "b = 2\nT = {k: v for k, v in vars().items()}\n"),
        (USES.format("T", "T"), "b = 2\nT = dict(locals())\n"),
        (USES.format("of", "of()"), "b = 2\n\n\ndef of():\n    return eval('b')\n"),
        (
            USES.format("of", "of()"),
            "import sys\n\nb = 2\n\n\ndef of():\n    return getattr(sys.modules[__name__], 'b')\n",
        ),
        (
            "import importlib\n\n\ndef go():\n"
            "    return importlib.import_module('package.unused').b\n",
            "b = 2\n",
        ),
        # Imports in other places.
        (
            "class A:\n    from package.unused import b\n\n\ndef go():\n    return A().b\n",
            "b = 2\n",
        ),
        (
            "def _load():\n    global u\n    from package import unused as u\n\n\n"
            "def go():\n    _load()\n    return u.b\n",
            "b = 2\n",
        ),
    ],
)
def test_what_is_used_without_being_called_by_its_name_counts(take, main, unused):
    tree = {"src/package/main.py": main, "src/package/unused.py": unused}
    assert take(tree) != take({**tree, "src/package/unused.py": unused.replace("2", "3")})


LEAF = "from .lower import leaf\n\n"
BY_NAME = "import importlib\nfrom importlib import import_module as get\n\nN = 'package.lower'\n"


@pytest.mark.parametrize(
    ("main", "passes"),
    [
        # All of a module counts, with what it passes on.
        ("from package.unused import *\n\n\ndef go():\n    return leaf\n", LEAF),
        ("from package import unused\n\n\ndef go():\n    return getattr(unused, 'l')\n", LEAF),
        ("from package import unused\n\nT = [unused]\n\n\ndef go():\n    return T\n", LEAF),
        (
            "from package import unused as u\n\n\ndef go():\n    return u, 1\n",
            "from . import lower\n",
        ),
        # Modules by name.
        (f"{BY_NAME}\n\ndef go():\n    return get('.lower', 'package')\n", ""),
        (f"{BY_NAME}\n\ndef go():\n    return importlib.import_module(N)\n", ""),
        ("def go():\n    return __import__('package.lower')\n", ""),
        (
            "import pkgutil\n\n\n"
            "def go():\n    return pkgutil.resolve_name('package.lower:leaf')\n",
            "",
        ),
        (
            "from package.unused import N\n"
            + BY_NAME.replace("N = 'package.lower'\n", "")
            + "\n\ndef go():\n    return get(N)\n",
            "N = 'package.lower'\n",
        ),
        ("import package.lower\n\n\ndef go():\n    return getattr(package, 'lower')\n", ""),
        ("import pkgutil\n\n\ndef go():\n    return list(pkgutil.iter_modules())\n", ""),
        # What keeps something when it is imported.
        (
            USES.format("T", "T"),
            f"{LEAF}T = {{}}\n\n\nclass A:\n    def __init_subclass__(cls):\n        T[0] = cls\n"
            "\n\nclass B(A):\n    c = leaf\n",
        ),
        (
            USES.format("T", "T"),
            f"from functools import partial\n\n{LEAF}T = {{}}\n\n\n"
            "@partial(T.__setitem__, 'a')\ndef a():\n    return leaf\n",
        ),
        (USES.format("T", "T"), f"{LEAF}T = []\n_ = list(map(T.append, [leaf]))\n"),
        (USES.format("T", "T"), f"{LEAF}T = []\n_ = sorted([leaf], key=T.append)\n"),
        (USES.format("T", "T"), f"{LEAF}T = []\n\n\ndef f(a=T.append(leaf)): ...\n"),
        (
            USES.format("R", "R"),
            f"{LEAF}\n\nclass Reg(dict):\n    pass\n\n\nR = Reg()\n\n\n"
            "@R.get('a')\ndef a():\n    return leaf\n",
        ),
        (
            USES.format("SCHEDULES", "SCHEDULES"),
            f"{LEAF}SCHEDULES = dict()\n\n\n@SCHEDULES.register\ndef a():\n    return leaf\n",
        ),
        (
            "from package.unused import A\n\n\ndef go():\n    return A().b\n",
            "class A:\n    try:\n        from .lower import leaf as b\n"
            "    except ImportError:\n        b = 0\n",
        ),
    ],
)
def test_what_is_passed_on_or_kept_elsewhere_counts(take, main, passes):
    tree = {"src/package/main.py": main, "src/package/unused.py": passes}
    before = take({**tree, "src/package/lower.py": "leaf = 2\n"})
    assert before != take({**tree, "src/package/lower.py": "leaf = 3\n"})


def test_modules_that_import_from_each_other_for_types(take):
    cycle = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from {} import K\n"
    take(
        {
            "src/package/main.py": cycle.format("package.unused") + "\n\ndef go(k: 'K'): ...\n",
            "src/package/unused.py": cycle.format("package.main"),
        }
    )


def test_the_package_of_the_stages_counts(take):
    assert take() != take({"stages/__init__.py": "import os\n\nos.environ['A'] = '1'\n"})


def test_data_beside_code_that_looks_for_it_count(take, tmp_path):
    tree = {"src/package/far.py": "from pathlib import Path\n\ny = Path(__file__).with_name('a')\n"}
    plain = take(tree)
    (tmp_path / "src/package/.a.swp").write_text("1")
    assert take(tree) == plain
    (tmp_path / "src/package/deep/a.json").write_text("1")
    first = take(tree)
    assert first["modules"].pop("package.far") != plain["modules"].pop("package.far")
    assert first == plain
    (tmp_path / "src/package/deep/a.json").write_text("2")
    assert take(tree)["modules"]["package.far"] != take()["modules"]["package.far"]
    assert changed([{**take(tree), "roots": ["stages/run.py"]}], Path("src")) == []


@pytest.mark.parametrize(
    "code",
    [
        "from importlib.resources import files\n\ny = files('package.deep')\n",
        "import importlib.resources as r\n\ny = r.files('package.deep')\n",
        "from importlib import resources\n\ny = resources.read_text('package.deep', 'a')\n",
        "import pkgutil\n\ny = pkgutil.get_data('package.deep', 'a')\n",
        "from pathlib import Path\n\ny = Path(__spec__.origin)\n",
    ],
)
def test_data_of_a_package_count(take, tmp_path, code):
    tree = {"src/package/far.py": code}
    plain = take(tree)
    (tmp_path / "src/package/deep/a").write_text("1")
    assert take(tree)["modules"]["package.far"] != plain["modules"]["package.far"]


def test_a_package_goes_before_a_module_of_its_name(take):
    tree = {"src/package/far/__init__.py": "y = 2\n"}
    plain = take(tree)
    assert take({**tree, "src/package/far.py": "y = 3\n"}) == plain
    assert take({"src/package/far/__init__.py": "y = 3\n"}) != plain


def test_a_name_is_followed_through_the_module_that_passes_it_on(take):
    tree = {
        "src/package/__init__.py": "from package.unused import z as y, beside\n",
        "src/package/main.py": "import package\n\n\ndef go():\n    return package.y\n",
    }
    plain = take({**tree, "src/package/unused.py": BESIDE})
    assert plain != take({**tree, "src/package/unused.py": BESIDE.replace("1", "3")})
    assert plain == take({**tree, "src/package/unused.py": BESIDE.replace("2", "3")})


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("from package import bare", "bare.leaf.z"),
        ("import package.bare.leaf", "package.bare.leaf.z"),
        ("from package.bare import leaf", "leaf.z"),
        ("from package.bare.leaf import z", "z"),
    ],
)
def test_a_folder_needs_no_init_file(take, statement, name):
    tree = {
        "src/package/main.py": f"{statement}\n\n\ndef go():\n    return {name}\n",
        "src/package/bare/leaf.py": BESIDE,
    }
    if "import bare" in statement:  # what another module imports is an attribute
        tree["src/package/main.py"] = f"import package.bare.leaf\n{tree['src/package/main.py']}"
    plain = take(tree)
    assert plain != take({**tree, "src/package/bare/leaf.py": BESIDE.replace("1", "3")})
    assert plain == take({**tree, "src/package/bare/leaf.py": BESIDE.replace("2", "3")})


def test_an_assertion_of_a_module_does_not_count(take):
    plain = take({"src/package/far.py": "y = 1\n"})
    assert take({"src/package/far.py": "y = 1\nassert y == 1, 'y'\n"}) == plain


def test_unused_modules_are_left_out_with_what_only_they_import(take):
    whole = take()["modules"]
    roots, lock = [Path("stages/run.py")], Path("requirements.lock")
    found = fingerprint(roots, Path("src"), lock, unused=["package.deep.leaf"])
    assert whole.keys() - found["modules"].keys() == {"package.deep.leaf", "package.far"}
    assert found["unused"] == ["package.deep.leaf"]
    assert changed([found], Path("src")) == []
    Path("src/package/far.py").write_text("y = 2\n")
    assert changed([found], Path("src")) == []
    Path("src/package/main.py").write_text("def go():\n    return 0\n")
    assert changed([found], Path("src")) == ["package.helper", "package.main"]


def test_imports_inside_a_package_file_are_relative_to_it(take):
    content = "from . import leaf\nfrom ..unused import z\n\nprint(leaf.x, z)\n"
    found = take({"src/package/deep/__init__.py": content})
    assert {"package.deep.leaf", "package.unused"} <= set(found["modules"])


def test_libraries_are_pinned_under_the_name_they_are_imported_by(take):
    found = take({"src/package/far.py": "import sklearn.metrics\nimport os\ny = 1\n"})
    assert found["libraries"] == {"numpy": "2.1.0", "sklearn": "1.5"}
    lock = TREE["requirements.lock"]
    newer = take({"requirements.lock": lock.replace("2.1.0", "2.2.0") + "other==1\n"})
    assert newer["libraries"] == {"numpy": "2.2.0"}
    both = (
        "numpy==2.1.0 ; python_full_version < '3.12' \\\nnumpy==2.3.0 ; python_version > '3' \\\n"
    )
    assert take({"requirements.lock": both})["libraries"] == {"numpy": "2.1.0 or 2.3.0"}


def test_a_syntax_error_is_one_line(take):
    with pytest.raises(ValueError, match=r"src/package/far\.py, line 2: .*") as caught:
        take({"src/package/far.py": "y = 1\ndef (:\n"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffy = 1\n".encode(),
        "# -*- coding: latin-1 -*-\ny = 1  # \xe4\n".encode("latin-1"),
        b"y = 1\r\n",
    ],
)
def test_a_file_may_have_any_encoding_that_python_reads(tmp_path, content):
    (tmp_path / "a.py").write_bytes(content)
    assert code_of(read_tree(tmp_path / "a.py")) == code_of(ast.parse("y = 1\n"))


def test_a_file_that_python_does_not_read_is_named(tmp_path):
    (tmp_path / "a.py").write_bytes(b"y = 1\0\n")
    with pytest.raises(ValueError, match=r"a\.py.*: source code string cannot contain null bytes"):
        read_tree(tmp_path / "a.py")


@pytest.mark.parametrize(
    "content",
    [
        f"y = {' + '.join(['1'] * 1000)}\n",
        "if a == 0:\n    y = 0\n" + "".join(f"elif a == {n}:\n    y = 1\n" for n in range(700)),
    ],
)
def test_code_may_be_deeper_than_the_stack(take, content):
    deep = take({"src/package/far.py": content})
    assert deep != take({"src/package/far.py": content.replace("1", "2")})


# The project itself.


def _fingerprints(root: Path, monkeypatch) -> dict[str, fingerprints.Fingerprint]:
    """What `stages.code` would write for the tree at `root`, by stage and `model:`name."""
    monkeypatch.chdir(root)
    forget()
    source, params = Path("src"), load_params()
    found = {stage: stage_code(params, stage, source) for stage in [*READS, "pretrain"]}
    for name, settings in params.settings.items():
        found[f"model:{name}"] = training_code(settings, source)
    return found


ADDED = "\nprint()\n"  # which acts when the module is imported

_KNOWN: dict[bytes, dict] = {}  # fingerprints of a project, by its content


def _content(root: Path) -> bytes:
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)


def _changed(root: Path, monkeypatch, *files: str) -> set[str]:
    """Names of the fingerprints that change when code is added to files, new ones or not."""
    content = _content(root)
    if content not in _KNOWN:  # nearly all tests begin with the same code
        _KNOWN[content] = _fingerprints(root, monkeypatch)
    before = _KNOWN[content]
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((path.read_text() if path.exists() else "") + ADDED)
    after = _fingerprints(root, monkeypatch)
    return {name for name in before if before[name] != after[name]}


def _models(changed: set[str]) -> set[str]:
    return {name.removeprefix("model:") for name in changed if name.startswith("model:")}


NOT_FOR_TRAINING = [
    "models/new.py",
    "data/datasets.py",
    "data/download.py",
    "data/preprocess.py",
    "report/figures.py",
    "report/new.py",
    "cli.py",
    "params.py",
    "ensembles/selection.py",
    "evaluation/metrics.py",
    "fingerprint.py",
    *[name.removeprefix("thumbnets.").replace(".", "/") + ".py" for name in WITHOUT_EFFECT],
]


def test_what_training_does_not_use_changes_no_model(copied, monkeypatch):
    files = [f"src/thumbnets/{file}" for file in NOT_FOR_TRAINING]
    assert _models(_changed(copied, monkeypatch, *files)) == set()


def test_a_network_changes_the_models_made_of_it(copied, monkeypatch):
    changed = _changed(copied, monkeypatch, "src/thumbnets/models/cnn_c.py")
    settings = load_params().settings
    made = {f"model:{name}" for name in settings if settings[name].arch == "cnn_c"}
    assert changed == made | {"report"}  # which counts what cnn_c costs


def test_a_network_that_another_one_asks_for_by_name_is_part_of_it(copied, monkeypatch):
    wrapped = copied / "src/thumbnets/models/micro_cnn.py"
    asks = "from thumbnets.models import create_model\n\nINNER = create_model('lenet5')\n"
    wrapped.write_text(asks + wrapped.read_text())
    changed = _changed(copied, monkeypatch, "src/thumbnets/models/lenet5.py")
    settings = load_params().settings
    made = {name for name in settings if settings[name].arch in ("micro_cnn", "lenet5")}
    assert {"micro_cnn", "lenet5"} <= made <= _models(changed)


@pytest.mark.parametrize(
    "code",
    [
        "INNER = create_model(name='lenet5')",
        "from functools import partial\n\nINNER = partial(create_model, 'lenet5')",
        "from thumbnets.models import create_model as make\n\nINNER = make('lenet5')",
        "NAMES = ['mlp4', 'lenet5']\nINNER = [create_model(name) for name in NAMES]",
        "from thumbnets.registry import NETWORKS\n\nINNER = NETWORKS.load('lenet5')",
        "from thumbnets.models.maker import make\n\nINNER = make('lenet5')",
    ],
)
def test_names_of_networks_are_found_however_they_are_given(copied, monkeypatch, code):
    wrapped = copied / "src/thumbnets/models/micro_cnn.py"
    wrapped.write_text(f"from thumbnets.models import create_model\n{code}\n{wrapped.read_text()}")
    maker = (
        "from thumbnets.models import create_model\n\n\ndef make(name):\n    create_model(name)\n"
    )
    wrapped.with_name("maker.py").write_text(maker)
    monkeypatch.chdir(copied)
    forget()
    settings = load_params().settings["micro_cnn"]
    before = training_code(settings, Path("src"))
    lenet = copied / "src/thumbnets/models/lenet5.py"
    lenet.write_text(lenet.read_text().replace("return ", "return 1 and ", 1))
    forget()
    assert before != training_code(settings, Path("src"))


@pytest.mark.parametrize(
    ("file", "entry", "key"),
    [
        ("training/optimizers.py", "adamw", "optimizer"),
        ("training/schedules.py", "cosine", "schedule"),
        ("training/schedules.py", "polynomial", "schedule"),
        ("training/averaging.py", "swa", "average"),
        ("training/initialisation.py", "he", "init"),
        ("data/mix.py", "cutmix", "mix"),
    ],
)
def test_an_entry_of_a_shared_file_changes_the_models_that_choose_it(
    copied, monkeypatch, file, entry, key
):
    before = _fingerprints(copied, monkeypatch)
    path = copied / "src/thumbnets" / file
    text = path.read_text()
    first, rest = text.split(f"\ndef {entry}(", 1)
    head, body = rest.split('"""', 1)
    doc, code = body.split('"""\n', 1)
    path.write_text(f'{first}\ndef {entry}({head}"""{doc}"""\n    print()\n{code}')
    after = _fingerprints(copied, monkeypatch)
    settings = load_params().settings
    chosen = {name: getattr(of.train, key) for name, of in settings.items()}
    assert _models({name for name in before if before[name] != after[name]}) == {
        name for name, choice in chosen.items() if choice and choice.name == entry
    }


def test_a_method_changes_the_models_that_learn_by_it(copied, monkeypatch):
    changed = _changed(copied, monkeypatch, "src/thumbnets/methods/supervised.py")
    settings = load_params().settings
    learn = {name for name in settings if settings[name].train.method.name == "supervised"}
    assert _models(changed) == learn


def test_an_augmentation_changes_the_models_that_use_it(copied, monkeypatch):
    changed = _changed(copied, monkeypatch, "src/thumbnets/data/augment/erasing.py")
    settings = load_params().settings
    used = {name: {choice.name for choice in of.train.augment} for name, of in settings.items()}
    assert _models(changed) == {name for name in used if used[name] & {"cutout", "erasing"}}
    assert changed - {f"model:{name}" for name in used} == set()


def test_a_previewed_augmentation_changes_what_draws_the_preview(copied, monkeypatch):
    changed = _changed(copied, monkeypatch, "src/thumbnets/data/augment/geometric.py")
    assert "shift" in {choice.name for choice in load_params().train.augment}
    assert {name for name in changed if not name.startswith("model:")} == {"preprocess", "report"}


@pytest.mark.parametrize(
    "file",
    [
        "training/loop.py",
        "methods/base.py",
        "data/augment/__init__.py",
        "data/mix.py",
        "models/patches.py",
        "runtime.py",
    ],
)
def test_the_training_code_changes_every_model(copied, monkeypatch, file):
    changed = _changed(copied, monkeypatch, f"src/thumbnets/{file}")
    assert _models(changed) == set(load_params().settings)


def test_metrics_change_what_scores_and_not_what_prepares(copied, monkeypatch):
    changed = _changed(copied, monkeypatch, "src/thumbnets/evaluation/metrics.py")
    assert {"evaluate", "ensemble_select", "evaluate_ensemble"} <= changed
    assert not {"download", "preprocess"} & changed


def _module(file: Path) -> str:
    return module_name(file, Path("src"))


def test_every_library_that_the_code_imports_is_pinned(root, monkeypatch):
    monkeypatch.chdir(root)
    files = sorted(Path("src").rglob("*.py"))
    for file in [f for f in files if _module(f) not in WITHOUT_EFFECT]:
        imported = {name.split(".")[0] for name in imports(file, Path("src"))}
        imported -= {*sys.stdlib_module_names, "thumbnets", "__future__"}
        imported -= {"ray"}  # an extra, which only brings trainings elsewhere
        pinned = fingerprint([file], Path("src"), Path("requirements.lock"))["libraries"]
        assert imported <= set(pinned), f"{file}: {imported - set(pinned)} has no known release"


def test_the_registries_are_those_of_the_project():
    assert {name for name, of in vars(registry).items() if isinstance(of, registry.Registry)} == (
        REGISTRIES
    )


def test_what_has_no_effect_exists(root):
    for name in WITHOUT_EFFECT:
        assert (root / "src" / Path(*name.split(".")).with_suffix(".py")).is_file()
