"""Verdicts between two commits, as the pull request's comment shows them."""

import argparse
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from scipy import stats

from thumbnets.review import commands
from thumbnets.review.comparing import review
from thumbnets.review.history import history
from thumbnets.review.markdown import markdown
from thumbnets.review.snapshot import TREE, Snapshot


def between(project, base: str, head: str = TREE, margin: float = 0.3):
    project.save()
    return review(Snapshot(project.root, base), Snapshot(project.root, head), margin)


def verdicts(found) -> dict[str, str]:
    return {row.name: row.verdict for row in found.rows}


def command(capsys, *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    commands.add_review(parser)
    try:
        commands.review(parser.parse_args(words))
    except SystemExit as error:
        return error.code, capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_no_change(project, capsys):
    base = project.commit()
    found = between(project, base, project.commit("nothing"))
    assert list(verdicts(found)) == ["headline", "ensemble", "one", "two"]
    assert set(verdicts(found).values()) == {"no difference shown"}
    assert all(row.unchanged and row.equal and row.p == 1 for row in found.rows)
    assert not (found.changes or found.code or found.new or found.removed or found.retrained)
    assert "same images recognised" in markdown(found)
    assert not found.fails("worse") and not found.fails("unshown")


def test_the_tree_of_a_folder_below_the_root_of_its_repository(project):
    project.commit()
    below = project.root / "below"
    below.mkdir()
    (below / "params.yaml").write_text("other: 1\n")  # and one of that name lies above
    found = Snapshot(below, TREE).objects
    assert found == {"params.yaml": project.git("hash-object", "below/params.yaml")}


def test_one_model_changed(project):
    base = project.commit()
    project.params["models"]["two"]["lr"] = 0.05
    project.score("two", 150)
    found = between(project, base)
    assert verdicts(found) == {
        "headline": "no difference shown",
        "ensemble": "no difference shown",
        "one": "no difference shown",
        "two": "better",
    }
    (two,) = [row for row in found.rows if row.name == "two"]
    assert two.gain.mean == pytest.approx(0.05) and not two.equal
    # Fifty images more and none fewer. The other rows test nothing, so there is no correction.
    assert two.p == pytest.approx(2 / 2**50)
    [change] = found.changes
    assert (change.key, change.before, change.after, change.blocks) == (
        "lr",
        "0.2",
        "0.05",
        ["two"],
    )
    project.score("two", 260)
    worse = between(project, base)
    assert verdicts(worse)["two"] == "worse" and worse.fails("worse")
    assert not worse.fails("never")


def test_a_pair_that_is_twice_in_the_table_is_tested_once(project):
    base = project.commit()
    for name in ("headline", "one"):
        project.score(name, 92, model="one")
    project.score("two", 190)
    found = {row.name: row.p for row in between(project, base).rows}
    # McNemar of 8 and 0, of 10 and 0: smallest times two, then times one.
    assert found["two"] == pytest.approx(2 * 2 / 2**10)
    assert found["headline"] == found["one"] == pytest.approx(2 / 2**8)


def test_model_removed_and_new(project):
    project.params["models"]["three"] = {"arch": "cnn_b"}
    base = project.commit()
    project.params["pool"] = ["one", "three"]
    project.score("three", 50)
    (project.root / "metrics" / "models" / "two.json").unlink()
    found = between(project, base, project.commit())
    assert list(verdicts(found)) == ["headline", "ensemble", "one"]
    assert found.new == {"three": 0.95} and found.removed == {"two": 0.8}
    text = markdown(found)
    assert "- three: 95.00 %" in text and "- two: 80.00 %" in text


@pytest.mark.parametrize(
    ("value", "told"), [("NaN", "nan"), ("null", "null"), ("1e999", "inf"), ('"x"', "x")]
)
def test_a_metric_that_is_no_number(project, value, told):
    base = project.commit()
    project.write("metrics/models/two.json", f'{{"accuracy": {{"mean": {value}}}}}')
    found = between(project, base, project.commit())
    (two,) = [row for row in found.rows if row.name == "two"]
    assert two.verdict == "not comparable" and two.after.accuracy is None
    assert two.reason == f"metrics/models/two.json: accuracy.mean is {told}, not a number"
    assert found.fails("unshown") and not found.fails("worse")
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"labels": 1}, "other test images (1,000, then 1,000)"),
        ({"images": 500}, "other test images (1,000, then 500)"),
        ({"seeds": (0, 1)}, "other seeds (0, then 0, 1)"),
    ],
)
def test_other_test_images_or_seeds(project, other, reason):
    base = project.commit()
    project.score("two", 100, **other)
    found = between(project, base)
    assert {row.name: row.reason for row in found.rows}["two"] == reason
    assert verdicts(found)["one"] == "no difference shown"


@pytest.mark.parametrize(
    ("changed", "dataset", "paired"),
    [
        ({"seed": 1}, "a", False),  # another draw, in which each class has as many images
        ({}, "b", False),  # other files
        ({"size": 64}, "a", True),  # the same images, larger
    ],
)
def test_the_same_labels_may_be_of_other_images(project, changed, dataset, paired):
    project.params["data"] = {"name": "folder", "seed": 0, "size": 32}
    project.score("one", 100, sha256="x")
    project.score("headline", 100, model="one", sha256="x")
    project.lock("a")
    base = project.commit("before")
    project.params["data"] |= changed
    project.score("one", 50, sha256="y")
    project.score("headline", 50, model="one", sha256="y")
    project.score("ensemble", 80)
    project.lock(dataset)
    found = {row.name: row for row in between(project, base).rows}
    expected = ("better", None) if paired else ("not comparable", "other test images")
    assert {(found[name].verdict, found[name].reason) for name in ("one", "headline")} == {expected}
    assert found["ensemble"].reason is None  # of an older version, without the checksum
    project.commit("after")
    [_, point] = history(project.root, ["one"])[2].points
    assert point.verdict == expected[0 if paired else 1]


def test_two_hundred_changed_blocks_fit_into_a_comment(project):
    names = [f"block_{i:03}" for i in range(200)]
    project.params["pool"] = names
    project.params["models"] = {n: {"arch": "mlp4", "note": "x" * 2_000} for n in ["one", *names]}
    for name in names:
        project.score(name, 100)
    base = project.commit()
    for i, name in enumerate(names):
        changed = {f"key_{k}": f"{name} " * 90 for k in range(4)}
        project.params["models"][name] |= {"lr": i, "note": "y" * 2_000, **changed}
        project.score(name, 100 + i)
    found = between(project, base, project.commit())
    text = markdown(found)
    assert len(text) <= 60_000 and len(found.changes) > 1_000
    assert all(f"| {name} |".replace("_", r"\_") in text for name in names)  # verdicts come first
    assert "more lines: `thumbnets review` shows them" in text
    assert text.count("<details>") == text.count("</details>") == 1
    assert len(markdown(found, 5_000)) <= 5_000


def test_several_seeds_take_the_test_of_compare(project):
    project.score("two", 200, seeds=(0, 1, 2))
    base = project.commit()
    project.score("two", 150, seeds=(0, 1, 2))
    found = {row.name: row for row in between(project, base).rows}["two"]
    assert found.verdict == "better" and found.p > 2 / 2**50
    assert "paired test over test images and seeds" in markdown(between(project, base))


def test_groups_of_images_are_what_is_resampled(project):
    """Fifty images more are recognised, of two patients that have 25 each."""
    group = np.arange(1_000) // 25
    base = project.commit()  # of before there were groups
    project.score("two", 150, group=group)
    found = between(project, base)
    row = {row.name: row for row in found.rows}["two"]
    # Of 40 groups two have gained all their images: Student's test of 2 ones and 38 zeros.
    gain = np.repeat([1, 0], [2, 38])
    assert row.gain.mean == pytest.approx(0.05) and row.verdict == "no difference shown"
    assert row.p == pytest.approx(stats.ttest_1samp(gain, 0).pvalue)
    assert "Student's paired test over groups of test images for one training" in markdown(found)
    project.score("two", 150)
    assert verdicts(between(project, base))["two"] == "better"


def test_equal_within_the_margin(project):
    base = project.commit()
    project.score("two", 200, first=1)  # one image lost and one won
    found = {row.name: row for row in between(project, base, margin=0.3).rows}["two"]
    assert found.equal and not found.unchanged and found.verdict == "no difference shown"
    assert "equal within ±0.3 points" in markdown(between(project, base))
    assert not between(project, base).fails("unshown")
    assert between(project, base, margin=0.2).fails("unshown")


def test_metrics_that_were_not_committed(project):
    base = project.commit()
    project.git("rm", "-rq", "metrics")
    head = project.commit()
    found = between(project, base, head)
    remedy = "run `dvc repro` there and commit dvc.lock and metrics/"
    reason = f"metrics/ is missing in {head[:10]}: {remedy}"
    assert {row.reason for row in found.rows} == {reason}
    project.git("checkout", "-q", base, "--", "metrics")
    project.git("rm", "-qf", "metrics/correct/two.json")
    found = {row.name: row for row in between(project, base, project.commit()).rows}
    assert "metrics/correct/two.json is missing" in found["two"].reason
    assert found["two"].after.accuracy == 0.8 and found["one"].reason is None


def test_metrics_of_another_run_than_the_bits_or_the_lock(project):
    base = project.commit()
    project.write("metrics/models/two.json", '{"accuracy": {"mean": 0.9}}')
    found = {row.name: row.reason for row in between(project, base).rows}
    assert "from different runs" in found["two"]
    project.write(
        "dvc.lock", f"    outs:\n    - path: metrics/models/one.json\n      md5: {'0' * 32}"
    )
    found = {row.name: row.reason for row in between(project, base).rows}
    assert "does not match dvc.lock" in found["one"]
    bits = "metrics/correct/one.json"
    project.write("dvc.lock", f"    outs:\n    - path: {bits}\n      md5: {'0' * 32}")
    found = {row.name: row.reason for row in between(project, base).rows}
    assert f"{bits} does not match dvc.lock" in found["one"]
    project.write("metrics/summary.json", "{}")
    project.write("dvc.lock", f"    outs:\n    - path: metrics/summary.json\n      md5: {'0' * 32}")
    found = {row.name: row.reason for row in between(project, base).rows}
    for name in ("headline", "ensemble"):
        assert "metrics/summary.json does not match dvc.lock" in found[name]


def checksum(path: Path) -> str | None:
    """DVC's checksum of a file or folder, by DVC's own code; None if there is none."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    tree = Tree()
    for file in filter(Path.is_file, path.rglob("*")):
        if file.name == ".gitignore":  # .dvcignore names it
            continue
        md5 = hashlib.md5(file.read_bytes()).hexdigest()
        tree.add(file.relative_to(path).parts, None, HashInfo("md5", md5))
    tree.digest()
    return tree.hash_info.value if path.is_dir() else None


def lock_of(project) -> str:
    """A dvc.lock as after a run with the present params and code."""
    project.save()
    params = (project.root / "params.yaml").read_text()
    folders = "".join(
        f"    - path: {path}\n      hash: md5\n      md5: {md5}\n"
        for path in ("corrections", "requirements.lock", "src/thumbnets", "stages", "zoo")
        if (md5 := checksum(project.root / path))
    )
    inside = "".join(f"        {line}\n" for line in params.splitlines())
    return (
        "schema: '2.0'\nstages:\n  code:\n    cmd: x\n    deps:\n"
        f"{folders}    params:\n      params.yaml:\n{inside}  report:\n    cmd: x\n"
    )


def unrun(project, base: str) -> set[str | None]:
    head = Snapshot(project.root, project.commit())
    return {row.reason for row in review(Snapshot(project.root, base), head, 0.3).rows}


@pytest.mark.parametrize("ran_before", [False, True])
@pytest.mark.parametrize(
    ("what", "file", "content"),
    [
        ("params.yaml", None, None),
        ("zoo/", "zoo/a.yaml", "three: {arch: cnn_a, lr: 0.3}\n"),
        ("the code", "src/thumbnets/x.py", "x = 2\n"),
        ("requirements.lock", "requirements.lock", "torch==2.13.0\n"),
        ("corrections/a.csv", "corrections/a.csv", "1,one\n2,two\n"),
    ],
)
def test_what_changed_and_was_not_run_is_not_comparable(project, what, file, content, ran_before):
    project.params["models"]["two"] = {"base": "three"}
    project.params["data"]["corrections"] = "corrections/a.csv"
    for name, text in {
        "zoo/a.yaml": "three: {arch: cnn_a, lr: 0.2}\n",
        "zoo/.gitignore": "*.tmp\n",
        "src/thumbnets/x.py": "x = 1\n",
        "src/thumbnets/data/y.css": "b { }\n",
        "requirements.lock": "torch==2.12.1\n",
        "corrections/a.csv": "1,one\n",
    }.items():
        project.write(name, text)
    project.write("dvc.lock", lock_of(project))
    base = project.commit()
    if ran_before:  # something else that the branch has run
        project.write("zoo/b.yaml", "four: {arch: cnn_b}\n")
        project.write("src/thumbnets/z.py", "z = 1\n")
        project.write("dvc.lock", lock_of(project))
        assert unrun(project, base) == {None}
    if file:
        project.write(file, content)
    else:
        project.params["models"]["one"]["epochs"] = 3
    (reason,) = unrun(project, base)
    assert f"{what} of " in reason and "was changed but not run: run `dvc repro`" in reason
    project.write("dvc.lock", lock_of(project))
    assert unrun(project, base) == {None}


def test_params_that_the_base_has_not_run_are_no_change_of_the_head(project):
    project.write("dvc.lock", lock_of(project))
    project.params["models"]["two"]["lr"] = 0.3
    base = project.commit()
    project.score("two", 500)
    project.write("dvc.lock", lock_of(project))
    (reason,) = unrun(project, base)
    assert reason.startswith(f"params.yaml of {base[:10]} was changed but not run")


def run_lock(project, *, inputs: dict, seen: dict, data: str = "d" * 32) -> str:
    """A dvc.lock: `inputs` as written by stage `code`, `seen` as read by the stages after it."""
    tree = Tree()
    for name, md5 in inputs.items():
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5))
    tree.digest()

    def entry(path: str, md5: str) -> str:
        return f"    - path: {path}\n      hash: md5\n      md5: {md5}\n"

    code = lock_of(project).partition("  report:")[0]
    lock = f"{code}    outs:\n{entry('build/inputs', tree.hash_info.value)}"
    lock += f"  preprocess:\n    cmd: x\n    outs:\n{entry('data/processed', data)}"
    for stage, md5 in {**seen, "train@left-0 left.json": "e" * 32}.items():
        name, file = stage.split()
        lock += f"  {name}:\n    cmd: x\n    deps:\n{entry(f'build/inputs/{file}', md5)}"
        lock += entry("data/processed", "d" * 32)
    return lock


@pytest.mark.parametrize("end", ["whole", "code", "train", "data"])
def test_a_run_that_was_cut_short_is_not_comparable(project, end):
    old = {"one.json": "1" * 32, "two.json": "2" * 32, "stages/report.json": "3" * 32}
    new = old | {"two.json": "4" * 32} if end in ("code", "train") else old
    stages = ["train@one-0 one.json", "train@two-0 two.json", "evaluate@two two.json"]
    seen = {stage: old[stage.split()[1]] for stage in [*stages, "report stages/report.json"]}
    base = project.commit()
    if end == "train":  # and not yet evaluated
        seen["train@two-0 two.json"] = new["two.json"]
    data = {"data": "f" * 32} if end == "data" else {}
    project.write("dvc.lock", run_lock(project, inputs=new, seen=seen, **data))
    (reason,) = unrun(project, base)
    assert (reason is None) == (end == "whole")
    half = project.git("rev-parse", "HEAD")
    assert end == "whole" or f"the run of {half[:10]} did not finish" in reason
    project.write("dvc.lock", "")
    assert unrun(project, half) == {reason}  # and as a base


def test_comments_need_no_run(project):
    project.write("zoo/a.yaml", "three: {arch: cnn_a, lr: 0.2}\n")
    project.write("src/thumbnets/x.py", "x = 1\n")
    project.write("dvc.lock", lock_of(project))
    base = project.commit()
    project.write("zoo/a.yaml", "# new\nthree: {arch: cnn_a, lr: 0.2}\n")
    project.write("src/thumbnets/x.py", "x = 1  # one\n")
    assert unrun(project, base) == {None}


def test_code_and_inputs_that_changed(project):
    lock = "    deps:\n    - path: build/inputs/{}.json\n      hash: md5\n      md5: {}\n"
    project.write("dvc.lock", lock.format("one", "a" * 32) + lock.format("two", "b" * 32))
    project.write("src/thumbnets/training/loop.py", "x = 1")
    project.write("src/thumbnets/models/cnn_c.py", "y = 1")
    project.write("requirements.lock", "torch==2.11.0 \\")
    base = project.commit()
    project.write("dvc.lock", lock.format("one", "a" * 32) + lock.format("two", "c" * 32))
    project.write("src/thumbnets/training/loop.py", "x = 2")
    project.write("src/thumbnets/models/cnn_c.py", '"""A docstring."""\n\ny = 1  # a comment')
    project.write("stages/teach.py", "z = 1")
    project.write("requirements.lock", "torch==2.12.1 \\")
    found = between(project, base, project.commit())
    assert found.code == ["training loop", "stage teach (new)", "library torch 2.11.0 → 2.12.1"]
    assert found.retrained == ["two"]
    data = "    deps:\n    - path: data/processed/train\n      md5: {}\n"
    base = project.commit()
    project.write("dvc.lock", Path("dvc.lock").read_text() + data.format("d" * 32))
    assert between(project, base).retrained == ["one", "two"]


def test_a_branch_that_is_behind_is_compared_with_where_it_began(project, capsys):
    project.commit()
    project.git("checkout", "-qb", "branch")
    project.score("two", 150)
    branch = project.commit()
    project.git("checkout", "-q", "main")
    project.score("one", 10)  # main goes on
    project.commit()
    code, out = command(capsys, "main", "branch", "--json")
    assert code == 0
    by_name = {row["name"]: row["verdict"] for row in json.loads(out)["rows"]}
    assert by_name["two"] == "better" and by_name["one"] == "no difference shown"
    # GitHub's merge commit has both: it shows the same.
    project.git("merge", "-q", "--no-edit", branch)
    code, out = command(capsys, "HEAD^1", "HEAD", "--json")
    assert {row["name"]: row["verdict"] for row in json.loads(out)["rows"]} == by_name


def test_a_pipe_has_each_row_on_one_line(project, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(project.root)
    base = project.commit()
    _, said = command(capsys, base)
    assert re.search(r"^two .* no difference shown \(same images recognised\)", said, re.M)


def test_the_command(project, capsys):
    project.commit()
    project.score("two", 260)
    code, out = command(capsys, "main", "--md", "--fail-on", "worse")
    assert code == 1 and out.startswith("<!-- thumbnets review -->\n### Worse: two")
    code, out = command(capsys, "main")  # advisory by default
    assert code == 0 and "worse" in out and "working tree" in out
    with pytest.raises(ValueError, match="'elsewhere' is not a commit"):
        command(capsys, "elsewhere")
    with pytest.raises(ValueError, match="not a commit"):
        command(capsys, "main", "--", "--output=x")
    with pytest.raises(ValueError, match="is a range: name its ends apart"):
        command(capsys, "main..HEAD")
    with pytest.raises(ValueError, match="is a range: name its ends apart"):
        command(capsys, "main", "main..HEAD")
    for margin in ("-1", "nan", "inf"):
        with pytest.raises(ValueError, match="--margin must be points, 0 or more"):
            command(capsys, "main", "--margin", margin)


def test_commits_without_a_common_one(project, capsys):
    project.commit()
    project.git("checkout", "-q", "--orphan", "other")
    project.commit("another beginning")
    with pytest.raises(ValueError, match="no commit in common"):
        command(capsys, "main", "other")


def test_text_of_a_pull_request_is_no_markup(project):
    base = project.commit()
    project.params["data"]["name"] = "<img src=x> @team | `a` [b](https://c) #1"
    text = markdown(between(project, base, project.commit()))
    assert "<img" not in text and "@team" not in text and "https://" not in text
    assert r"\| \`a\` \[b\]" in text and r"\#1" in text
