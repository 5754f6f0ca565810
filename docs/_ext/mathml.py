"""Formulas as MathML: the browser sets them itself, without a script, a font to load or a network."""

from __future__ import annotations

from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number


def inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext()))
    raise SkipNode


def block(self: Any, node: Any) -> None:
    number = ""
    if node["number"]:
        number = f'<span class="eqno">({get_node_equation_number(self, node)})</span>'
    source = node.astext().strip()
    if "&" in source and r"\begin" not in source:
        source = rf"\begin{{align}}{source}\end{{align}}"
    target = f' id="{node["ids"][0]}"' if node["ids"] else ""
    self.body.append(f'<div class="formula" tabindex="0"{target}>{convert(source, display="block")}{number}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
