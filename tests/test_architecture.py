"""The import graph of both packages is the one that docs/architecture.md describes.

Imports are read from the source with ``ast``; nothing is imported, so NumPy alone is enough. Imports inside functions
count. Imports under ``if TYPE_CHECKING`` do not, nor do modules that are named by a string.
"""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("numpyml", "conformance")
LONGEST = 450  # lines of a file
PAGE = Path(__file__).resolve().parents[1] / "docs" / "architecture.md"
# Named after NumPy's functions, and arcsin differs from arcsinh by a letter.
NAMED_AFTER_FUNCTIONS = ("conformance/findings",)


def folder(package: str) -> Path:
    """Where the package is installed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def modules(root: Path) -> dict[str, Path]:
    """The modules of a package: dotted name -> file."""
    files = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = path
    return files


FOLDERS = {package: folder(package) for package in PACKAGES}
FILES = {name: path for root in FOLDERS.values() for name, path in modules(root).items()}


def imports(node: ast.AST) -> Iterator[str]:
    """The names that a syntax tree imports, those of a from-import appended to its module's."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    else:
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in node.orelse if for_types else ast.iter_child_nodes(node):
            yield from imports(child)


def imported(tree: ast.AST, files: dict[str, Path] = FILES) -> set[str]:
    """The modules of the two packages that a syntax tree imports."""
    names = (name if name in files else name.rpartition(".")[0] for name in imports(tree))
    return {name for name in names if name in files}


TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in FILES.items()}
GRAPH = {name: imported(tree) - {name} for name, tree in TREES.items()}


def room(name: str) -> str:
    """The room of a module: a folder directly in its package, or a file, such as ``kernels/`` or ``errors.py``."""
    package = FOLDERS[name.partition(".")[0]]
    parts = FILES[name].relative_to(package).parts
    return f"{parts[0]}/" if len(parts) > 1 else parts[0]


def arrows(package: str) -> dict[str, set[str]]:
    """Which rooms each room of a package imports; another package counts as one room."""
    rooms: dict[str, set[str]] = {}
    for name, targets in GRAPH.items():
        if name.startswith(f"{package}."):
            others = {room(t) if t.startswith(f"{package}.") else t.partition(".")[0] for t in targets}
            rooms[room(name)] = rooms.get(room(name), set()) | others - {room(name)}
    return rooms


def table(package: str) -> dict[str, set[str]]:
    """The rooms of a package and what they import, in the order of the page."""
    (section,) = re.findall(
        rf"^## The rooms of {package}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    rows = re.findall(r"^\| `([\w./]+)` \|[^|]*\| ?([^|]*?) ?\|$", section, re.MULTILINE)
    return {name: set(re.findall(r"`([\w./]+)`", targets)) for name, targets in rows}


def neighbours(a: str, b: str) -> bool:
    """Whether two names differ by one letter."""
    short, long = sorted((a, b), key=len)
    if len(short) == len(long):
        return sum(x != y for x, y in zip(a, b, strict=True)) == 1
    return len(long) - len(short) == 1 and any(short == long[:i] + long[i + 1 :] for i in range(len(long)))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_form_no_cycle(package: str) -> None:
    graph = {name: targets for name, targets in GRAPH.items() if name.partition(".")[0] == package}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        pytest.fail(f"expected no import cycle, got {cycle}; move what both need into a module below them")


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_what_the_page_lists(package: str) -> None:
    actual, listed = arrows(package), table(package)
    different = {
        name: f"imports {sorted(actual.get(name, set()))}, the page lists {sorted(listed.get(name, set()))}"
        for name in actual.keys() | listed.keys()
        if actual.get(name) != listed.get(name)
    }
    assert different == {}, f"update docs/architecture.md, or the imports: {different}"


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_rooms_above_them_in_the_table(package: str) -> None:
    listed = table(package)
    order = list(listed)
    upwards = {
        name: later
        for name, targets in listed.items()
        if (later := {t for t in targets & listed.keys() if order.index(t) >= order.index(name)})
    }
    assert upwards == {}


@pytest.mark.parametrize(
    ("part", "others"),
    [
        ("numpyml", ("torch", "conformance")),
        ("numpyml.kernels", ("numpyml.autograd", "numpyml.nn", "numpyml.training")),
        ("numpyml.autograd", ("numpyml.nn", "numpyml.training")),
        ("numpyml.nn", ("numpyml.training",)),
    ],
)
def test_lower_rooms_know_nothing_of_higher_ones(part: str, others: tuple[str, ...]) -> None:
    within = {name: tree for name, tree in TREES.items() if f"{name}.".startswith(f"{part}.")}
    assert within
    forbidden = {
        (name, target)
        for name, tree in within.items()
        for target in imports(tree)
        if any(f"{target}.".startswith(f"{other}.") for other in others)
    }
    assert forbidden == set()


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_names_in_a_folder_differ_by_more_than_a_letter() -> None:
    folders: dict[str, set[str]] = {}
    for package, root in FOLDERS.items():
        for path in root.rglob("*"):
            if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))):
                folders.setdefault(str(Path(package) / path.parent.relative_to(root)), set()).add(path.stem)
    similar = {
        inside: pairs
        for inside, stems in folders.items()
        if inside not in NAMED_AFTER_FUNCTIONS
        and (pairs := [pair for pair in itertools.combinations(sorted(stems), 2) if neighbours(*pair)])
    }
    assert similar == {}


def test_imports_are_parsed_from_source() -> None:
    source = """
import a.b
from a import b, name
if TYPE_CHECKING:
    from a import hidden
else:
    import a.shown
def f():
    from a.inside import thing
"""
    files = dict.fromkeys(("a", "a.b", "a.hidden", "a.shown", "a.inside"), Path())
    assert imported(ast.parse(source), files) == {"a", "a.b", "a.shown", "a.inside"}
    assert neighbours("optimizer", "optimizers") and neighbours("cat", "cut")
    assert not neighbours("cat", "cat") and not neighbours("rows", "rule") and not neighbours("model", "module")
