"""Blocks of several files: bases, merging, and what is wrong with them in one line."""

import sys
from pathlib import Path

import pytest

from thumbnets import cli
from thumbnets.params import check_params, load_params
from thumbnets.yaml_files import merged, read_yaml
from thumbnets.zoo import file_of, read_blocks, read_zoo


@pytest.fixture
def zoo(tmp_path: Path):
    """Writes files of a zoo, by name, and returns their folder."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path

    return write


def test_maps_are_merged_key_by_key_and_lists_replaced():
    base = {"lr": 0.1, "augment": ["flip"], "patches": {"size": 7, "mode": "shared"}}
    over = {"augment": [], "patches": {"mode": "permute"}, "epochs": 3}
    assert merged(base, over) == {
        "lr": 0.1,
        "augment": [],
        "patches": {"size": 7, "mode": "permute"},
        "epochs": 3,
    }
    assert base == {"lr": 0.1, "augment": ["flip"], "patches": {"size": 7, "mode": "shared"}}


def test_a_map_with_a_name_is_another_function_and_one_without_changes_its_options():
    base = {"method": {"name": "local", "loss": "pred", "decoder": 1024}}
    other = {"method": {"name": "local", "loss": "sim"}}
    assert merged(base, other) == other
    changed = merged(base, {"method": {"loss": "sim"}})
    assert changed["method"] == {"name": "local", "loss": "sim", "decoder": 1024}
    assert merged(base, {"method": "supervised"}) == {"method": "supervised"}
    assert merged({"method": "supervised"}, other) == other


def test_bases_may_have_bases_in_any_file_and_params_win_over_the_zoo(zoo):
    folder = zoo(
        a="second: {base: first, lr: 0.2}\nthird: {base: second, epochs: 3}\n",
        b="first: {arch: mlp4, lr: 0.1, epochs: 1}\n",
    )
    blocks = read_blocks({"second": {"dropout": 0.3}, "mine": {"base": "third"}}, folder)
    assert blocks["second"] == {"arch": "mlp4", "lr": 0.2, "epochs": 1, "dropout": 0.3}
    assert blocks["mine"] == {"arch": "mlp4", "lr": 0.2, "epochs": 3, "dropout": 0.3}
    assert set(blocks) == {"first", "second", "third", "mine"}


def test_a_base_may_be_none(zoo):
    folder = zoo(a="first: {arch: mlp4}\nsecond: {base: first, lr: 1.0}\n")
    assert read_blocks({"second": {"base": None}}, folder)["second"] == {"lr": 1.0}


def test_a_fault_of_a_block_names_the_one_of_params_yaml_that_it_builds_on(root):
    """A user edits the base; what no longer fits is in a file that they have not touched."""
    content = read_yaml(root / "params.yaml")
    content["models"]["mlp4"] = {"arch": "mlp", "width": 300}
    with pytest.raises(ValueError, match="zoo/five.yaml: models.*Unknown key 'width'") as caught:
        check_params(content, "params.yaml", root / "zoo")
    assert str(caught.value).endswith("(It builds on mlp4 of params.yaml.)")


def test_hidden_files_are_passed_over(zoo):
    folder = zoo(a="first: {arch: mlp4}\n")
    (folder / "._a.yaml").write_bytes(b"\0\5")
    (folder / ".#a.yaml").symlink_to("nowhere")
    assert set(read_blocks({}, folder)) == {"first"} and file_of("second", folder) is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "x: {base: lenett}\nlenet: {}\n"}, "models.x.base: Unknown block 'lenett'. Did you"),
        ({"a": "x: {base: y}\n"}, "It is in .*a.yaml: change it there, or put its"),
        ({"a": "x: {base: [y]}\n"}, "models.x.base: Unknown block"),
        ({"a": "x: {base: x}\n"}, "models.x.base: blocks are each other's base: x -> x"),
        ({"a": "x: {base: y}\ny: {base: z}\nz: {base: x}\n"}, "x -> y -> z -> x"),
        ({"a": "x: {}\n", "b": "x: {}\n"}, "Block 'x' is in two files, .*a.yaml and .*b.yaml"),
        ({"a": "x: 3\n"}, "a.yaml: x must be a block of keys and values"),
        ({"a": "- x\n"}, "a.yaml must hold keys and values"),
        ({"a": "x: {a: 1\n"}, "a.yaml, line 2: not valid YAML"),
    ],
)
def test_what_is_wrong_is_one_line(zoo, files, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_blocks({}, zoo(**files))
    assert "\n" not in str(caught.value)


def test_no_block_of_the_project_repeats_what_its_base_says(root):
    zoo = read_zoo(root / "zoo")
    assert len(zoo) > 100
    for name, block in zoo.items():
        base = zoo.get(block.get("base"), {})
        assert not [key for key in block if key in base and block[key] == base[key]], name


def test_the_command_lists_blocks_with_their_file_network_and_method(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["thumbnets", "models", "--blocks"])
    cli.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["mlp4", "params.yaml", "mlp4", "supervised"]
    assert ["resnet20", "yardsticks", "resnet20", "supervised"] in rows
    files = [row[1] for row in rows]
    assert files == sorted(files, key=lambda file: (file != "params.yaml", file))
    assert len({row[0] for row in rows}) == len(rows) == len(load_params().models)
