"""What is installed: the package that was built, typed, and light to import."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import numpyml


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="outside tox the checkout may be what is installed")
@pytest.mark.parametrize("package", ["numpyml", "conformance"])
def test_tests_see_the_installed_wheel(package: str) -> None:
    spec = importlib.util.find_spec(package)
    installed = importlib.metadata.distribution("provengrad").locate_file(f"{package}/__init__.py")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin) == Path(str(installed))
    assert "site-packages" in spec.origin


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="outside tox nothing need be installed")
def test_version_is_that_of_the_distribution() -> None:
    assert importlib.metadata.version("provengrad") == numpyml.__version__


def test_package_is_marked_as_typed() -> None:
    assert files("numpyml").joinpath("py.typed").is_file()


def test_import_brings_in_nothing_but_numpy() -> None:
    code = "import numpy, sys; before = set(sys.modules); import numpyml.nn; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert roots - set(sys.stdlib_module_names) <= {"numpyml", "numpy"}
