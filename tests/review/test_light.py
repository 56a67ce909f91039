"""The review in CI runs where little is installed."""

import re
import subprocess
import sys

# Packages that are found, by their distribution in ci.yml.
IMPORTED_AS = {"ruamel-yaml": "ruamel", "markdown-it-py": "markdown_it"}

RUN = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in KNOWN or top in sys.stdlib_module_names or top.startswith("_sysconfig")
        if path is None and not known:
            raise ModuleNotFoundError(f"{name} is not installed there", name=name)

KNOWN = set(sys.argv.pop(1).split()) | {"thumbnets"}
sys.meta_path.insert(0, Nothing())
sys.argv[0] = "thumbnets.review"
runpy.run_module("thumbnets.review", run_name="__main__", alter_sys=True)
"""


def test_it_needs_only_what_ci_installs(project, root):
    base = project.commit()
    workflow = (root / ".github/workflows/ci.yml").read_text()
    [names] = re.findall(r"kept = /\^\(([^)]+)\)==/", workflow)
    known = [IMPORTED_AS.get(name, name) for name in names.split("|")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, " ".join(known), base, "HEAD", "--md"],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no difference shown" in done.stdout
    refused = [sys.executable, "-c", RUN, "numpy scipy rich ruamel", base, "HEAD", "--md"]
    done = subprocess.run(refused, cwd=project.root, capture_output=True, text=True)
    assert "tqdm is not installed there" in done.stderr
