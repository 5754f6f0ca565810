"""Docstrings as they stand in the code, made into reStructuredText: plain text with its equations in indented blocks.

an indented block after an empty line      a literal block
Shapes: Raises: Source: PyTorch: State:    fields, with what follows on their line
* | and a trailing _ outside of ``code``   themselves
`module` and :role:`target`                as they are
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

FIELD = re.compile(r"(Shapes|Raises|Source|PyTorch|State|Returns|Source of the name): (?=\S)")
LATER = re.compile(r"(?<=[.\]])\s(?=(?:Raises|PyTorch): )")  # a second field on one line
SECTION = re.compile(r"(Args|Raises|Returns|Yields|Attributes|Example|Examples|Note): *$")
CODE = re.compile(r"(``.*?``|:[\w:]+:`[^`]*`|`[^`]+`_?)")
MARK = re.compile(r"[*|]|(?<=\w)_(?=\W|$)")


def rewritten(lines: list[str]) -> list[str]:
    """The lines of a docstring, without its common indentation, as reStructuredText."""
    out: list[str] = []
    section = field = literal = False
    lines = [part for line in lines for part in (LATER.split(line) if FIELD.match(line.strip()) else [line])]
    for line in lines:
        text, depth = line.strip(), len(line) - len(line.lstrip())
        if not text:
            out.append("")
            field = False
            literal = literal and not section
            continue
        if not depth:
            section, literal = bool(SECTION.match(text)), False
        if FIELD.match(text) and not depth:
            name, _, rest = text.partition(": ")
            if out and out[-1] and not out[-1].startswith((":", "    ")):
                out.append("")
            out.append(f":{name}: {escaped(rest)}")
            field = True
            continue
        if field:
            out.append(f"    {escaped(text)}")
            continue
        if depth and not section and not literal and (not out or not out[-1]):
            out += ["::", ""]
            literal = True
        out.append(line if literal else line[:depth] + escaped(text))
    return out


def escaped(text: str) -> str:
    parts = CODE.split(text)
    return "".join(part if i % 2 else MARK.sub(lambda m: "\\" + m[0], part) for i, part in enumerate(parts))


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = rewritten(lines)


HIDDEN = {
    # What the author of a layer or an optimizer fills in; it is documented once, in Module and Optimizer.
    "compute", "pullback", "as_input", "argument", "forward", "update", "validate", "state_names", "initial_state",
    "elementwise", "state_arrays", "optional_state_arrays", "training", "mask", "axis", "reduce", "spread",
}  # fmt: skip
BASES = ("Module", "Optimizer", "Adapter")


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    owner = app.env.current_document.get("autodoc:class") or app.env.temp_data.get("autodoc:class") or ""
    return True if what == "class" and name in HIDDEN and owner not in BASES else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
