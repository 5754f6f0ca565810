"""Examples as processes of their own."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TASKS = sorted(path.parent.name for path in EXAMPLES.glob("*/task.py"))
EITHER = pytest.mark.parametrize("half", ["with_numpyml", "with_pytorch"])
# Runs a script or a module as from the command line, some packages being out of reach: BLOCKED KIND TARGET ARGUMENTS...
ALONE = """
import runpy
import sys

blocked, kind, sys.argv[:] = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]


class OutOfReach:
    def find_spec(self, name, path=None, target=None):
        if name in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, OutOfReach())
(runpy.run_module if kind == "module" else runpy.run_path)(sys.argv[0], run_name="__main__")
"""


def start(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A warning is an error."""
    whole = [sys.executable, "-W", "error", *command]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=540, check=False)


def run(task: str, half: str, *options: str) -> str:
    """What a half prints, run as a script; with numpyml, PyTorch is not to be had."""
    script = EXAMPLES / task / f"{half}.py"
    blocked = "torch" if half != "with_pytorch" else ""
    setup = f"import sys; sys.path.insert(0, {str(script.parent)!r})\n"
    done = start(["-c", setup + ALONE, blocked, "path", str(script), *options], script.parent)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return done.stdout


def number(pattern: str, text: str) -> float:
    """The figure that follows ``pattern``."""
    match = re.search(pattern + r":? (-?[\d.]+(?:e[+-]\d+)?)", text)
    assert match, text
    return float(match[1])


def distances(printed: str) -> dict[tuple[str, str, str], float]:
    """The largest distance of each pair of halves, of losses and of predictions, over all variants."""
    largest: dict[tuple[str, str, str], float] = {}
    for one, other, value, kind in re.findall(
        r"^largest distance, (.+) from (.+): (\S+) of the (loss|largest prediction)", printed, re.MULTILINE
    ):
        key = one, other, kind.split()[-1]
        largest[key] = max(largest.get(key, 0.0), float(value))
    return largest
