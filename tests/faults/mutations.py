"""Seeded damage to a file: what disks, cut downloads, editors and attackers do to bytes."""

import random
import struct

# Numbers at the borders of what fields of formats can hold, and of what memory can.
_NUMBERS = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
_WORDS = [
    *(b"null nan NaN Infinity -1 0 1e999 true {} [] '' 999999999999999999999".split()),
    b"[" * 3000,
    b'{"a":' * 3000,
    b"9" * 5000,
    b"x" * 5000,
    b"../../x",
    b"\xff\xfe",
    b"\n",
    b"\0",
]


def _flip(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _overwrite(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    length = min(len(content) - start, rng.choice((1, 4, 16, 256)))
    content[start : start + length] = rng.choice((rng.randbytes(length), bytes(length)))


def _number(content: bytearray, rng: random.Random) -> None:
    packed = struct.pack(rng.choice("<>") + "Q", rng.choice(_NUMBERS))
    width = rng.choice((1, 2, 4, 8))
    start = rng.randrange(min(len(content), rng.choice((64, 1024, len(content)))))
    content[start : start + width] = rng.choice((packed[:width], packed[-width:]))


def _cut(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _append(content: bytearray, rng: random.Random) -> None:
    content += rng.choice((b"\0", b"\n", rng.randbytes(100), bytes(content[:1000])))


def _remove(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 2, 8, 100))]


def _repeat(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    content[start:start] = content[start : start + rng.choice((1, 8, 512))]


def _word(content: bytearray, rng: random.Random) -> None:
    """Put a word in the place of another, so that text keeps its form."""
    words = [i for i, byte in enumerate(content[: 1 << 16]) if byte in b' ,:[]{}"\n']
    start = rng.choice(words) + 1 if words else rng.randrange(len(content))
    end = next((place for place in words if place >= start), start + 1)
    content[start:end] = rng.choice(_WORDS)


_WAYS = (_flip, _overwrite, _number, _cut, _append, _remove, _repeat, _word)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """A damaged copy, in one to three ways."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_WAYS)(changed, rng)
        changed = changed or bytearray(b"\0")
    return bytes(changed)
