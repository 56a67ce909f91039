"""Values over commits and experiments, from git's objects alone."""

import argparse
import hashlib
import io
import json
from xml.etree import ElementTree

import pytest
from rich.console import Console

from thumbnets import cli
from thumbnets.artifacts import write_json
from thumbnets.review import commands
from thumbnets.review.commands import _commit
from thumbnets.review.history import history
from thumbnets.review.history_pages import chart, drawing, markdown, page, show


def summarise(project, model: float, ensemble: float = 0.9, name: str = "one") -> None:
    """Write the summary of a run."""
    sides = {"model": model, "ensemble": ensemble}
    summary = {
        side: {"accuracy": a, "accuracy_ci_low": a - 0.01, "accuracy_ci_high": a + 0.01}
        for side, a in sides.items()
    }
    summary["model"]["name"] = name
    write_json(project.root / "metrics" / "summary.json", summary)


def run(project, wrong: int, message: str) -> str:
    project.score("headline", wrong, model="one")
    summarise(project, 1 - wrong / 1_000)
    return project.commit(message)


def test_each_value_stands_with_its_first_commit_and_a_verdict(project):
    first = run(project, 100, "first")
    project.write("README.md", "no metrics")
    project.commit("no metrics")
    project.write("metrics/other.json", "{}")
    project.commit("other metrics")
    better = run(project, 50, "better")
    alike = run(project, 52, "alike")
    headline, ensemble = history(project.root, [])
    assert [p.commit.name for p in headline.points] == [first, better, alike]
    assert [p.verdict for p in headline.points] == [None, "better", "no difference shown"]
    assert headline.points[1].gain.mean == pytest.approx(0.05)
    assert headline.points[1].value.low == pytest.approx(0.94)
    assert [p.commit.name for p in ensemble.points] == [first]
    project.git("rm", "-rq", "--cached", "metrics/correct")
    run_without_bits = run(project, 20, "without bits")
    assert history(project.root, [])[0].points[-1].commit.name == run_without_bits


def test_values_on_other_test_images_stand_apart(project):
    run(project, 100, "first")
    project.score("headline", 100, model="one", labels=1)
    summarise(project, 0.95)
    project.commit("other data")
    run_again = history(project.root, [])[0]
    assert [(p.gain, p.verdict) for p in run_again.points] == [(None, None)] + [
        (None, "other test images")
    ]
    assert chart(run_again) == "▁ █ 95.00 % (lowest 90.00 %, highest 95.00 %)"
    picture = ElementTree.fromstring(drawing(run_again))
    assert len(picture.findall("polyline")) == 2  # nothing joins them
    assert [text.text for text in picture.findall("text")] == ["89.00 %", "96.00 %"]


def test_a_value_that_the_run_did_not_give_is_told(project):
    run(project, 100, "first")
    project.write("dvc.lock", f"    outs:\n    - path: metrics/summary.json\n      md5: {'0' * 32}")
    summarise(project, 0.99)
    project.commit("by hand")
    headline, _ = history(project.root, [])
    assert [(p.gain, p.verdict) for p in headline.points] == [
        (None, None),
        (None, "differs from dvc.lock"),
    ]


def test_a_merged_value_stands_with_the_commit_that_ran_it(project):
    lock = "    outs:\n    - path: metrics/summary.json\n      md5: "
    run(project, 100, "first")
    project.write("dvc.lock", f"{lock}{'0' * 32}")
    run(project, 50, "merge")
    md5 = hashlib.md5((project.root / "metrics/summary.json").read_bytes()).hexdigest()
    project.write("dvc.lock", f"{lock}{md5}")
    ran = project.commit("dvc repro")
    project.write("dvc.lock", f"{lock}{md5}\n")
    project.commit("another run")
    headline, _ = history(project.root, [])
    assert [p.commit.subject for p in headline.points] == ["first", "dvc repro"]
    assert headline.points[1].commit.name == ran
    assert headline.points[1].verdict == "better"


def test_a_value_without_its_recognised_images_is_told(project):
    run(project, 100, "first")
    bits = (project.root / "metrics/correct/headline.json").read_text()
    run(project, 300, "second")
    project.write("metrics/correct/headline.json", bits)  # that was not committed
    path = "metrics/correct/headline.json"
    project.write("dvc.lock", f"    outs:\n    - path: {path}\n      md5: {'0' * 32}")
    project.git("add", "-A")
    project.git("commit", "-q", "--amend", "-m", "second")
    headline, _ = history(project.root, [])
    assert headline.points[-1].verdict == "differs from dvc.lock"


def test_a_merged_branch_counts_by_its_merge_alone(project):
    run(project, 100, "base")
    project.git("checkout", "-qb", "other")
    run(project, 150, "other")
    project.git("checkout", "-q", "main")
    run(project, 60, "ours")
    project.git("merge", "-q", "-s", "ours", "-m", "merged", "other")
    assert [p.commit.subject for p in history(project.root, [])[0].points] == ["base", "ours"]
    run(project, 50, "later")
    project.git("checkout", "-q", "other")
    run(project, 170, "more")
    project.git("merge", "-q", "-X", "theirs", "-m", "took theirs", "main")
    points = history(project.root, [])[0].points
    assert [p.commit.subject for p in points] == ["base", "other", "more", "took theirs"]


def test_an_experiment_is_compared_with_its_baseline(project, monkeypatch, capsys):
    base = run(project, 100, "base")
    project.git("checkout", "-q", "--detach")
    tried = run(project, 150, "tried")
    project.git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/brisk-owl", tried)
    project.git("update-ref", "refs/exps/exec/EXEC_HEAD", tried)
    project.git("checkout", "-q", "main")
    run(project, 60, "later")
    points = history(project.root, [])[0].points
    assert [(p.commit.subject, p.verdict) for p in points] == [
        ("base", None),
        ("later", "better"),
        ("brisk-owl", "worse"),
    ]
    assert _commit(project.root, "brisk-owl") == (tried, True)
    assert _commit(project.root, "main") == (project.git("rev-parse", "main"), False)
    project.write("dvc.yaml", "stages: {}")
    monkeypatch.setattr("sys.argv", ["thumbnets", "review", "brisk-owl", "--json"])
    cli.main()  # not compared with the commit that the experiment started from
    [headline, *_] = json.loads(capsys.readouterr().out)["rows"]
    assert headline["gain"]["mean"] == pytest.approx(0.09) and headline["verdict"] == "better"
    with pytest.raises(ValueError, match="'brisk-own' is not a commit of this repository"):
        _commit(project.root, "brisk-own")


def test_models_in_old_and_new_places_and_what_is_no_number(project):
    project.score("two", 100)
    (project.root / "metrics" / "models" / "two.json").rename(project.root / "metrics" / "two.json")
    project.commit("old place")
    for damaged in ("{", "[]", '{"accuracy": {"mean": NaN}}', '{"accuracy": null}'):
        project.write("metrics/two.json", damaged)
        project.commit("damaged")
    project.git("rm", "-q", "metrics/two.json")
    project.score("two", 50)
    project.commit("new place")
    two = history(project.root, ["two"])[2]
    assert [(p.commit.subject, p.value.accuracy) for p in two.points] == [
        ("old place", 0.9),
        ("new place", 0.95),
    ]


def test_a_folder_below_the_repository(project, monkeypatch):
    run(project, 100, "first")
    (project.root / "below").mkdir()
    names = ("metrics", "params.yaml")
    for name in names:
        project.git("mv", name, f"below/{name}")
    project.git("commit", "-qm", "moved")
    assert [p.commit.subject for p in history(project.root / "below", [])[0].points] == ["moved"]


def test_a_subject_may_have_odd_line_ends(project):
    run(project, 100, "first\u2028half \x0b second\x85third")
    found = history(project.root, [])[0].points
    assert [p.commit.subject[:5] for p in found] == ["first"]


def test_pages(project):
    run(project, 100, "first <b>@team</b> | x")
    run(project, 50, "second")
    found = history(project.root, [])
    assert chart(found[0]) == "▁█ 95.00 % (lowest 90.00 %, highest 95.00 %)"
    text = markdown(found)
    assert "<b>" not in text and "@team" not in text and "better" in text
    whole = page(found)
    assert "<b>" not in whole and "&lt;b&gt;@team" in whole and "http" not in whole
    picture = ElementTree.fromstring(drawing(found[0]))
    assert len(picture.findall("g")) == 2 and picture.find("polyline") is not None


def test_the_command(project, capsys):
    run(project, 100, "first")
    parser = argparse.ArgumentParser()
    commands.add_history(parser)
    commands.history(parser.parse_args(["--json", "--model", "two"]))
    series = json.loads(capsys.readouterr().out)["series"]
    assert [one["name"] for one in series] == ["headline", "ensemble", "two"]
    commands.history(parser.parse_args([]))
    assert "headline" in capsys.readouterr().out
    with pytest.raises(ValueError, match="metrics of 'none'"):
        commands.history(parser.parse_args(["--model", "none"]))


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_cuts_no_number_and_no_verdict(project, width):
    run(project, 100, "first " + 80 * "x")
    run(project, 50, "second")
    text = io.StringIO()
    show(history(project.root, []), Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = "\n".join(lines)
    for whole in ("89.00 to 91.00 %", "94.00 to 96.00 %", "+5.00 (+3.6", "better", "second"):
        assert whole in shown
    assert any("95.00 %" in line and "better" in line for line in lines) == (width == 200)
