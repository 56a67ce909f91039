"""One bag at a time: loop and network of AttentionDeepMIL, as in its `main.py` and `model.py`.

torch is imported before thumbnets, so that it does not get thumbnets' thread settings.

Source: Ilse et al. 2018, github.com/AMLab-Amsterdam/AttentionDeepMIL.
"""

import time

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset

from benchmarks.process import Measured, answer
from benchmarks.task import Task
from thumbnets.data import load
from thumbnets.data.bags import Drawing


class SourceAttention(nn.Module):
    """The source's `Attention`, with the methods that the source calls on it."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor_part1 = nn.Sequential(
            nn.Conv2d(1, 20, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2, stride=2),
            nn.Conv2d(20, 50, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2, stride=2),
        )
        self.feature_extractor_part2 = nn.Sequential(nn.Linear(50 * 4 * 4, 500), nn.ReLU())
        self.attention = nn.Sequential(nn.Linear(500, 128), nn.Tanh(), nn.Linear(128, 1))
        self.classifier = nn.Sequential(nn.Linear(500, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = x.squeeze(0)
        features = self.feature_extractor_part1(x).view(-1, 50 * 4 * 4)
        features = self.feature_extractor_part2(features)
        attention = self.attention(features).transpose(1, 0).softmax(1)
        probability = self.classifier(attention @ features)
        return probability, probability.ge(0.5).float()

    def calculate_classification_error(self, x: torch.Tensor, y: torch.Tensor) -> float:
        _, predicted = self.forward(x)
        return 1.0 - predicted.eq(y.float()).float().mean().item()

    def calculate_objective(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        p, _ = self.forward(x)
        p, y = torch.clamp(p, min=1e-5, max=1.0 - 1e-5), y.float()
        return -1.0 * (y * torch.log(p) + (1.0 - y) * torch.log(1.0 - p))


class SourceBags(Dataset):
    """Bags as the source stores them: a list of normalised tensors."""

    def __init__(self, data: str, drawing: Drawing, count: int, seed: int) -> None:
        split = load(data, "train")
        rows, sizes = drawing.draw(split.labels, count, seed)
        images = (torch.from_numpy(split.images[rows]) / 255 - 0.1307) / 0.3081
        hits = torch.from_numpy(split.labels[rows] == drawing.target)
        self.bags, self.labels = images.split(sizes.tolist()), hits.split(sizes.tolist())

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.bags[index], self.labels[index].max()


def epoch(task: dict, epochs: int) -> Measured:
    """Train on the bags of the task's block; gives `seconds` per epoch."""
    settings = Task(**task).settings
    options = settings.train.method.options
    drawing = Drawing(
        options["target"], options["mean"], options["spread"], options["drawing"] == "balanced"
    )
    bags = SourceBags(task["data"], drawing, options["train_bags"], options["seed"])
    loader = DataLoader(bags, batch_size=1, shuffle=True)
    model = SourceAttention()
    rate, decay = settings.train.lr, settings.train.weight_decay
    optimizer = optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.999), weight_decay=decay)

    def train(most: int) -> None:
        model.train()
        train_loss, train_error = 0.0, 0.0
        for number, (data, bag_label) in enumerate(loader):
            if number == most:
                break
            optimizer.zero_grad()
            loss = model.calculate_objective(data, bag_label)
            train_loss += loss.item()
            train_error += model.calculate_classification_error(data, bag_label)
            loss.backward()
            optimizer.step()

    train(10)

    def measured() -> dict:
        began = time.perf_counter()
        for _ in range(epochs):
            train(len(bags))
        return {"seconds": (time.perf_counter() - began) / epochs}

    return measured


if __name__ == "__main__":
    answer(epoch)
