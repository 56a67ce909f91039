"""The table of data sets."""

import subprocess
import sys

import pytest

from thumbnets.data import datasets
from thumbnets.data.datasets import DATASETS, Dataset, get_dataset

FETCHED = [dataset for dataset in DATASETS.values() if isinstance(dataset, Dataset)]

# As their publishers count them.
CLASSES = {"emnist_balanced": 47, "emnist_letters": 26, "cifar100": 0}


@pytest.mark.parametrize("dataset", FETCHED, ids=lambda dataset: dataset.name)
def test_each_row_is_filled_in(dataset):
    assert get_dataset(dataset.name) is dataset
    assert len(set(dataset.classes)) == len(dataset.classes) == CLASSES.get(dataset.name, 10)
    assert dataset.mirrors or dataset.bundled
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in dataset.mirrors)
    for archive in dataset.archives:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.size is None or archive.size > 0
        assert archive.file == (archive.name[:-3] if archive.unpacked else archive.name)


def test_the_official_names_are_those_of_torchvision():
    from torchvision import datasets as peer

    def urls(name: str) -> set[str]:
        row = DATASETS[name]
        return {mirror + a.name for mirror in row.mirrors for a in row.archives}

    for kind in (peer.MNIST, peer.FashionMNIST, peer.KMNIST):
        name = {"FashionMNIST": "fashion_mnist"}.get(kind.__name__, kind.__name__.lower())
        assert urls(name) == {m + file for m in kind.mirrors for file, _ in kind.resources}
    assert urls("qmnist") == {
        url for part in ("train", "test") for url, _ in peer.QMNIST.resources[part]
    }
    assert urls("svhn_extra") == {url for url, *_ in peer.SVHN.split_list.values()}
    assert urls("usps") == {url for url, *_ in peer.USPS.split_list.values()}
    for name, kind in {
        "emnist_letters": peer.EMNIST,
        "cifar10": peer.CIFAR10,
        "cifar100": peer.CIFAR100,
        "stl10": peer.STL10,
    }.items():
        assert kind.url in urls(name)


def test_the_classes_are_those_of_torchvision():
    from torchvision.datasets import EMNIST, KMNIST

    assert list(DATASETS["emnist_balanced"].classes) == EMNIST.classes_split_dict["balanced"]
    assert list(DATASETS["kmnist"].classes) == KMNIST.classes


def test_sizes_are_those_of_the_published_shapes():
    for name in ("fashion_mnist", "mnist"):
        sizes = [archive.size for archive in DATASETS[name].archives]
        assert sizes == [16 + 60_000 * 784, 8 + 60_000, 16 + 10_000 * 784, 8 + 10_000]


def test_table_is_light_to_import():
    # By path, as the package around it may import more.
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, datasets.__file__], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


@pytest.mark.parametrize(
    "wrong, near",
    [("fashion-mnist", "fashion_mnist"), ("MNIST", "mnist"), ("digit", "digits")],
)
def test_unknown_name_gets_the_nearest(wrong, near):
    with pytest.raises(
        ValueError, match=f"Unknown data set '{wrong}'. Did you mean .*{near}.*To add"
    ):
        get_dataset(wrong)


def test_unknown_name_near_to_nothing_gets_all():
    with pytest.raises(
        ValueError, match=r"'zzz'. Known: fashion_mnist, mnist, .*, folder, imagenet\."
    ):
        get_dataset("zzz")
