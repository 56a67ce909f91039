"""Published weights, fetched as data sets are: from a mirror, a system folder or the web."""

from pathlib import Path

from thumbnets import runtime
from thumbnets.data.dataset import Archive, Files
from thumbnets.data.download import download
from thumbnets.training.imagenet import FOLDER, published

_MIRROR = "https://download.pytorch.org/models/"


def fetch_weights(arch: str) -> Path:
    """Fetch the ImageNet weights of a network, unless their file is there and complete.

    Args:
        arch: Name of the network, `torchvision/NAME`.

    Returns:
        Their file.

    Raises:
        ValueError: There are none, or no source has a good copy.
    """
    found = published(arch)
    files = Files(
        name=arch,
        title=f"weights of {arch}",
        folder=FOLDER.name,
        mirrors=(_MIRROR,),
        archives=(Archive(found.file, found.sha256, None, unpacked=False),),
        otherwise=f"or put the file into {FOLDER}.",
    )
    download(files, FOLDER, mirror=runtime.mirror())
    return FOLDER / found.file
