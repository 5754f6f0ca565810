"""Every size threshold of numpyml is declared in numpyml/kernels/thresholds.py, and read there when the code runs."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

_spec = importlib.util.find_spec("numpyml")
assert _spec is not None and _spec.submodule_search_locations
ROOT = Path(next(iter(_spec.submodule_search_locations)))
DECLARED = ROOT / "kernels" / "thresholds.py"
SMALL = 16  # integers below are numbers of axes, units and the like

# Numbers that are no thresholds between two computations: file -> a part of the line -> what the number is.
OTHER_NUMBERS = {
    "autograd/derivatives/products.py": {"chain(range(65, 91), range(97, 123))": "the codes of letters"},
    "autograd/gradcheck.py": {
        "jump > 20 * noise": "a factor of floats",
        "errors[1:] > 20 * noise": "a factor of floats",
    },
    "errors.py": {"len(text) <= 100": "the width of a message"},
    "memory.py": {"_GIB = 1 << 30": "an option of the C library"},
    "nn/init.py": {"_FARTHEST = 16": "standard deviations"},
    "nn/layers/position.py": {"LARGEST_ANGLE_LOG2 = 24": "the largest angle that is accepted"},
    "nn/optimizers/base.py": {"0 <= int(value) < 1 << 63": "the range of 64 bits"},
    "nn/representation.py": {"len(line) <= 100": "the width of a line"},
    "nn/storage.py": {"_ALIGNMENT = 64": "the alignment of every array"},
    "nn/summary.py": {"nbytes < 1024": "units of memory"},
    "options.py": {"< 1 << 63": "the range of 64 bits"},
    "training/history.py": {"len(values) < 20": "the markers of a plot"},
}


def is_size(node: ast.AST) -> bool:
    """Whether an expression is, or is computed from, an integer literal of 16 or more."""
    if isinstance(node, ast.BinOp):
        power = isinstance(node.op, (ast.LShift, ast.Pow)) and _integer(node.left) and _integer(node.right)
        arithmetic = isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv))
        return power or (arithmetic and (is_size(node.left) or is_size(node.right)))
    return _integer(node) and getattr(node, "value", 0) >= SMALL


def _integer(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def undeclared(tree: ast.Module) -> set[int]:
    """The lines of comparisons, steps, lengths of parts and constants of a module that hold such a literal."""
    numbers = set()
    for node in ast.walk(tree):
        sizes: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            sizes = [node.left, *node.comparators]
        elif isinstance(node, ast.Slice):
            sizes = [bound for bound in (node.lower, node.upper, node.step) if bound is not None]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max", "range"):
            sizes = list(node.args)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.FloorDiv, ast.Mod)):
            sizes = [node.left, node.right]
        if any(map(is_size, sizes)):
            numbers.add(getattr(node, "lineno", 0))
    for statement in tree.body:
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        if value is not None and is_size(value):
            numbers.add(statement.lineno)
    return numbers


def lines(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    return [text.splitlines()[number - 1].strip() for number in sorted(undeclared(ast.parse(text)))]


@pytest.mark.parametrize("path", sorted(set(ROOT.rglob("*.py")) - {DECLARED}), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_size_threshold_is_declared(path: Path) -> None:
    known = OTHER_NUMBERS.get(path.relative_to(ROOT).as_posix(), {})
    found = lines(path)
    assert [line for line in found if not any(part in line for part in known)] == []
    assert [part for part in known if not any(part in line for line in found)] == []


@pytest.mark.parametrize(
    "source",
    [
        "if x.size >= 64: pass",
        "if 2 < n <= 1 << 15: pass",
        "if 16 * n > PART * 32: pass",
        "for start in range(0, n, 4096): pass",
        "y = x[: 1 << 10]",
        "length = min(n, 256)",
        "parts = n // 128",
        "LIMIT = 1 << 18",
        "LIMIT = 2**18",
    ],
)
def test_undeclared_thresholds_are_found(source: str) -> None:
    assert undeclared(ast.parse(source)) == {1}


def test_small_numbers_are_no_sizes() -> None:
    assert undeclared(ast.parse("if x.ndim == 2: y = x[1:3] + 100.0 * max(x.size, 1)")) == set()


def declarations() -> list[ast.Assign]:
    tree = ast.parse(DECLARED.read_text("utf-8"))
    return [statement for statement in tree.body if isinstance(statement, ast.Assign)]


def test_every_declaration_is_an_integer_with_unit_and_reason() -> None:
    text = DECLARED.read_text("utf-8").splitlines()
    for statement in declarations():
        line = text[statement.lineno - 1]
        assert isinstance(ast.literal_eval(ast.unparse(statement.value).replace("1 << ", "2")), int), line
        assert len(line.partition("  # ")[2].split()) > 5, line


def test_every_declaration_is_read_as_an_attribute() -> None:
    read: set[str] = set()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "thresholds":
                read.add(node.attr)
            assert not (isinstance(node, ast.ImportFrom) and node.module == "numpyml.kernels.thresholds"), path
    assert read == {
        statement.targets[0].id for statement in declarations() if isinstance(statement.targets[0], ast.Name)
    }
