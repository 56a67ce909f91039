"""What stands for the worker and the store in tests of back ends that run processes here."""

from pathlib import Path

# Stands for the worker: tells of two epochs, notes how many run at once, fails if asked to.
WORKER = """
import os, signal, sys, time
from pathlib import Path
for argument in sys.argv[1:]:
    model, seed, key, name = argument.split(":")
    mine = Path(f"{model}-{seed}.running")
    mine.touch()
    for epoch in (1, 2):
        print(f"{name}, seed {seed}: epoch {epoch}/2, loss 0.1", flush=True)
        time.sleep(0.15)
        with open("at_once", "a") as file:
            print(len(list(Path().glob("*.running"))), file=file)
    mine.unlink()
    if model == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif model == "bad":
        print("warning: odd")
        print(f"error: {name}, seed {seed}: the loss is no longer finite")
        print("more")
    else:
        Path(f"{key}.done").touch()
"""


class Done:
    """Stands for the store, as the worker above writes it."""

    def has(self, key: str) -> bool:
        return Path(f"{key}.done").exists()

    def holder(self, key: str) -> None:
        return None
