"""Selection of the framework under test."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from conformance.errors import Misuse

_selection: list[Any] = []  # the adapter that use() selected, if any

# Names that DIFFERENCES replaces.
OLD_NAMES = (
    "ABSENT", "ADDED", "LIMITS", "AT_NAN", "NOT_GIVEN", "OPTIONS_NOT_STATE", "STRICTER", "LAXER", "REMARKS",
)  # fmt: skip


def under_test() -> Any:
    """The adapter of the framework under test: numpyml, unless :func:`use` selected another."""
    return _selection[-1] if _selection else importlib.import_module("conformance.frameworks.numpyml")


def use(adapter: Any) -> None:
    """Set the framework under test; None: numpyml.

    Raises: Misuse when the adapter has a list of differences under a name that is not read.
    """
    for name in OLD_NAMES:
        if hasattr(adapter, name):
            raise Misuse(
                f"the adapter of {adapter.NAME} defines {name}, which is not read; expected one mapping, "
                'such as DIFFERENCES = {"nn.Linear": (Refused("input as integers", "reason"),)}, with the classes of '
                "conformance.records; rename it if it is something else"
            )
    _selection[:] = [] if adapter is None else [adapter]


def load(path: str | Path | None) -> Any:
    """The adapter in this file, or that of this name in ``conformance.frameworks``.

    Raises: Misuse when there is none, when it fails to import, or offers nothing.
    """
    if path is None:
        return None
    file = Path(path)
    if str(path).isidentifier() and path != "pytorch":
        here = Path(__file__).parent
        file = next((own for folder in (here, here / "peers") if (own := folder / f"{path}.py").is_file()), file)
    if not file.is_file():
        raise Misuse(f"--framework expects the path of an adapter, a Python file; there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"adapter_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    adapter = importlib.util.module_from_spec(spec)
    if str(file.parent.resolve()) not in sys.path:
        sys.path.append(str(file.parent.resolve()))  # an adapter may import files in its folder
    sys.modules[spec.name] = adapter  # where dataclass and pickle look up classes
    try:
        spec.loader.exec_module(adapter)
    except (Exception, SystemExit) as error:
        raise Misuse(f"--framework {path} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(adapter, "NAME") or not any(hasattr(adapter, f) for f in ("make", "differentiate", "optimizer")):
        raise Misuse(f"--framework {path} is no adapter: it defines no NAME, or none of make, differentiate, optimizer")
    if adapter.NAME == "numpyml" and file != Path(__file__).with_name("numpyml.py"):
        raise Misuse(f"--framework {path} is called numpyml, as the suite's own adapter is; give it a NAME of its own")
    vars(adapter)["ADAPTER_PATH"] = str(path)  # for the command that reproduces a failure
    return adapter
