"""What is said of a folder of images: the options for reading it, and its images in a list."""

from dataclasses import dataclass

from thumbnets.data.images import MAX_PIXELS

BROKEN = ("refuse", "skip")  # what may be done about files that can't be read
LEAKS = ("tell", "refuse")  # what may be done about groups in both parts that are given


@dataclass(frozen=True)
class FolderRule:
    """How a folder of images becomes arrays.

    Attributes:
        path: The folder.
        size: Height and width that images are brought to, pixels.
        fit: How, a key of `images.FITS`.
        test: Share of the images of each class that test, where the folder does not say.
        seed: Draws them.
        broken: What is done about files that can't be read, one of `BROKEN`.
        depth: Bits of the values in files of 16 bits, 8 to 16; None: as many as the highest needs.
        max_pixels: Largest number of pixels of an image.
        list: CSV file in the folder that says the label of each image; None: its folder does.
        group: Pattern on the path of an image, below its part; what its first group matches is
            the group of the image. None: of the list's column, or every image by itself.
        leaks: What is done about groups in both parts that are given, one of `LEAKS`.
    """

    path: str
    size: int = 32
    fit: str = "crop"
    test: float = 0.2
    seed: int = 0
    broken: str = "refuse"
    depth: int | None = None
    max_pixels: int = MAX_PIXELS
    list: str | None = None
    group: str | None = None
    leaks: str = "tell"


@dataclass(frozen=True, slots=True)
class Listed:
    """One image file.

    Attributes:
        part: `train` or `test`; empty where the folder does not say.
        label: Its class, the folder that it lies in.
        file: Its place in the folder.
        sha256: Checksum of its bytes; empty where there are none, as behind a dangling link.
        highest: Highest value in a file of 16 bits, else empty.
        group: What it belongs to (a patient, a video); empty: nothing else does.
    """

    part: str
    label: str
    file: str
    sha256: str
    highest: str = ""
    group: str = ""
