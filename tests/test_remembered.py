"""What was found in code is remembered exactly as long as the code is the same."""

from pathlib import Path

import pytest

from thumbnets import paths, remembered
from thumbnets.remembered import forget_code

SOURCE = Path("src")


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Asks in a small project; returns the answers that had to be found so far."""
    monkeypatch.chdir(tmp_path)
    for name in ("src/package/main.py", "src/package/table.toml", "stages/run.py", "tests/a.py"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x = 1\n")
    found = []

    def of(question: str = "q", files: tuple[str, ...] = ("src/package/main.py",)) -> list[int]:
        def find():
            found.append(len(found))
            return {"number": found[-1]}, [Path(file) for file in files]

        forget_code()
        answer = remembered.remembered({"of": question}, SOURCE, find)
        assert answer == {"number": answer["number"]}
        return [answer["number"], len(found)]

    return of


def test_the_same_question_of_the_same_code_is_answered_from_memory(ask):
    assert ask() == ask() == [0, 1]
    assert ask("another") == [1, 2] and ask() == [0, 2]


@pytest.mark.parametrize(
    "file",
    [
        "src/package/main.py",
        "src/package/table.toml",  # a module may read what lies beside it
        "src/package/new.py",
        "src/package/.folder/table.toml",  # data below a module, as `fingerprint` counts it
        "stages/run.py",
        "stages/table.toml",
        "package.py",  # it comes first where Python runs
        "tests/new.py",
        "tests/new/deep.py",
    ],
)
def test_a_change_of_what_may_count_is_noticed(ask, file):
    ask()
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("x = 2\n")
    assert ask() == [1, 2]


def test_a_new_folder_may_be_a_package(ask):
    ask()
    Path("src/numpy").mkdir()
    assert ask() == [1, 2]


def test_what_does_not_count_is_not_looked_at(ask):
    ask()
    Path("tests/a.py").write_text("x = 2\n")  # no finding rests on its content
    for name in ("build/a.txt", ".venv/lib/a.py", "env/lib/a.py", "src/package/__pycache__/a.pyc"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("env/pyvenv.cfg").touch()
    Path("src/package/.main.py.swp").touch()
    assert ask() == [0, 1]


def test_a_finding_in_other_files_is_not_remembered(ask):
    assert ask(files=("src/package/main.py", "tests/a.py")) == [0, 1]
    assert ask(files=("tests/a.py",)) == [1, 2]
    Path("src/package/.mine.py").touch()  # hidden, so its content is not seen
    assert ask(files=("src/package/.mine.py",)) == [2, 3]
    assert ask(files=("src/package/.mine.py",)) == [3, 4]


def test_findings_in_earlier_code_are_removed(ask):
    ask()
    (earlier,) = paths.FOUND_IN_CODE.iterdir()
    Path("src/package/main.py").write_text("x = 2\n")
    ask()
    assert not earlier.exists() and len(list(paths.FOUND_IN_CODE.rglob("*.json"))) == 1


def test_an_edit_during_the_search_is_not_taken_for_the_code_before(ask):
    forget_code()

    def find():
        Path("src/package/main.py").write_text("x = 2\n")
        return {"x": 2}, []

    remembered.remembered({}, SOURCE, find)
    assert not paths.FOUND_IN_CODE.exists()


@pytest.mark.parametrize("cut", ["", '{"numb'])
def test_a_file_that_was_cut_off_is_found_anew(ask, cut):
    ask()
    (file,) = paths.FOUND_IN_CODE.rglob("*.json")
    file.write_text(cut)
    assert ask() == [1, 2] and ask() == [1, 2]


def test_where_nothing_can_be_written_it_is_found_each_time(ask):
    paths.FOUND_IN_CODE.parent.mkdir()
    paths.FOUND_IN_CODE.write_text("no folder")
    assert ask() == [0, 1] and ask() == [1, 2]


def test_files_that_come_and_go_make_no_error(ask, monkeypatch):
    monkeypatch.setattr(remembered, "_below", lambda *_, **__: ["src/package/gone.py"])
    monkeypatch.setattr(remembered.os.path, "isfile", lambda _: True)
    assert ask() == [0, 1] and ask() == [1, 2]
