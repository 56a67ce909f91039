"""The command `thumbnets`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.data.datasets import get_dataset
from thumbnets.data.download import download
from thumbnets.params import load_params
from thumbnets.registry import NETWORKS
from thumbnets.stage import run


def models(arguments: argparse.Namespace) -> None:
    """List all networks: name, family, parameters on 28x28x1 with 10 classes, source."""
    for entry in NETWORKS.entries.values():
        facts = entry.facts
        print(f"{entry.name:<16}{facts['family']:<14}{facts['parameters']:>12,}  {facts['source']}")


def fetch(arguments: argparse.Namespace) -> None:
    """Fetch a data set to data/raw/<dataset>, checksums verified."""
    dataset = get_dataset(arguments.dataset)
    download(dataset, paths.raw(dataset.name), mirror=runtime.mirror())


def predict(arguments: argparse.Namespace) -> None:
    """Classify image files, or all images of a folder, with a trained model."""
    from thumbnets.predict import image_files, predict
    from thumbnets.training.weights import load_weights

    params = load_params()
    model = arguments.model or params.model
    seed = params.seeds[0] if arguments.seed is None else arguments.seed
    files = image_files(arguments.images)
    classifier = load_weights(paths.weights(model, seed), runtime.device())
    for file, (label, probability) in zip(files, predict(classifier, files), strict=True):
        print(f"{file}\t{label}\t{probability:.4f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="thumbnets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(function: Callable) -> argparse.ArgumentParser:
        summary = function.__doc__.splitlines()[0]
        added = commands.add_parser(function.__name__, help=summary, description=summary)
        added.set_defaults(function=function)
        return added

    command(models)
    command(fetch).add_argument("dataset", help="name, as in data.name of params.yaml")
    prediction = command(predict)
    prediction.add_argument("images", nargs="+", type=Path, metavar="IMAGE|FOLDER")
    prediction.add_argument("--model", help="a trained model block (default: `model` of params)")
    prediction.add_argument("--seed", type=int, help="of its training (default: first of params)")
    return parser


def main() -> None:
    """Entry point."""
    arguments = _parser().parse_args()
    run(arguments.function, arguments)


if __name__ == "__main__":
    main()
