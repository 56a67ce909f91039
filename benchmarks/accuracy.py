"""How long until the accuracy that the networks' source published, end to end?"""

import statistics

from benchmarks import harness
from benchmarks.epoch import best_workers
from benchmarks.harness import Contender, Options, mean_sd, ratios, seconds, spread, table
from benchmarks.task import Task, fetch

_ALL = 60_000  # training images
_SOURCE = {"epochs": 1, "batch_size": 32, "augment": [], "schedule": "constant", "lr": 0.01}
_SOURCE_EPOCHS = 20

# The fewest epochs whose validation accuracy, the mean of 3 seeds, is a point or more above the
# published test accuracy (test images are harder than ours for validation by half a point).
RECIPES = {
    "mlp4": ({"epochs": 4, "augment": [], "early_stopping": None}, 88.62, 25),
    "cnn_c": ({"epochs": 4, "augment": [], "early_stopping": None}, 90.34, 15),
}


def section(model: str, options: Options) -> str:
    """The table of one network."""
    recipe, published, goal = RECIPES[model]
    limit = options.images if options.quick else None
    short = Task(model, "fashion_mnist", limit, recipe)
    long = Task(model, "fashion_mnist", options.images, _SOURCE)
    print(f"{model}: trial of workers", flush=True)
    workers = best_workers(long)

    def contenders(round_: int) -> list[Contender]:
        return [
            Contender.of("ours", "ours.fit", task=short.plain(), seeds=[round_], test=True),
            Contender.of("usual", "peers.epoch", task=long.plain(), tool="usual", workers=workers),
        ]

    results = harness.compare(contenders, options.repeats)
    ours = seconds(results["ours"])
    usual = [s * _SOURCE_EPOCHS * _ALL / options.images for s in seconds(results["usual"])]
    accuracies = [said[0]["test"][0] for said in results["ours"]]
    passed = "passes" if statistics.mean(accuracies) >= published else "**fails**"
    rows = [
        [f"usual loop, {_SOURCE_EPOCHS} epochs, batch 32", spread(usual, 1), "", "", ""],
        [
            f"thumbnets, {recipe['epochs']} epochs",
            spread(ours),
            spread(ratios(usual, ours), 1),
            f"≥ {goal}",
            f"{mean_sd(accuracies)} %, {passed}",
        ],
    ]
    columns = ["", "seconds", "times as fast", "goal", f"test accuracy; source {published} %"]
    return f"### {model}\n\nUsual loop: {workers} workers.\n\n{table(columns, rows)}"


def question(options: Options) -> str:
    """Tables of all networks."""
    fetch("fashion_mnist")
    head = (
        "## End to end to the source's accuracy on Fashion-MNIST\n\n"
        f"The usual loop's time is that of {options.images:,} images, times "
        f"{_ALL / options.images:g} for an epoch, times {_SOURCE_EPOCHS}. Ours are whole trainings "
        "on the training folds, a seed a round; accuracy is the mean over seeds ± standard "
        "deviation. Evaluation is not counted on either side."
    )
    return "\n\n".join([head, *(section(model, options) for model in RECIPES)])
