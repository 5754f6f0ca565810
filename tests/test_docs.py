"""Every Python block of every page of the documentation runs, in order, and prints what the page shows.

A page runs up to the first block that imports a package that is missing: PyTorch is in ``tox -e harness``, others in
``tox -e examples``; outside tox, the installed packages count. Each page has one namespace. A block runs unless the
line above it is ``<!-- not run: reason -->``. A text block right below it is its output: word for word, except that
``...`` matches anything, and numbers with a decimal point match within a quarter: processors sum in different orders.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib.util
import io
import math
import os
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import numpyml
from conformance import contracts

DOCS = Path(__file__).resolve().parents[1] / "docs"
OWN = ("check-your-own-framework.md", "peers.md")  # their blocks are files, and scripts; they have tests of their own
FENCE = re.compile(r"^(?P<mark><!-- not run: .+ -->\n)?```(?P<kind>\w+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
MEASURED = re.compile(r"-?\b\d+\.\d+(?:e[-+]?\d+)?\b")
PAGES = {
    str(page.relative_to(DOCS)): page.read_text("utf-8")
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in OWN and "_build" not in page.parts
}

ALONE = frozenset({"numpy", "numpyml", "safetensors"})
HARNESS = ALONE | {"torch", "conformance", "hypothesis"}
EXAMPLES = HARNESS | {"sklearn", "matplotlib", "pandas", "tokenizers"}


class Block(NamedTuple):
    """A block of Python, the line it begins on, what it needs and what it prints."""

    line: int
    code: str
    needs: frozenset[str]
    prints: str | None


def needs(code: str) -> frozenset[str]:
    """The packages that code imports, but Python's own."""
    packages = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            packages |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            packages.add(str(node.module).partition(".")[0])
    return frozenset(packages - sys.stdlib_module_names)


def blocks(text: str) -> list[Block]:
    """The blocks of a page that run."""
    parsed: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        if match["kind"] == "python" and not match["mark"]:
            parsed.append(Block(text.count("\n", 0, match.start("code")), match["code"], needs(match["code"]), None))
        elif match["kind"] == "text" and parsed and not text[end : match.start()].strip(" :\n"):
            parsed[-1] = parsed[-1]._replace(prints=match["code"])
        end = match.end()
    return parsed


def same(expected: str, printed: str) -> bool:
    """Whether the page shows what was printed."""
    words = doctest.OutputChecker().check_output(
        MEASURED.sub("#", expected), MEASURED.sub("#", printed), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    pairs = [MEASURED.findall(text) for text in (expected, printed)]
    if not words or "..." in expected:
        return words
    return all(math.isclose(float(a), float(b), rel_tol=0.25, abs_tol=unit(a)) for a, b in zip(*pairs, strict=True))


def unit(number: str) -> float:
    """One unit of the last digit that is shown."""
    digits, _, power = number.lower().partition("e")
    return float(10.0 ** (int(power or 0) - len(digits.partition(".")[2])))


def needed(page: str) -> frozenset[str]:
    """All that the blocks of a page need."""
    return frozenset().union(*(block.needs for block in blocks(PAGES[page])))


def environment() -> tuple[frozenset[str], frozenset[str]]:
    """The packages that blocks may need here, and those that a smaller environment has."""
    name = os.environ.get("TOX_ENV_NAME")
    if name in ("harness", "examples"):
        return (HARNESS, ALONE) if name == "harness" else (EXAMPLES, HARNESS)
    there = frozenset(package for package in EXAMPLES if importlib.util.find_spec(package))
    return (there if name is None else ALONE), frozenset()


HERE, ELSEWHERE = environment()


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if (page_blocks := blocks(PAGES[page])) and page_blocks[0].needs <= HERE and not needed(page) <= ELSEWHERE
    ],
)
def test_code_runs_and_prints_what_the_page_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numpyml.manual_seed(0)
    if "torch" in HERE & needed(page):
        import torch

        torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "documentation"}
    for block in blocks(PAGES[page]):
        if not block.needs <= HERE:
            break  # what follows may be about it
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Begun on its line in the page, which a traceback then names.
            exec(compile("\n" * block.line + block.code, str(DOCS / page), "exec"), names)
        if block.prints is not None:
            assert same(block.prints, printed.getvalue()), f"{page}, line {block.line}, prints\n{printed.getvalue()}"


def test_every_block_runs_somewhere() -> None:
    assert {page: needed(page) - EXAMPLES for page in PAGES if not needed(page) <= EXAMPLES} == {}


def test_few_blocks_are_not_run() -> None:
    marked = [match["mark"] for text in PAGES.values() for match in FENCE.finditer(text) if match["mark"]]
    assert len(marked) <= 3, marked


def test_printed_output_is_compared() -> None:
    (block,) = blocks("```python\nprint(1 / 3)\n```\n\n```text\n0.333...\n```\n")
    assert block.prints == "0.333...\n" and block.line == 1
    assert blocks("```python\nx = 1\n```\n\nAnd then\n\n```text\n1\n```\n")[0].prints is None
    assert blocks("<!-- not run: it fails -->\n```python\n1 / 0\n```\n") == []
    assert same("loss 0.120, 3 of 4", "loss 0.110, 3 of 4") and not same("loss 0.120, 3 of 4", "loss 0.120, 2 of 4")
    assert same("1.0e-13", "1.1e-13") and not same("1.0e-13", "2.0e-13") and not same("loss 0.12", "loss 0.2 (high)")
    assert needs("import torch.nn\nfrom os import path\nfrom numpyml.nn import layers") == {"torch", "numpyml"}


def test_every_component_with_a_row_has_its_page() -> None:
    """But NumPy's functions, which NumPy documents, and initial values, which are not derived."""
    held = [name for text in PAGES.values() for name in re.findall(r"^```\{held\} (\w+)$", text, re.MULTILINE)]
    rows = [row.name for row in [*contracts.module_rows(), *contracts.optimizer_rows()]]
    assert sorted(held) == sorted(rows)


def test_every_public_module_is_in_the_reference() -> None:
    reference = "".join(text for page, text in PAGES.items() if page.startswith("api/"))
    exported = [f"numpyml.nn.{name}" for name in numpyml.nn.__all__]
    for module in pkgutil.iter_modules(numpyml.__path__, "numpyml."):
        exported += [module.name] if members(module.name) and module.name not in INNER else []
    whole = set(re.findall(r"automodule:: ([\w.]+)", reference))
    single = re.findall(r"auto(?:class|function|exception):: ([\w.]+)", reference)
    expected = {f"{name}.{inner}" for name in exported if name not in whole for inner in members(name)}
    assert expected - set(single) == set()


# What is public of these, their parents export.
INNER = ("numpyml.autograd", "numpyml.nn", "numpyml.kernels", "numpyml.memory", "numpyml.nested", "numpyml.typing")


def members(name: str) -> list[str]:
    """``__all__`` of a module, from its source: what it imports may not be there. Of a class, nothing."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return []
    if spec is None or spec.origin is None:
        return []
    for node in ast.parse(Path(spec.origin).read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def test_files_named_by_pages_exist() -> None:
    missing = {}
    for page, text in PAGES.items():
        prose = FENCE.sub("", text)
        links = [link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose) if not link.startswith("http")]
        named = re.findall(r"`((?:numpyml|conformance|tests|tools|examples|benchmarks|docs)/[\w/.]*)`", prose)
        absent = [link for link in links if not ((DOCS / page).parent / link).exists()]
        absent += [name for name in named if not (DOCS.parent / name).exists()]
        if absent:
            missing[page] = absent
    assert missing == {}
