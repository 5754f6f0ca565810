"""Directives whose content is taken from the code, so that it cannot go stale."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from pydoc import locate
from runpy import run_path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from conformance import divergences
from conformance.contracts import rows
from conformance.rows import ModuleRow, OptimizerRow, peer


def resolved(path: str) -> Any:
    """What a dotted name leads to."""
    obj = locate(path)
    if obj is None:
        raise ExtensionError(f"there is no {path}")
    return obj


def equations(obj: Any) -> list[str]:
    """The indented blocks of a docstring that stand before its first section."""
    blocks: list[str] = []
    for line in inspect.cleandoc(obj.__doc__).splitlines():
        if line and not line.startswith(" ") and line.split(":")[0] in ("Args", "Shapes", "Raises"):
            break
        if line.startswith("    "):
            blocks.append(line[4:])
        elif not line and blocks and blocks[-1]:
            blocks.append("")
    return blocks


class Equations(SphinxDirective):
    """The equations of a docstring, as they stand there."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text = "\n".join(equations(resolved(self.arguments[0]))).rstrip()
        if not text:
            raise self.error(f"{self.arguments[0]} has no equations in its docstring")
        return [nodes.literal_block(text, text, language="none")]


class Parsed(SphinxDirective):
    """Markdown that a function of this file writes."""

    def write(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.write()))


class Code(SphinxDirective):
    """Functions, or the two of a layer, from their source, as it stands."""

    required_arguments = 1
    optional_arguments = 9

    def run(self) -> list[nodes.Node]:
        functions: list[Any] = []
        for obj in map(resolved, self.arguments):
            functions += [vars(obj)[name] for name in ("compute", "pullback")] if isinstance(obj, type) else [obj]
        text = "\n\n".join(inspect.cleandoc("\n" + inspect.getsource(written(function))) for function in functions)
        return [nodes.literal_block(text, text, language="python")]


def written(function: Any) -> Any:
    """A pullback as its author wrote it: Module wraps one that takes no ``needs_input_grad``."""
    return inspect.getclosurevars(function).nonlocals.get("pullback", function)


def public_path(obj: Any) -> str:
    """Where a user finds it: ``layers.Dense``."""
    return f"{obj.__module__.split('.')[2]}.{obj.__name__}"


class Names(Parsed):
    """Components under another name than PyTorch's."""

    def write(self) -> list[str]:
        named = [(row, peer(row)) for row in rows() if isinstance(row, (ModuleRow, OptimizerRow))]
        other = [(row, name) for row, name in named if name.startswith("torch.") and not name.endswith(f".{row.name}")]
        return [
            "| ours | PyTorch |",
            "|---|---|",
            *(f"| `{public_path(row.ours)}` | `{name}` |" for row, name in other),
        ]


class Same(Parsed):
    """Components under PyTorch's own name."""

    def write(self) -> list[str]:
        return [
            ", ".join(
                f"`{row.name}`"
                for row in rows()
                if peer(row).startswith("torch.") and peer(row).endswith(f".{row.name}")
            )
            + "."
        ]


class Ours(Parsed):
    """Components that PyTorch does not have."""

    def write(self) -> list[str]:
        names = [f"`{row.name}`" for row in rows() if isinstance(row, ModuleRow) and not peer(row).startswith("torch.")]
        return [", ".join(names) + "."]


class Divergences(Parsed):
    """The documented differences of one kind."""

    required_arguments = 1
    final_argument_whitespace = True

    def write(self) -> list[str]:
        return [f"- {marked(line)}" for line in divergences.documented()[self.arguments[0]]]


def marked(line: str) -> str:
    """A line of the record in Markdown: the component or argument that it begins with is code."""
    name = re.match(r"[\w.]+(\(.*?\))?(?=[,:] )", line)
    rest = line[name.end() :] if name else line
    return (f"`{name[0]}`" if name else "") + re.sub(r"([*_|<>\[\]`\\])", r"\\\1", rest)


class About(Parsed):
    """What the suite holds a component to, and what is documented of it."""

    required_arguments = 1

    def write(self) -> list[str]:
        name = self.arguments[0]
        (row,) = [row for row in rows() if row.name == name]
        theirs = peer(row)
        theirs = f"`{theirs}`" if theirs.startswith("torch.") else theirs
        out = [f"`{name}` is held to {theirs}: `python -m conformance explain {name}` describes how."]
        if on_record := divergences.about(name):
            out += ["", "On record:", "", *(f"- {marked(line)}" for line in on_record)]
        return out


class Benchmarks(Parsed):
    """The table of the benchmarks' results, as benchmarks/plot.py prints it."""

    def write(self) -> list[str]:
        root = Path(__file__).resolve().parents[2] / "benchmarks"
        results = root / "results.json"
        self.env.note_dependency(results)
        return str(run_path(str(root / "plot.py"))["table"](json.loads(results.read_text("utf-8")))).splitlines()


def setup(app: Sphinx) -> dict[str, bool]:
    for name, directive in {
        "equations": Equations,
        "source": Code,
        "names": Names,
        "same-names": Same,
        "not-in-pytorch": Ours,
        "divergences": Divergences,
        "held": About,
        "benchmarks": Benchmarks,
    }.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
