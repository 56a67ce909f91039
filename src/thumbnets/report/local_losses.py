"""The table of local error signals, run anew: local_losses.toml has its trainings.

`make results-local` asks this module for the networks of a data set, for the params of each
network's experiment, and then for the table.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from thumbnets import paths
from thumbnets.artifacts import read_json
from thumbnets.data.datasets import get_dataset
from thumbnets.evaluation.summaries import accuracy_interval
from thumbnets.params import Params, in_all_places, load_params
from thumbnets.registry import unknown
from thumbnets.report import tables
from thumbnets.report.filters import decimals, interval, plural, thousands
from thumbnets.report.published import find_published
from thumbnets.stage import run

_TABLE = Path(__file__).with_name("local_losses.toml")
_LOSSES = {"": "global", "_pred": "pred", "_sim": "sim", "_predsim": "predsim"}
_CUTOUT = "_predsim_cutout"
_COLUMNS = {  # and how they are aligned
    "Block": ":--",
    "Loss": ":--",
    "Parameters": "--:",
    "Seeds": "--:",
    "Error, %": "--:",
    "± sd": "--:",
    "95 % interval": "--:",
    "Published": "--:",
    "Epochs": "--:",
    "Published with": "--:",
}

Settings = dict[str, Any]


def networks(dataset: str) -> list[str]:
    """Names of the networks that the source trains on a data set.

    Raises:
        ValueError: There are none.
    """
    return [network["name"] for network in _find(dataset)["networks"]]


def blocks(dataset: str, name: str, epochs: int | None = None) -> dict[str, Settings]:
    """The trainings of one network, as blocks for params.yaml.

    Args:
        dataset: As in params.yaml.
        name: One of `networks`.
        epochs: Length of each; None for the source's. Milestones keep their share of the way.

    Raises:
        ValueError: The data set or the network is not in the table.
    """
    if name not in networks(dataset):
        raise ValueError(unknown(f"network of local losses for {dataset}", name, networks(dataset)))
    network = next(n for n in _find(dataset)["networks"] if n["name"] == name)
    suffixes = [suffix for suffix in _LOSSES if suffix or not network.get("bio")]
    if "cutout" in network:
        suffixes.append(_CUTOUT)
    return {name + suffix: _block(_find(dataset), network, suffix, epochs) for suffix in suffixes}


def _block(table: Settings, network: Settings, suffix: str, epochs: int | None) -> Settings:
    with_cutout = suffix == _CUTOUT
    loss = "predsim" if with_cutout else _LOSSES[suffix]
    full, bio = table["epochs"], network.get("bio", False)
    milestones = _read()["milestones"][str(full)]
    epochs = epochs or full
    method = {
        "name": "local",
        "loss": loss,
        "beta": 0.01 if bio else 0.99,
        "decoder": network.get("decoder", 4096),
        "bio": bio,
    }
    compares = loss in ("sim", "predsim")  # the images of a batch with one another
    if compares and "few_classes" in table:
        method["few_classes"] = table["few_classes"]
    dropout = network.get("cutout_dropout", network["dropout"])
    return {
        "arch": network["arch"],
        **network.get("options", {}),
        "activation": "leaky_relu" if compares else "relu",
        "dropout": dropout if with_cutout else network["dropout"],
        "method": "supervised" if loss == "global" else method,
        "threads": 1,
        "epochs": epochs,
        "optimizer": "adam",
        "lr": network["lr"],
        "weight_decay": 0.0,
        "schedule": {
            "name": "multi_step",
            "milestones": sorted({max(1, round(m * epochs / full)) for m in milestones}),
            "gamma": 0.25,
        },
        "augment": table["augment"]
        + ([{"name": "cutout", "size": network["cutout"]}] if with_cutout else []),
    }


def overrides(dataset: str, name: str, epochs: int | None) -> list[str]:
    """Arguments of `dvc exp run` that put a network's trainings into all places of the pool."""
    found = blocks(dataset, name, epochs)
    places = in_all_places(list(found))
    changes = [f"data.name={dataset}", f"model={places[0]}", f"pool={_as_override(places)}"]
    changes += [
        f"++models.{block}.{key}={_as_override(value)}"
        for block, settings in found.items()
        for key, value in settings.items()
    ]
    return [argument for change in changes for argument in ("-S", change)]


def _as_override(value: Any) -> str:
    """A value in the grammar of Hydra, which DVC's -S has."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_override(of)}" for key, of in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_override, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def table(params: Params, folder: Path) -> str:
    """Errors of all networks of a data set beside the published ones, in Markdown.

    Args:
        params: Of the last run.
        folder: With the metrics of the blocks, a file each; those that are not there were not run.
    """
    dataset = params.data.name
    rows = [
        _row(params, block, settings, folder)
        for network in networks(dataset)
        for block, settings in blocks(dataset, network).items()
    ]
    lines = [
        f"# Local error signals: {get_dataset(dataset).title}",
        "",
        f"Test errors in percent, means over {plural(len(params.seeds), 'seed')}; intervals are 95 "
        f"%, {tables.intervals(len(params.seeds))}. Learnt from {params.split.folds - 1} of "
        f"{params.split.folds} folds of the training images, the published ones (Nøkland and "
        "Eidnes 2019, one run each) from all. Parameters are of the network alone, without the "
        "heads of the local losses.",
        "",
        tables.table(_COLUMNS, rows),
    ]
    return "\n".join(lines) + "\n"


def _row(params: Params, block: str, source: Settings, folder: Path) -> list[str]:
    path, full = folder / paths.metrics(block).name, str(source["epochs"])
    loss = source["method"]["loss"] if isinstance(source["method"], dict) else "global"
    loss += " with cutout" if block.endswith(_CUTOUT) else ""
    published = find_published(params.data.name, source["arch"], patches=False, block=block)
    theirs = decimals(published and 100 * (1 - published.accuracy), 2)
    if block not in params.models or not path.is_file():
        return [block, loss, *["–"] * 5, theirs, "not run", full]
    scores = read_json(path)
    accuracy, accurate = scores["accuracy"], accuracy_interval(scores)
    return [
        block,
        loss,
        thousands(scores["parameters"]),
        str(scores["seeds"]),
        decimals(100 * (1 - accuracy["mean"]), 2),
        decimals(accuracy["sd"] and 100 * accuracy["sd"], 2),
        interval({"low": 1 - accurate.high, "high": 1 - accurate.low}),
        theirs,
        str(params.settings[block].train.epochs),
        full,
    ]


def _find(dataset: str) -> Settings:
    tables = {table["name"]: table for table in _read()["dataset"]}
    if dataset not in tables:
        raise ValueError(unknown("data set of local losses", dataset, tables))
    return tables[dataset]


def _read() -> Settings:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


def _length(epochs: str) -> int | None:
    if epochs == "source":
        return None
    if not epochs.isdecimal() or not int(epochs):
        raise ValueError(f"EPOCHS must be a number above 0, or `source`, got {epochs!r}.")
    return int(epochs)


def main(what: str, dataset: str = "", network: str = "", epochs: str = "source") -> None:
    """`networks DATA`; `params DATA NETWORK EPOCHS`, one argument a line; `table` of the run."""
    if what == "networks":
        print(*networks(dataset))
    elif what == "params":
        print(*overrides(dataset, network, _length(epochs)), sep="\n")
    else:
        print(table(load_params(), paths.METRICS))


if __name__ == "__main__":
    run(main, *sys.argv[1:])
