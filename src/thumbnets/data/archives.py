"""Compressed files and archives, unpacked within bounds: a small file can't fill memory or disk."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from tqdm import tqdm
from tqdm.utils import CallbackIOWrapper

from thumbnets.messages import quote

DEFLATE_RATIO = 1032  # the most bytes that one byte of a deflate stream stands for

_BLOCK = 1 << 20  # bytes read at a time
_LONGEST_HEADER = 1 << 16  # bytes of a long file name or of extended attributes in a tar archive
_MEMBERS = 10_000  # of a tar archive; tarfile keeps them all in memory
_HEADERS = (  # types of members that tarfile reads into memory
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def read_exactly(stream: IO[bytes], length: int) -> bytearray:
    """Read the whole rest of a stream, which must have a given length.

    Args:
        stream: A file, or a decompressor that ends with an error if its checksum is wrong.
        length: Bytes that it must have.

    Raises:
        ValueError: It has fewer or more; never more than one byte too many is read.
    """
    content = bytearray()
    while len(content) < length:
        block = stream.read(min(_BLOCK, length - len(content)))
        if not block:
            raise ValueError(f"{length:,} bytes must follow its header, got {len(content):,}")
        content += block
    if stream.read(1):
        raise ValueError(f"{length:,} bytes must follow its header, got more")
    return content


def read_text(stream: IO[bytes], longest: int) -> str:
    """Read the whole rest of a stream as UTF-8.

    Raises:
        ValueError: It has more than `longest` bytes, or is not UTF-8.
    """
    content = bytearray()
    while block := stream.read(_BLOCK):
        content += block
        if len(content) > longest:
            raise ValueError(f"must hold at most {longest:,} bytes of text, got more")
    return content.decode("utf-8")


@contextmanager
def open_member(archive: ZipFile, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open one member of a ZIP archive.

    Returns:
        The member and the most bytes that it can have.

    Raises:
        KeyError: There is no such member.
        ValueError: It is compressed in another way than by deflate.
    """
    member = archive.getinfo(name)
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} must be stored or deflated")
    size = Path(archive.filename).stat().st_size
    with archive.open(member) as stream:
        yield stream, min(member.file_size, size * DEFLATE_RATIO)


class _Member(tarfile.TarInfo):
    """A member of a tar archive whose name and attributes are short enough to be read."""

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.type in _HEADERS and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header has {self.size:,} bytes")
        return super()._proc_member(archive)


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar archive, to be read from its beginning to its end, with a bar if that takes long."""
    bar = tqdm(
        desc=f"unpacking {path.name}",
        total=path.stat().st_size,
        unit="B",
        unit_scale=True,
        leave=False,
        delay=2,
        disable=None,
    )
    with path.open("rb") as file, bar:
        stream = CallbackIOWrapper(bar.update, file, "read")
        with tarfile.open(fileobj=stream, mode="r|gz", tarinfo=_Member) as archive:
            yield archive


def unpack_tar(
    path: Path, inside: str, names: list[str], folder: Path, *, longest: int
) -> dict[str, Path]:
    """Unpack some files of a tar archive; all other members are passed over.

    Args:
        path: The archive, .tar.gz.
        inside: Folder of the archive that the files lie in.
        names: Names of the files.
        folder: Where to write them.
        longest: Bytes that each may have.

    Returns:
        The path of each file by its name.

    Raises:
        ValueError: A file is missing, too long, or not a regular one (a link, a device).
        tarfile.TarError, EOFError, OSError, …: The archive is damaged.
    """
    missing = set(names)
    with _tar(path) as archive:
        for number, member in enumerate(archive):
            if number >= _MEMBERS:
                raise ValueError(f"it has more than {_MEMBERS:,} members")
            name = member.name.removeprefix("./").removeprefix(f"{inside}/")
            if name in missing:
                _write_member(archive, member, folder / name, longest)
                missing.remove(name)
            if not missing:
                break
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    return {name: folder / name for name in names}


def _write_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, longest: int
) -> None:
    if not member.isreg() or member.issparse():
        raise ValueError(f"{quote(member.name)} must be a regular file")
    if member.size > longest:
        raise ValueError(f"{quote(member.name)} has {member.size:,} bytes, at most {longest:,} fit")
    left = member.size
    with archive.extractfile(member) as source, target.open("wb") as file:
        while left:
            block = source.read(min(_BLOCK, left))
            if not block:
                raise ValueError(f"{quote(member.name)} is cut off")
            file.write(block)
            left -= len(block)
