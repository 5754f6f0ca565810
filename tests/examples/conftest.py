"""The examples in a folder of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest
from examples_run import ALONE, EXAMPLES, start


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples and nothing else: numpyml is to be the installed one."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def command(checkout: Path):
    """``python -m examples``; blocked packages cannot be imported."""

    def call(*arguments: str, blocked: str = "") -> subprocess.CompletedProcess[str]:
        setup = "import sys; sys.path.insert(0, '')\n"
        return start(["-c", setup + ALONE, blocked, "module", "examples", *arguments], checkout)

    return call
