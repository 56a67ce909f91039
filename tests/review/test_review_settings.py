"""Settings of a run, put together from params.yaml and zoo/, and what two runs have differently."""

import pytest

from thumbnets.review.settings import changes, read_run
from thumbnets.review.snapshot import TREE, Snapshot


def run_of(project, commit: str = TREE):
    if commit == TREE:
        project.commit()
    return read_run(Snapshot(project.root, commit))


def told(project, base: str) -> list[tuple]:
    found = changes(run_of(project, base), run_of(project))
    return [(c.key, c.before, c.after, c.blocks) for c in found]


def test_blocks_are_put_together(project):
    project.params["pool"] = ["deep"]
    project.params["models"] = {"deep": {"lr": 0.5, "method": {"encoder": "seen"}}}
    project.write(
        "zoo/nets.yaml",
        "root: {arch: cnn_a, lr: 0.3, schedule: {name: step, every: 3}, epochs: 9}\n"
        "deep: {base: root, schedule: {name: cosine}, patches: {size: 2}}\n"
        "seen: {arch: vgg, base: seen}\n"
        "unused: {arch: x}\n",
    )
    found = run_of(project)
    assert found.blocks["deep"] == {
        "arch": "cnn_a",
        "lr": 0.5,  # params.yaml over the zoo over the base
        "epochs": 9,
        "schedule": {"name": "cosine"},  # named: replaced whole
        "patches": {"size": 2},
        "method": {"encoder": "seen"},
    }
    assert found.blocks["one"] is None  # the headline that no file has
    assert list(found.blocks) == ["one", "deep", "seen"]


def test_only_blocks_of_the_run_are_told_and_equal_changes_once(project):
    project.params["models"]["aside"] = {"arch": "mlp4", "lr": 1}
    base = project.commit()
    project.params["train"] |= {"lr": 0.3, "epochs": 3}
    project.params["models"]["aside"]["lr"] = 2
    project.params["models"]["two"]["dropout"] = True
    project.params["data"]["size"] = 48
    assert told(project, base) == [
        ("data.size", "–", "48", []),
        ("epochs", "2", "3", ["one", "two"]),
        ("lr", "0.1", "0.3", ["one"]),  # two has its own
        ("dropout", "–", "true", ["two"]),
    ]


def test_a_map_in_place_of_null_is_one_change(project):
    project.params["models"]["one"]["average"] = None
    project.params["models"]["two"]["average"] = {"name": "ema", "every": 2}
    base = project.commit()
    project.params["models"]["one"]["average"] = {"name": "swa"}
    project.params["models"]["two"]["average"]["every"] = 3
    assert told(project, base) == [
        ("average", "null", '{"name": "swa"}', ["one"]),
        ("average.every", "2", "3", ["two"]),
    ]


def test_long_values_are_cut(project):
    project.params["models"]["one"]["augment"] = ["a" * 500]
    base = project.commit()
    project.params["models"]["one"]["augment"] = ["a" * 500 + "b"]
    [(key, before, after, _)] = told(project, base)
    assert key == "augment" and len(before) == 80 and after == "(differs further on)"


def test_a_block_that_moves_to_the_zoo_is_no_change(project):
    base = project.commit()
    project.write("zoo/a.yaml", "one: {arch: mlp4}")
    del project.params["models"]["one"]
    assert told(project, base) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "must hold keys and values"),
        ("[" * 1_200, "not valid YAML"),
        (
            "a0: &a0 [1,1,1,1,1,1,1,1,1]\n"
            + "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)),
            "at most 20 levels and 100,000 values",
        ),
    ],
)
def test_params_that_are_damaged(project, text, message):
    project.write("params.yaml", text)
    with pytest.raises(ValueError, match=message):
        read_run(Snapshot(project.root, TREE))


def test_params_that_are_missing(project):
    with pytest.raises(ValueError, match=r"params\.yaml is missing in working tree"):
        read_run(Snapshot(project.root, TREE))
