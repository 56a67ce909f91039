"""`python -m tests.faults [COUNT] [KIND]`: damage each kind of file COUNT times, print a table."""

import resource
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from .kinds import KINDS
from .loop import attack

MEMORY = 6 << 30  # bytes of addresses beyond what the libraries take: more is a MemoryError


def main(count: int = 10_000, only: str = "") -> None:
    warnings.simplefilter("ignore")
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, resource.RLIM_INFINITY))
    print("| file | damaged | refused in one line | read | traceback or other fault |")
    print("| --- | ---: | ---: | ---: | ---: |")
    faults = []
    for kind in (kind for kind in KINDS if only in kind.name):
        began = time.monotonic()
        with TemporaryDirectory() as folder:
            tally = attack(kind, Path(folder), count)
        print(
            f"| {kind.name} | {count:,} | {tally.refused:,} | {tally.read:,} "
            f"| {len(tally.faults):,} |",
            flush=True,
        )
        print(f"{kind.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        faults += [f"{kind.name}, {number}: {text}" for number, text in tally.faults.items()]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"peak memory {peak} MiB", file=sys.stderr)
    if faults:
        sys.exit("\n".join(faults[:100]))


if __name__ == "__main__":
    main(*(int(word) if word.isdecimal() else word for word in sys.argv[1:]))
