"""Ten voting networks against TorchEnsemble: how long do they train, and how accurate are they?"""

from benchmarks import harness
from benchmarks.harness import Contender, Options, against, mean_sd, seconds, spread, table
from benchmarks.task import Task, fetch

_MEMBERS, _EPOCHS = 10, 5
_GOAL = 3

# The same for both: no augmentation, and no schedule, since TorchEnsemble has them only per epoch.
_TRAIN = {
    "batch_size": 128,
    "optimizer": "sgd",
    "lr": 0.02,
    "momentum": 0.9,
    "schedule": "constant",
    "average": None,
    "augment": [],
    "threads": 2,
    "precision": "fp32",
}


def contenders_of(round_: int, members: int, task: Task) -> list[Contender]:
    """Ours in one process with two threads; TorchEnsemble in one process, and in two by joblib."""
    ours = task.but(method={"name": "voting", "members": members})
    faster = ours.but(precision="bf16")
    peer = {"task": task.plain(), "members": members, "seed": round_}
    return [
        Contender.of("thumbnets", "ours.fit", task=ours.plain(), seeds=[round_], test=True),
        Contender.of("thumbnets, bf16", "ours.fit", task=faster.plain(), seeds=[round_], test=True),
        Contender.of("TorchEnsemble", "peers.voting", **peer),
        Contender.of("TorchEnsemble, n_jobs 2", "peers.voting", **peer, jobs=2),
    ]


def question(options: Options) -> str:
    """The table of all."""
    members, epochs = (3, 1) if options.quick else (_MEMBERS, _EPOCHS)
    images = options.images // 3  # few, since the peers need a minute for 4,000
    task = Task("tiny_cnn", "mnist", images, {**_TRAIN, "epochs": epochs})
    fetch("mnist")
    results = harness.compare(lambda round_: contenders_of(round_, members, task), options.repeats)
    peers = {name: seconds(said) for name, said in results.items() if "TorchEnsemble" in name}
    best = min(peers, key=lambda name: min(peers[name]))
    rows = [
        [
            name,
            spread(seconds(said)),
            *against(peers[best], seconds(said), _GOAL if name == "thumbnets" else None),
            mean_sd([_accuracy(of_round) for of_round in said]),
        ]
        for name, said in results.items()
    ]
    columns = ["", "seconds", f"times as fast as {best}", "goal", "test accuracy, %"]
    return (
        f"## {members} networks that vote\n\n"
        f"tiny_cnn on the same {images:,} images of MNIST, {epochs} epochs of batches of "
        f"{_TRAIN['batch_size']}, SGD with momentum at a constant rate; soft votes. Each time is "
        "that of the call that trains, without evaluation. Another seed in each round; accuracy is "
        "not to be lower.\n\n" + table(columns, rows)
    )


def _accuracy(said: list[dict]) -> float:
    [accuracy] = said[0]["test"]
    return accuracy
