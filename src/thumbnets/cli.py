"""The command `thumbnets`."""

import argparse
import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import thumbnets
from thumbnets import paths, runtime
from thumbnets.checks import check_watched
from thumbnets.data.arrays import Meta, read_meta
from thumbnets.data.datasets import OwnImages, get_dataset
from thumbnets.data.download import download
from thumbnets.data.names import shown
from thumbnets.doctor.commands import add_doctor, doctor, mend_locks
from thumbnets.feasible import check_feasible
from thumbnets.launch.local import missing_trainings, train_ahead
from thumbnets.params import Params, load_params
from thumbnets.recipes.commands import add_commands as add_recipe_commands
from thumbnets.registry import NETWORKS, library_names, unknown
from thumbnets.review.commands import add_history, add_review, history, review
from thumbnets.stage import run
from thumbnets.store import project_store


def models(arguments: argparse.Namespace) -> None:
    """List all networks: name, family, parameters on 28x28x1 with 10 classes, source."""
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


def fetch(arguments: argparse.Namespace) -> None:
    """Fetch a data set to data/raw/<dataset>, checksums verified."""
    dataset = get_dataset(arguments.dataset)
    if isinstance(dataset, OwnImages):
        raise ValueError(f"{dataset.name}: images of your own stay in the folder data.path.")
    download(dataset, paths.fetched(dataset.name), mirror=runtime.mirror())


def train(arguments: argparse.Namespace) -> None:
    """Train what is out of date, several at once; `dvc repro` then goes on from there."""
    params = load_params()
    threads = max(params.settings[model].train.threads for model in params.run)
    jobs = max(1, runtime.cores() // threads) if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise ValueError(f"--jobs must be 1 or more, got {jobs}.")
    settings = {
        slot: params.settings[params.block_of(slot)] for slot in [*params.pool, paths.HEADLINE]
    }
    check_watched(params)
    check_feasible(params)
    mend_locks(Path.cwd())
    train_ahead(missing_trainings(project_store()), settings, jobs)


def _slot(name: str, params: Params) -> str:
    """Where the files of a block of the run lie.

    Raises:
        ValueError: There is no such block, or it is not in the run.
    """
    if name not in params.models:
        raise ValueError(unknown("model", name, params.models))
    if name not in params.slots:
        raise ValueError(
            f"{name} is not in this run: `dvc exp run -S model={name}`, or add it to `pool`."
        )
    return params.slots[name]


def _weights(model: str, seed: int, params: Params) -> Path:
    path = paths.weights(_slot(model, params), seed)
    if seed not in params.seeds and not path.is_file():
        raise ValueError(f"seed {seed} is not one of this run, {params.seeds}: add it to `seeds`.")
    _require(path, f"{path} not found")
    return path


def _require(path: Path, missing: str) -> None:
    """Refuse a model that was not trained: this file of it is not there."""
    if not path.is_file():
        raise ValueError(f"{missing}: run `dvc repro`.")


def predict(arguments: argparse.Namespace) -> None:
    """Classify image files, or all images of a folder, with a trained model."""
    from thumbnets.methods.weights import load_weights
    from thumbnets.predict import image_files, predict

    params = load_params()
    model = arguments.model or params.model
    seed = params.seeds[0] if arguments.seed is None else arguments.seed
    weights = _weights(model, seed, params)
    files = image_files(arguments.images)
    classifier = load_weights(weights, runtime.device())
    of, meant = classifier.meta.dataset, params.data.name
    if of != meant:
        raise ValueError(
            f"{weights} was trained on {of}, but data.name is {meant}: run `dvc repro`."
        )
    failed = 0
    for file, found in predict(classifier, files):
        if isinstance(found, str):
            failed += 1
            print(f"{shown(file)}\terror\t{shown(found)}")
        else:
            print(f"{shown(file)}\t{shown(found[0])}\t{found[1]:.4f}")
    if failed:
        raise ValueError(f"{failed} of {len(files)} files can't be read as images.")


def describe(arguments: argparse.Namespace) -> None:
    """Show the layers of a network, its receptive field, and what an image costs it."""
    import torch

    from thumbnets.evaluation.cost import describe
    from thumbnets.methods.base import build_method
    from thumbnets.models import create_model
    from thumbnets.report.terminal import field_table, layer_table

    params, name = load_params(), arguments.model
    # Names of a library's networks are left to the registry, which knows the nearest ones.
    if name not in params.models and name not in NETWORKS and "/" not in name:
        known = dict.fromkeys([*params.models, *NETWORKS.entries])
        raise ValueError(unknown("model or network", name, known))
    meta = _meta_of(arguments.dataset or params.data.name)
    with torch.device("meta"):  # nothing is computed
        block = params.settings.get(name)
        network = build_method(block, meta).network() if block else create_model(name, **meta.shape)
    found = describe(network, (meta.channels, meta.image_size, meta.image_size))
    if arguments.json:
        print(json.dumps({"model": name, **found.as_dict()}, indent=2))
    else:
        print(layer_table(found), field_table(found), sep="\n\n")


def _meta_of(dataset: str) -> Meta:
    """What is known of the processed images if they are of that data set; else their shape."""
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


def export(arguments: argparse.Namespace) -> None:
    """Write a trained network as one file for other programs: ONNX or TorchScript."""
    import torch

    from thumbnets.export import SUFFIXES, export
    from thumbnets.methods.weights import load_weights

    params, name = load_params(), arguments.model
    seed = params.seeds[0] if arguments.seed is None else arguments.seed
    classifier = load_weights(_weights(name, seed, params), torch.device("cpu"))
    output = arguments.output or Path(f"{name}-{seed}{SUFFIXES[arguments.format]}")
    difference = export(classifier, arguments.format, output)
    print(f"{output}: largest difference of a logit {difference:.1e}")


def compare(arguments: argparse.Namespace) -> None:
    """Say which of several models, or of them and `ensemble`, is better on the test images."""
    from thumbnets.ensembles.predictions import ENSEMBLE, read_ensemble_predictions
    from thumbnets.evaluation.comparisons import compare
    from thumbnets.evaluation.predictions import SCORES, check_alike, read_predictions
    from thumbnets.report.filters import plural
    from thumbnets.report.terminal import comparison_table, explanation

    names, params = arguments.names, load_params()
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError("Name two or more different models to compare.")
    if arguments.metric not in SCORES:
        raise ValueError(unknown("metric", arguments.metric, SCORES))
    slots = {name: name if name == ENSEMBLE else _slot(name, params) for name in names}
    for name, slot in slots.items():
        if name != ENSEMBLE:
            _require(paths.test_predictions(slot), f"{name} has no test predictions")
    predictions = {
        name: read_ensemble_predictions() if name == ENSEMBLE else read_predictions(slot)
        for name, slot in slots.items()
    }
    check_alike(predictions)
    score = SCORES[arguments.metric]
    scores = {name: score(of_name) for name, of_name in predictions.items()}
    found = compare(scores)
    images, seeds = len(predictions[names[0]].labels), predictions[names[0]].seeds
    print(f"{arguments.metric}, {plural(images, 'test image')}, {plural(len(seeds), 'seed')}")
    print(comparison_table(found, arguments.metric))
    print(explanation(arguments.metric, len(seeds)))
    if (ensembles := min(map(len, scores.values()))) < len(seeds):
        of_each = plural(len(seeds) // ensembles, "seed")
        print(f"An ensemble has the trainings of {of_each}, whose mean it is compared with.")


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

    command(models)
    command(fetch).add_argument("dataset", help="name, as in data.name of params.yaml")
    training = command(train)
    training.add_argument("--jobs", type=int, help="trainings at once (default: as cores allow)")
    prediction = command(predict)
    prediction.add_argument("images", nargs="+", type=Path, metavar="IMAGE|FOLDER")
    prediction.add_argument("--model", help="a trained model block (default: `model` of params)")
    prediction.add_argument("--seed", type=int, help="of its training (default: first of params)")
    description = command(describe)
    description.add_argument("model", metavar="MODEL", help="a block of params.yaml, or a network")
    description.add_argument("--dataset", help="whose images it takes (default: of params)")
    description.add_argument("--json", action="store_true", help="all numbers as JSON")
    exporting = command(export)
    exporting.add_argument("model", metavar="MODEL", help="a trained model block")
    exporting.add_argument("--format", choices=("onnx", "torchscript"), default="onnx")
    exporting.add_argument("--seed", type=int, help="of its training (default: first of params)")
    exporting.add_argument("--output", type=Path, help="file (default: MODEL-SEED.onnx or .pt)")
    comparison = command(compare)
    comparison.add_argument("names", nargs="+", metavar="MODEL", help="a trained block, ensemble")
    comparison.add_argument("--metric", default="accuracy", help="accuracy (default) or nll")
    add_recipe_commands(command)
    add_review(command(review))
    add_history(command(history))
    add_doctor(command(doctor))
    return parser


def _enter_project(arguments: argparse.Namespace) -> None:
    """Work in the root of the project that the current folder belongs to; paths stay the user's."""
    here = Path.cwd()
    roots = [folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()]
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
    arguments = _parser().parse_args()
    _enter_project(arguments)
    run(arguments.function, arguments)


if __name__ == "__main__":
    main()
