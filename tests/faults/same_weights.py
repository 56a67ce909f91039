"""Whether two weights files are the same except for the checksum.

Use: `python -m tests.faults.same_weights OLD NEW`.

Files from before the checksum was introduced differ only by that one key of the metadata.
"""

import json
import sys
from pathlib import Path

from safetensors import safe_open


def same_but_for_the_checksum(a: Path, b: Path) -> bool:
    """Whether tensors (names, order, dtypes, bytes) and all other metadata are the same."""
    return _content(a) == _content(b)


def _content(path: Path) -> tuple[object, bytes]:
    """Metadata without the checksum, and everything behind the header as it is in the file."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
        layout = [(name, file.get_slice(name).get_dtype()) for name in file.keys()]
    about = json.loads(metadata.pop("thumbnets"))
    about.pop("sha256", None)
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    return (metadata, json.dumps(about, sort_keys=True), layout), content[start:]


if __name__ == "__main__":
    old, new = map(Path, sys.argv[1:])
    if not same_but_for_the_checksum(old, new):
        sys.exit(f"{old} and {new} differ in more than the checksum")
    print("the same but for the checksum")
