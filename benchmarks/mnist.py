"""How long until 99.0 % on MNIST, against pytorch/examples, and until 99.5 % with tiny_cnn?"""

import statistics

from benchmarks import harness
from benchmarks.harness import (
    Contender,
    Options,
    at_most,
    computes_bf16,
    mean_sd,
    seconds,
    spread,
    table,
    verdict,
)
from benchmarks.task import Task, fetch

_SEEDS_A_ROUND = 2  # seeds of the sprint, so that 5 rounds have 10 seeds
_MOST_EPOCHS = 14  # the example's own number of epochs


def contenders_of(round_: int, sprint: Task, tiny: Task, options: Options) -> list[Contender]:
    """The two recipes and the example, with the seeds of a round."""
    first = round_ * _SEEDS_A_ROUND
    seeds = {f"sprint {n}": first + n for n in range(_SEEDS_A_ROUND)}
    quick = {"epochs": 1, "images": options.images} if options.quick else {"epochs": _MOST_EPOCHS}
    return [
        *(
            Contender.of(name, "ours.fit", task=sprint.plain(), seeds=[seed], test=True)
            for name, seed in seeds.items()
        ),
        Contender.of("tiny", "ours.fit", task=tiny.plain(), seeds=[round_], test=True),
        Contender.of("example", "peers.example", seed=round_, target=99.0, **quick),
    ]


def question(options: Options) -> str:
    """The table of all.

    Raises:
        ValueError: A block is unknown.
    """
    limit = options.images if options.quick else None
    precision = "bf16" if computes_bf16() else "fp32"
    train = {"precision": precision}
    tasks = [Task(block, "mnist", limit, train) for block in (options.sprint, options.tiny)]
    sprint, tiny = (task.settings.name for task in tasks)  # raises for unknown blocks
    fetch("mnist")
    results = harness.compare(
        lambda round_: contenders_of(round_, *tasks, options), options.repeats
    )
    sprints = [said for n in range(_SEEDS_A_ROUND) for said in results.pop(f"sprint {n}")]
    epochs = [said[0]["epochs"] for said in results["example"]]
    rows = [
        _row(f"thumbnets, `{sprint}` in {precision}, to 99.0 %", sprints, 10, 99.0),
        _row(
            f"pytorch/examples, to 99.0 % ({statistics.median(epochs):g} epochs)",
            results["example"],
            None,
            99.0,
        ),
        _row(f"thumbnets, `{tiny}` in {precision}, to 99.5 %", results["tiny"], 60, 99.5),
    ]
    columns = ["", "seconds", "goal", "runs", "test accuracy, %", "by the mean"]
    return (
        "## MNIST to 99.0 % and 99.5 %\n\n"
        "Ours are whole trainings by the block in zoo/ on the training folds, a seed each; "
        "the example trains on all images until it first tests above 99.0 %, so its stopping rests "
        "on the test images, which favours it. Evaluation is not counted on either side.\n\n"
        + table(columns, rows)
    )


def _row(name: str, results: list, goal: float | None, target: float) -> list[str]:
    tested = [said[0]["test"] for said in results]
    accuracies = [test[0] if isinstance(test, list) else test for test in tested]
    reached = verdict(statistics.mean(accuracies) >= target)
    in_time = "" if goal is None else at_most(goal, seconds(results))
    return [
        name,
        spread(seconds(results)),
        in_time,
        str(len(results)),
        mean_sd(accuracies),
        reached,
    ]
