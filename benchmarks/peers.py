"""The same training by the usual tools, each as its documentation shows it.

torch and scikit-learn are imported before thumbnets: their thread pools read the environment once,
and so keep their own defaults. The network is that of thumbnets, with `nn.Dropout` in place of its
own dropout and in torch's memory format.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.optim import SGD, Adadelta
from torch.optim.lr_scheduler import OneCycleLR, StepLR
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from benchmarks.process import Measured, answer
from benchmarks.task import Task, chosen
from thumbnets import paths
from thumbnets.choices import Choice
from thumbnets.data import load
from thumbnets.data.arrays import Meta
from thumbnets.models import create_model
from thumbnets.models.layers import Dropout
from thumbnets.training.settings import ModelSettings

_TORCHVISION = {"fashion_mnist": datasets.FashionMNIST, "mnist": datasets.MNIST}


def read(name: str, transform: Callable, train: bool = True) -> Dataset:
    """A torchvision data set, from the files that thumbnets has fetched."""
    kind = _TORCHVISION[name]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / kind.__name__
        folder.mkdir()
        (folder / "raw").symlink_to(paths.fetched(name).resolve())
        return kind(root, train=train, transform=transform)


def augmentation(choice: Choice, size: int) -> Callable:
    """The torchvision transform with the same distribution as one of thumbnets' augmentations.

    Raises:
        ValueError: There is no such transform.
    """
    if choice.name == "shift":
        return transforms.RandomCrop(size, padding=choice.options["pixels"])
    if choice.name == "rotation":
        return transforms.RandomRotation(choice.options["degrees"])
    if choice.name == "flip":
        return transforms.RandomHorizontalFlip(choice.options["p"])
    raise ValueError(f"torchvision has no transform with the law of {choice.name}.")


def transform_of(settings: ModelSettings, meta: Meta) -> Callable:
    """Augmentation of PIL images, then conversion to a normalised tensor."""
    return transforms.Compose(
        [
            *(augmentation(choice, meta.image_size) for choice in settings.train.augment),
            transforms.ToTensor(),
            transforms.Normalize(meta.mean, meta.std),
        ]
    )


def network_of(settings: ModelSettings, meta: Meta) -> nn.Module:
    """The block's network with torch's own dropout."""
    network = create_model(settings.arch, **meta.shape, **settings.options)
    for index, layer in enumerate(network):
        if isinstance(layer, Dropout):
            network[index] = nn.Dropout(layer.p)
    return network


def optimizer_of(network: nn.Module, settings: ModelSettings) -> SGD:
    """SGD with the settings' numbers, and torch's defaults for the rest."""
    train = settings.train
    return SGD(network.parameters(), train.lr, train.momentum, weight_decay=train.weight_decay)


def usual(
    settings: ModelSettings, meta: Meta, data: Dataset, *, workers: int, autocast: bool
) -> None:
    """The loop from PyTorch's tutorial "Training with PyTorch"; autocast as in its AMP recipe."""
    network, train = network_of(settings, meta), settings.train
    optimizer, criterion = optimizer_of(network, settings), nn.CrossEntropyLoss()
    loader = DataLoader(data, train.batch_size, shuffle=True, num_workers=workers)
    scheduler = None
    if train.schedule.name == "onecycle":
        steps = train.epochs * len(loader)
        scheduler = OneCycleLR(optimizer, train.lr, total_steps=steps)
    network.train()
    for _ in range(train.epochs):
        running_loss = 0.0
        for inputs, labels in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
                loss = criterion(network(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if scheduler:
                scheduler.step()


def lightning(
    settings: ModelSettings, meta: Meta, data: Dataset, *, workers: int, autocast: bool
) -> None:
    """Lightning's "Lightning in 15 minutes": a LightningModule, and a Trainer with defaults."""
    import pytorch_lightning as L

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network_of(settings, meta)

        def training_step(self, batch, batch_idx):
            inputs, labels = batch
            loss = nn.functional.cross_entropy(self.network(inputs), labels)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self):
            return optimizer_of(self, settings)

    loader = DataLoader(data, settings.train.batch_size, shuffle=True, num_workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder)
        trainer.fit(model=Module(), train_dataloaders=loader)


def skorch(
    settings: ModelSettings, meta: Meta, data: Dataset, *, workers: int, autocast: bool
) -> None:
    """skorch's quick start; a Dataset where images are augmented, else arrays as in its MNIST."""
    from skorch import NeuralNetClassifier

    train = settings.train
    net = NeuralNetClassifier(
        network_of(settings, meta),
        criterion=nn.CrossEntropyLoss,
        optimizer=SGD,
        lr=train.lr,
        optimizer__momentum=train.momentum,
        optimizer__weight_decay=train.weight_decay,
        batch_size=train.batch_size,
        max_epochs=1,
        train_split=None,
        iterator_train__shuffle=True,
        iterator_train__num_workers=workers if train.augment else 0,
    )
    net.fit(data, y=None) if train.augment else net.fit(*_arrays(data, meta))


def sklearn(
    settings: ModelSettings, meta: Meta, data: Dataset, *, workers: int, autocast: bool
) -> None:
    """scikit-learn's MLPClassifier on arrays; it has no dropout."""
    train, network = settings.train, network_of(settings, meta)
    hidden = [layer.out_features for layer in network if isinstance(layer, nn.Linear)][:-1]
    classifier = MLPClassifier(
        hidden,
        solver="sgd",
        alpha=train.weight_decay,
        batch_size=train.batch_size,
        learning_rate_init=train.lr,
        momentum=train.momentum,
        nesterovs_momentum=False,
        max_iter=1,
    )
    images, labels = _arrays(data, meta)
    classifier.fit(images.reshape(len(images), -1), labels)


def _arrays(data: Subset, meta: Meta) -> tuple:
    """Normalised images, float32 [N, 1, H, W], and labels, int64 [N], as NumPy arrays."""
    images = data.dataset.data[: len(data), None] / 255
    images = (images - meta.mean[0]) / meta.std[0]
    return images.numpy(), data.dataset.targets[: len(data)].numpy()


def epoch(task: dict, tool: str, workers: int = 0, autocast: bool = False) -> Measured:
    """Train one epoch with one of the functions above; gives `seconds`."""
    task = Task(**task)
    settings, meta = task.settings, load(task.data, "train").meta
    data = read(task.data, transform_of(settings, meta))
    train = {f.__name__: f for f in (usual, lightning, skorch, sklearn)}[tool]
    how = {"workers": workers, "autocast": autocast}
    train(settings, meta, Subset(data, range(10 * settings.train.batch_size)), **how)
    part = Subset(data, range(task.images or len(data)))

    def measured() -> dict:
        began = time.perf_counter()
        train(settings, meta, part, **how)
        return {"seconds": time.perf_counter() - began}

    return measured


def pool(tasks: list[dict], workers: int, autocast: bool, taken: str) -> Measured:
    """Train those networks by the usual loop that no other process has taken.

    Args:
        tasks: The trainings.
        workers: Workers of the DataLoader.
        autocast: Whether it trains in bf16.
        taken: Folder with a file for each training that a process has taken.
    """
    how = {"workers": workers, "autocast": autocast}
    trainings = []
    for plain in tasks:
        task = Task(**plain)
        settings, source = task.settings, load(task.data, "train")
        data = read(task.data, transform_of(settings, source.meta))
        images = Subset(data, chosen(task, source).tolist())
        trainings.append((settings, source.meta, images))
    settings, meta, images = trainings[0]
    once = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 1})})
    usual(once, meta, Subset(images, range(10 * settings.train.batch_size)), **how)

    def measured() -> dict:
        for number, training in enumerate(trainings):
            try:
                Path(taken, str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            usual(*training, **how)
        return {}

    return measured


class ExampleNet(nn.Module):
    """The network of pytorch/examples, mnist/main.py: 1,199,882 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 1), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(9216, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
            nn.LogSoftmax(1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


def example(seed: int, target: float, epochs: int, images: int | None = None) -> Measured:
    """pytorch/examples, mnist/main.py on a CPU, until its test accuracy first exceeds `target`.

    The function returned gives `seconds` of training alone, the number of `epochs` and the `test`
    accuracy in percent.
    """
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    train, test = (read("mnist", transform, train=part) for part in (True, False))
    loader = DataLoader(Subset(train, range(images or len(train))), batch_size=64)
    test_loader = DataLoader(test, batch_size=1000)

    def measured() -> dict:
        torch.manual_seed(seed)
        network = ExampleNet()
        optimizer = Adadelta(network.parameters(), lr=1.0)
        scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
        spent, accuracy, done = 0.0, 0.0, 0
        while accuracy < target and done < epochs:
            began = time.perf_counter()
            network.train()
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = nn.functional.nll_loss(network(inputs), labels)
                loss.backward()
                optimizer.step()
            spent += time.perf_counter() - began
            accuracy, done = _test(network, test_loader), done + 1
            scheduler.step()
        return {"seconds": spent, "epochs": done, "test": accuracy}

    return measured


@torch.no_grad()
def _test(network: nn.Module, loader: DataLoader) -> float:
    """Accuracy in percent."""
    network.eval()
    right = sum((network(x).argmax(1) == y).sum().item() for x, y in loader)
    return 100 * right / len(loader.dataset)


class Member(nn.Module):
    """A block's network as a class, as TorchEnsemble requires: each member has its own weights."""

    def __init__(self, settings: ModelSettings, meta: Meta) -> None:
        super().__init__()
        self.network = network_of(settings, meta)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


def voting(task: dict, members: int, seed: int, jobs: int | None = None) -> Measured:
    """TorchEnsemble's "Introduction": a VotingClassifier, on the images that ours trains on.

    The function returned gives `seconds` of `fit` and the `test` accuracy in percent, in a list.
    """
    from torchensemble import VotingClassifier

    task = Task(**task)
    settings, source = task.settings, load(task.data, "train")
    meta, train = source.meta, settings.train
    transform = transform_of(settings, meta)
    images = read(task.data, transform)
    size = train.batch_size

    def fit(index: np.ndarray, epochs: int) -> VotingClassifier:
        loader = DataLoader(Subset(images, index.tolist()), size, shuffle=True)
        arguments = {"settings": settings, "meta": meta}
        model = VotingClassifier(
            estimator=Member,
            estimator_args=arguments,
            n_estimators=members,
            cuda=False,
            n_jobs=jobs,
        )
        model.set_criterion(nn.CrossEntropyLoss())
        model.set_optimizer(
            "SGD", lr=train.lr, momentum=train.momentum, weight_decay=train.weight_decay
        )
        model.fit(loader, epochs=epochs, log_interval=100, save_model=False)
        return model

    index = chosen(task, source)
    fit(index[: 10 * size], 1)

    def measured() -> dict:
        torch.manual_seed(seed)
        began = time.perf_counter()
        model = fit(index, train.epochs)
        spent = time.perf_counter() - began
        test = DataLoader(read(task.data, transform, train=False), batch_size=1000)
        return {"seconds": spent, "test": [model.evaluate(test)]}

    return measured


if __name__ == "__main__":
    answer(epoch, pool, example, voting)
