"""The table of data sets: names, files and readers.

A new data set is one row of `DATASETS` (and a reader, if none in `readers.py` fits its format).
Free of torch and scikit-learn at import, because the CLI lists this table.
"""

from difflib import get_close_matches
from functools import partial

from thumbnets.data.dataset import Archive, Dataset, OwnImages
from thumbnets.data.readers import (
    read_cifar,
    read_digits,
    read_emnist,
    read_mnist,
    read_qmnist,
    read_stl10,
    read_svhn,
    read_usps,
)
from thumbnets.messages import quote, shorten


def get_dataset(name: str) -> Dataset | OwnImages:
    """Look a data set up by name.

    Raises:
        ValueError: There is no such data set.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(shorten(name).lower().replace("-", "_"), DATASETS, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(
        f"Unknown data set {quote(name)}.{hint} Known: {', '.join(DATASETS)}. "
        "To add it: a row in src/thumbnets/data/datasets.py"
    )


_DIGITS = tuple("0123456789")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")


def _published(name: str, sha256: str, size: int | None = None) -> Archive:
    """An archive that is kept as it is published."""
    return Archive(name, sha256, size, unpacked=False)


_EMNIST = partial(
    Dataset,
    folder="emnist",
    mirrors=(
        "https://biometrics.nist.gov/cs_links/EMNIST/",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
    ),
    archives=(
        _published(
            "gzip.zip",
            "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
            561_753_746,
        ),
    ),
)

_SVHN_ARCHIVES = (
    _published(
        "train_32x32.mat",
        "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        182_040_794,
    ),
    _published(
        "test_32x32.mat",
        "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        64_275_384,
    ),
)
_SVHN_EXTRA = _published(
    "extra_32x32.mat",
    "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
    1_329_278_602,
)
_SVHN = partial(
    Dataset,
    classes=_DIGITS,
    folder="svhn",
    mirrors=("http://ufldl.stanford.edu/housenumbers/",),
    image_size=32,
    channels=3,
)

_STL10 = partial(
    Dataset,
    classes=(
        "airplane",
        "bird",
        "car",
        "cat",
        "deer",
        "dog",
        "horse",
        "monkey",
        "ship",
        "truck",
    ),
    folder="stl10",
    mirrors=(
        "http://ai.stanford.edu/~acoates/stl10/",
        "https://cs.stanford.edu/~acoates/stl10/",
    ),
    archives=(
        _published(
            "stl10_binary.tar.gz",
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            2_640_397_119,
        ),
    ),
    image_size=96,
    channels=3,
)

_CIFAR = partial(Dataset, mirrors=("https://www.cs.toronto.edu/~kriz/",), image_size=32, channels=3)

# Checksums and sizes of archives as published are those that torchvision, TensorFlow Datasets and
# Keras record; the ones of unpacked content were taken from the official files.
_ROWS = (
    Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        licence="MIT",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        folder="fashion-mnist",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        package="dataset-fashion-mnist",
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        reader=read_mnist,
    ),
    Dataset(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        classes=_DIGITS,
        folder="mnist",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
        archives=(
            Archive(
                "train-images-idx3-ubyte.gz",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                47_040_016,
            ),
            Archive(
                "train-labels-idx1-ubyte.gz",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                60_008,
            ),
            Archive(
                "t10k-images-idx3-ubyte.gz",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                7_840_016,
            ),
            Archive(
                "t10k-labels-idx1-ubyte.gz",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                10_008,
            ),
        ),
        reader=read_mnist,
    ),
    Dataset(
        name="kmnist",
        title="Kuzushiji-MNIST",
        licence="CC BY-SA 4.0",
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        folder="kmnist",
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        archives=(
            _published(
                "train-images-idx3-ubyte.gz",
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                18_165_135,
            ),
            _published(
                "train-labels-idx1-ubyte.gz",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                29_497,
            ),
            _published(
                "t10k-images-idx3-ubyte.gz",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                3_041_136,
            ),
            _published(
                "t10k-labels-idx1-ubyte.gz",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                5_120,
            ),
        ),
        reader=partial(read_mnist, suffix=".gz"),
    ),
    Dataset(
        name="qmnist",
        title="QMNIST",
        licence="BSD-3-Clause",
        classes=_DIGITS,
        folder="qmnist",
        mirrors=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
        archives=(
            _published(
                "qmnist-train-images-idx3-ubyte.gz",
                "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
            ),
            _published(
                "qmnist-train-labels-idx2-int.gz",
                "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
            ),
            _published(
                "qmnist-test-images-idx3-ubyte.gz",
                "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
            ),
            _published(
                "qmnist-test-labels-idx2-int.gz",
                "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
            ),
        ),
        reader=read_qmnist,
    ),
    _EMNIST(
        name="emnist_balanced",
        title="EMNIST, balanced",
        # Lower case only where it looks unlike upper case.
        classes=(*_DIGITS, *(letter.upper() for letter in _LETTERS), *"abdefghnqrt"),
        reader=partial(read_emnist, kind="balanced"),
    ),
    _EMNIST(
        name="emnist_letters",
        title="EMNIST, letters",
        classes=_LETTERS,
        reader=partial(read_emnist, kind="letters", first=1),
    ),
    _EMNIST(
        name="emnist_digits",
        title="EMNIST, digits",
        classes=_DIGITS,
        reader=partial(read_emnist, kind="digits"),
    ),
    _CIFAR(
        name="cifar10",
        title="CIFAR-10",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        folder="cifar-10",
        archives=(
            _published(
                "cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
        ),
        reader=partial(read_cifar, kind="CIFAR10"),
    ),
    _CIFAR(
        name="cifar100",
        title="CIFAR-100",
        classes=(),
        class_count=100,
        folder="cifar-100",
        archives=(
            _published(
                "cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
        ),
        reader=partial(read_cifar, kind="CIFAR100"),
    ),
    _SVHN(name="svhn", title="SVHN", archives=_SVHN_ARCHIVES, reader=read_svhn),
    _SVHN(
        name="svhn_extra",
        title="SVHN with its extra images",
        archives=(*_SVHN_ARCHIVES, _SVHN_EXTRA),
        reader=partial(read_svhn, extra=True),
    ),
    _STL10(name="stl10", title="STL-10", reader=read_stl10),
    _STL10(
        name="stl10_unlabelled",
        title="STL-10 with its unlabelled images",
        reader=partial(read_stl10, unlabelled=True),
    ),
    Dataset(
        name="usps",
        title="USPS",
        classes=_DIGITS,
        folder="usps",
        mirrors=("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",),
        archives=(
            _published(
                "usps.bz2", "3771e9dd6ba685185f89867b6e249233dd74652389f263963b3b741e994b034f"
            ),
            _published(
                "usps.t.bz2", "a9c0164e797d60142a50604917f0baa604f326e9a689698763793fa5d12ffc4e"
            ),
        ),
        reader=read_usps,
        image_size=16,
    ),
    Dataset(
        name="digits",
        title="Digits (scikit-learn)",
        licence="CC BY 4.0 (UCI Machine Learning Repository)",
        classes=_DIGITS,
        folder="digits",
        mirrors=(),
        archives=(
            Archive(
                "digits.csv.gz",
                "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
                264_712,
            ),
        ),
        reader=read_digits,
        bundled="sklearn/datasets/data",
    ),
    OwnImages(name="folder", title="Own images"),
    OwnImages(name="imagenet", title="ImageNet"),
)

DATASETS: dict[str, Dataset | OwnImages] = {dataset.name: dataset for dataset in _ROWS}
assert len(DATASETS) == len(_ROWS), "two data sets have the same name"
