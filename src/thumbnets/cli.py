"""The command `thumbnets`."""

import argparse
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import thumbnets
from thumbnets import paths, runtime
from thumbnets.compare_command import add_compare, compare
from thumbnets.completion import add_completion, completion
from thumbnets.data.arrays import Meta, read_meta
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.demo.commands import add_demo, demo
from thumbnets.doctor.commands import NO_PROJECT, add_doctor, doctor
from thumbnets.launch.commands import add_jobs, add_train, jobs, train
from thumbnets.model_commands import (
    add_export,
    add_predict,
    export,
    predict,
)
from thumbnets.params import Params, load_params
from thumbnets.recipes.commands import add_commands as add_recipe_commands
from thumbnets.registry import NETWORKS, library_names, unknown
from thumbnets.review.commands import add_history, add_review, history, review
from thumbnets.stage import run
from thumbnets.zoo import families

_OF_A_PROJECT = {"train", "jobs", "compare", "recipe", "results", "verify", "review", "history"}


def models(arguments: argparse.Namespace) -> None:
    """List networks (name, family, parameters for 28x28x1 and 10 classes, source), or blocks."""
    if arguments.blocks:
        _list_blocks(load_params())
        return
    rows = [
        (entry.name, entry.metadata.family, f"{entry.metadata.parameters:,}", entry.metadata.source)
        for entry in NETWORKS.entries.values()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, family, parameters, source in rows:
        print(f"{name:<{widths[0]}}  {family:<{widths[1]}}  {parameters:>{widths[2]}}  {source}")
    for library in NETWORKS.libraries:
        names = textwrap.fill(", ".join(library_names(library)), 100)
        print(f"\n{library}/NAME, fitted to the images, with NAME one of\n{names}")


def _list_blocks(params: Params) -> None:
    """All blocks by the file that has them: name, file of the zoo, network, method."""
    of_zoo = families(paths.ZOO)
    rows = [
        (name, of_zoo.get(name, paths.PARAMS.name), block.arch, block.train.method.name)
        for name, block in params.settings.items()
    ]
    rows.sort(key=lambda row: (row[1] != paths.PARAMS.name, row[1]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def fetch(arguments: argparse.Namespace) -> None:
    """Fetch a data set or a network's published weights, and verify their checksums."""
    if arguments.dataset.startswith("torchvision/"):
        from thumbnets.fetching import fetch_weights  # here, since importing torch takes seconds

        fetch_weights(arguments.dataset)
        return
    dataset = get_dataset(arguments.dataset)
    if isinstance(dataset, OwnImages):
        raise ValueError(
            f"{dataset.name}: your own images need no fetching: put them into data.path."
        )
    download(dataset, paths.fetched(dataset.name), mirror=runtime.mirror())


def describe(arguments: argparse.Namespace) -> None:
    """Show the layers of a network, its receptive field and its cost per image."""
    import torch

    from thumbnets.evaluation.cost import describe
    from thumbnets.methods.base import build_method
    from thumbnets.models import create_model
    from thumbnets.report.terminal import field_table, layer_table
    from thumbnets.trial import check_block, check_network

    params, name = load_params(), arguments.model
    # Names of a library's networks are left to the registry, which knows the nearest ones.
    if name not in params.models and name not in NETWORKS and "/" not in name:
        known = dict.fromkeys([*params.models, *NETWORKS.entries])
        raise ValueError(unknown("model or network", name, known))
    meta = _meta_of(arguments.dataset or params.data.name)
    block, shape = params.settings.get(name), (meta.channels, meta.image_size, len(meta.classes))
    tried = check_block(block, *shape) if block else check_network(name, {}, *shape)
    with torch.device("meta" if tried else "cpu"):  # on meta nothing is computed
        network = build_method(block, meta).network() if block else create_model(name, **meta.shape)
    found = describe(network, (meta.channels, meta.image_size, meta.image_size))
    if arguments.json:
        print(json.dumps({"model": name, **found.as_dict()}, indent=2))
    else:
        print(layer_table(found), field_table(found), sep="\n\n")


def _meta_of(dataset: str) -> Meta:
    """Metadata of the processed images if they are of that data set; else only its shape."""
    meta = paths.TRAIN / "meta.json"
    if meta.is_file() and (of_images := read_meta(meta)).dataset == dataset:
        return of_images
    shape = get_dataset(dataset).shape
    return Meta(
        dataset,
        classes=[""] * shape["num_classes"],
        channels=shape["in_channels"],
        image_size=shape["image_size"],
        mean=[],
        std=[],
        counts=[],
        sha256="",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="thumbnets", description=__doc__)
    version = f"thumbnets {thumbnets.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(function: Callable) -> argparse.ArgumentParser:
        summary = function.__doc__.splitlines()[0]
        added = commands.add_parser(function.__name__, help=summary, description=summary)
        added.set_defaults(function=function)
        return added

    listing = command(models)
    listing.add_argument(
        "--blocks", action="store_true", help="list the blocks of params.yaml and zoo/"
    )
    name = "a data set, as in data.name of params.yaml, or torchvision/NETWORK"
    command(fetch).add_argument("dataset", help=name)
    add_train(command(train))
    add_jobs(command(jobs))
    add_predict(command(predict))
    description = command(describe)
    description.add_argument("model", metavar="MODEL", help="a block of params.yaml, or a network")
    description.add_argument("--dataset", help="whose images it takes (default: data.name)")
    description.add_argument("--json", action="store_true", help="all numbers as JSON")
    add_export(command(export))
    add_compare(command(compare))
    add_recipe_commands(command)
    add_review(command(review))
    add_history(command(history))
    add_doctor(command(doctor))
    add_demo(command(demo))
    add_completion(command(completion), parser)
    return parser


def _enter_project(arguments: argparse.Namespace) -> None:
    """Work in the root of the project that the current folder belongs to; paths stay the user's.

    Raises:
        ValueError: It belongs to none, but the command needs one.
    """
    here = Path.cwd()
    roots = [folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()]
    if not roots and arguments.command in _OF_A_PROJECT:
        raise ValueError(NO_PROJECT)
    if not roots or roots[0] == here:
        return
    for name, value in vars(arguments).items():
        if isinstance(value, Path):
            setattr(arguments, name, here / value)
        elif isinstance(value, list) and all(isinstance(item, Path) for item in value):
            setattr(arguments, name, [here / item for item in value])
    os.chdir(roots[0])


def main() -> None:
    """Entry point."""
    run(_carry_out, _parser().parse_args())


def _carry_out(arguments: argparse.Namespace) -> None:
    _enter_project(arguments)
    arguments.function(arguments)


if __name__ == "__main__":
    main()
