"""Workspaces: git worktrees that leave the user's tree as it is."""

import configparser
import subprocess
from pathlib import Path

import pytest

from thumbnets import paths
from thumbnets.git import commit_of, git
from thumbnets.recipes.workspace import committed, workspace
from thumbnets.yaml_files import read_yaml


@pytest.fixture
def project(tmp_path) -> Path:
    """A repository with one commit, a DVC folder and a file of weights."""
    for name, content in {
        "src/code.py": "a = 1\n",
        "params.yaml": "seeds: [0]\n",
        ".gitignore": "/pretrained/\n/.dvc/config.local\n/.dvc/tmp\n",
        ".dvc/config": "[core]\n    analytics = false\n",
        "pretrained/some.npz": "weights",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    for command in (
        *("init -q -b main", "config user.name Test", "config user.email test@localhost"),
        *("add -A", "commit -qm first"),
    ):
        git(tmp_path, *command.split())
    return tmp_path


def commit(project: Path, content: str) -> str:
    """Another commit, with other code."""
    (project / "src/code.py").write_text(content)
    git(project, "commit", "-qam", "more")
    return commit_of(project, "HEAD")


def test_a_workspace_has_the_commit_the_cache_and_files_of_weights(project):
    with workspace("try", committed(project), project) as place:
        assert place.new and place.folder == project / ".dvc/tmp/recipes/try"
        assert (place.folder / "src/code.py").read_text() == "a = 1\n"
        assert (place.folder / "pretrained/some.npz").read_text() == "weights"
        settings = configparser.ConfigParser()
        settings.read(place.folder / ".dvc/config.local")
        assert settings["core"]["autostage"] == "true"  # or DVC tells the user to stage files
        assert settings["cache"]["dir"] == str(project / ".dvc/cache")
        place.write_params({"seeds": [1, 2], "lr": 1e-5, "augment": None})
        there = read_yaml(place.folder / paths.PARAMS)
        assert there == {"seeds": [1, 2], "lr": 1e-5, "augment": None}
        assert git(project, "status", "--porcelain") == b""
        place.remove()
    assert not place.folder.exists()
    assert len(git(project, "worktree", "list").splitlines()) == 1


def test_the_users_own_settings_of_dvc_stay_with_another_cache(project):
    (project / ".dvc/config.local").write_text(
        "['remote \"mine\"']\n    url = /somewhere\n[cache]\n    dir = ../elsewhere\n"
    )
    with workspace("try", committed(project), project) as place:
        text = (place.folder / ".dvc/config.local").read_text()
        assert "url = /somewhere" in text and f"dir = {project}/elsewhere" in text


def test_what_a_run_has_done_stays_until_another_commit(project):
    with workspace("try", committed(project), project) as place:
        (place.folder / "done").write_text("half")
        place.write_params({"seeds": [9]})
    first = committed(project)
    with workspace("try", first, project) as place:
        assert not place.new and (place.folder / "done").read_text() == "half"
        assert read_yaml(place.folder / paths.PARAMS) == {"seeds": [0]}
        place.write_params({"seeds": [9]})
    second = commit(project, "a = 2\n")
    with workspace("try", second, project) as place:
        assert (place.folder / "src/code.py").read_text() == "a = 2\n"
        assert (place.folder / "done").read_text() == "half"


def test_a_workspace_that_was_half_made_is_made_anew(project):
    (project / ".dvc/tmp/recipes/try").mkdir(parents=True)
    (project / ".dvc/tmp/recipes/try/.git").write_text("gitdir: /nowhere\n")
    with workspace("try", committed(project), project) as place:
        assert (place.folder / "src/code.py").is_file()


def test_the_second_of_two_runs_is_told(project):
    with workspace("try", committed(project), project):
        with pytest.raises(
            ValueError, match="try is already running in .*: wait for it, or end it"
        ):
            with workspace("try", committed(project), project):
                pass
        with workspace("another", committed(project), project):
            pass
    with workspace("try", committed(project), project):
        pass


def test_hooks_of_git_do_not_run(project):
    """Those of `dvc install` would check out files before the workspace has its cache."""
    hook = project / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with workspace("try", committed(project), project) as place:
        assert (place.folder / "src/code.py").is_file()


def test_a_profile_that_was_removed_is_gone(project):
    (project / "launch.toml").write_text("[slurm]\n")
    with workspace("try", committed(project), project) as place:
        assert (place.folder / "launch.toml").is_file()
    (project / "launch.toml").unlink()
    with workspace("try", committed(project), project) as place:
        assert not (place.folder / "launch.toml").exists()


def test_new_code_is_refused_whatever_git_is_told_to_show(project):
    git(project, "config", "status.showUntrackedFiles", "no")
    (project / "src/new.py").write_text("b = 1\n")
    with pytest.raises(ValueError, match="uncommitted changes"):
        committed(project)


@pytest.mark.parametrize("name", ["src/code.py", "src/new.py", "params.yaml"])
def test_uncommitted_code_is_refused(project, name):
    (project / name).write_text("b = 1\n")
    with pytest.raises(ValueError, match=f"{name}: uncommitted changes; a result names a commit"):
        committed(project)


def test_other_uncommitted_files_are_no_matter(project):
    (project / "recipes").mkdir()
    (project / "recipes/try.yaml").write_text("title: A\n")
    assert committed(project) == commit_of(project, "HEAD")


def test_a_command_that_fails_is_named(project):
    with workspace("try", committed(project), project) as place:
        with pytest.raises(ValueError, match="`no_such_module now` failed in .*goes on from there"):
            place.run("no_such_module", "now")


def test_a_child_that_outlives_its_run_keeps_the_workspace(project):
    with workspace("try", committed(project), project) as place:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[place.lock])
    try:
        with pytest.raises(ValueError, match="is already running"):
            with workspace("try", committed(project), project):
                pass
    finally:
        child.kill()
        child.wait()


def test_names_with_dots_are_two(project):
    with workspace("v1.5", committed(project), project):
        with workspace("v1.6", committed(project), project):
            pass


def test_who_runs_already_is_named(project):
    with workspace("try", committed(project), project) as place:
        with subprocess.Popen(["sleep", "60"], cwd=place.folder) as left:
            with pytest.raises(
                ValueError, match=rf"is already running in .* \(processes {left.pid}\)"
            ):
                with workspace("try", committed(project), project):
                    pass
            left.kill()


def test_a_link_to_weights_is_followed(project):
    (project / "elsewhere").write_text("of a link")
    (project / "pretrained/link.npz").symlink_to("../elsewhere")
    with workspace("try", committed(project), project) as place:
        assert (place.folder / "pretrained/link.npz").read_text() == "of a link"


def test_a_recipe_that_is_not_committed_is_refused(project):
    (project / "recipes").mkdir()
    (project / "recipes/new.yaml").write_text("title: new\n")
    committed(project)
    with pytest.raises(ValueError, match="^recipes/.*: uncommitted changes"):
        committed(project, Path("recipes/new.yaml"))
    git(project, "add", "-A")
    git(project, "commit", "-qm", "recipe")
    assert committed(project, "recipes/new.yaml") == commit_of(project, "HEAD")


def test_a_project_below_the_root_of_its_repository_is_refused(project):
    with pytest.raises(ValueError, match="The project is src/ of a larger git repository"):
        committed(project / "src")


def test_only_an_unknown_commit_is_told_as_one(project, monkeypatch):
    with pytest.raises(ValueError, match="'nothing' is not a commit of this repository: fetch"):
        commit_of(project, "nothing")
    said = b"fatal: detected dubious ownership in repository\nTo add an exception, call:\n"
    done = subprocess.CompletedProcess([], 128, b"", said)
    monkeypatch.setattr("thumbnets.git.subprocess.run", lambda *_, **__: done)
    with pytest.raises(ValueError, match="^git rev-parse: fatal: detected dubious ownership"):
        commit_of(project, "main")
