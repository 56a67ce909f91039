"""What a project needs besides its files: libraries, a processor, a remote."""

import re
import secrets
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from thumbnets import paths, runtime
from thumbnets.doctor.findings import Finding
from thumbnets.git import is_repository
from thumbnets.params import Params

_LIBRARIES = ("torch", "torchvision", "numpy", "dvc")


def libraries(root: Path) -> list[Finding]:
    """Versions of libraries that differ from those pinned in requirements.lock."""
    lock = root / paths.REQUIREMENTS
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    found = []
    for name in _LIBRARIES:
        pinned = re.findall(rf"^{name}==([^\s;\\]+)", text, re.MULTILINE)
        try:
            installed = version(name).split("+")[0]  # 2.12.1+cpu is 2.12.1
        except PackageNotFoundError:
            installed = "missing"
        if pinned and installed not in [release.split("+")[0] for release in pinned]:
            wanted = " or ".join(pinned)
            problem = f"{name} is {installed}, {paths.REQUIREMENTS} pins {wanted}"
            found.append(Finding(problem, "make install"))
    return found


def arithmetic(params: Params) -> list[Finding]:
    """Params that ask for bf16 if this device lacks it and only its own results are accepted."""
    if runtime.accepted_device() != runtime.device_type():
        return []
    try:
        for name in params.run:
            train = params.settings[name].train
            runtime.prepare(threads=train.threads, precision=train.precision)
    except ValueError as error:
        return [of_params(error, ", or train on a GPU (docs/clusters.md)")]
    return []


def of_params(error: ValueError, otherwise: str = "") -> Finding:
    """The finding for invalid params, with an alternative to editing them."""
    return Finding(str(error), f"edit {paths.PARAMS} or zoo/, then dvc repro{otherwise}")


def remote(root: Path) -> list[Finding]:
    """A default DVC remote that fails to answer or refuses: tested with one small object."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    if not is_repository(root):
        return []
    try:
        with Repo(str(root)) as repo:
            if not repo.config["core"].get("remote"):
                return []
            odb = repo.cloud.get_remote_odb()
            content, path = secrets.token_bytes(16), odb.fs.join(odb.path, "thumbnets-doctor")
            odb.fs.makedirs(odb.path, exist_ok=True)
            odb.fs.pipe_file(path, content)
            same = odb.fs.cat_file(path) == content
            odb.fs.rm_file(path)
    except (DvcException, OSError, ValueError, ImportError) as error:
        problem = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "dvc remote modify (dvc remote list shows it)"
        return [Finding(f"the DVC remote failed: {problem}", remedy)]
    if same:
        return []
    return [
        Finding("the DVC remote returns other bytes than were written to it", "dvc remote list")
    ]
