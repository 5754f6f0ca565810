"""Lists of all components, by family: from the rows, and from ``__all__`` of the namespaces that have none."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from conformance import contracts
from conformance.rows import FunctionRow, Row, peer

# Public namespaces without rows, by what they are for.
NAMESPACES = {
    "gradient clipping": "numpyml.nn.utils",
    "text generation": "numpyml.generation",
    "data": "numpyml.data",
    "training": "numpyml.training",
    "scikit-learn estimators": "numpyml.estimators",
    "files": "numpyml.checkpoint",
}
SYNTAX = {"indexing": "x[index]", "ndarray.astype": "x.astype"}  # functions that are not called by a name of NumPy's


def families() -> dict[str, list[str]]:
    """Public names by family."""
    with_rows = {family: [public_name(row) for row in rows] for family, rows in contracts.groups().items()}
    return with_rows | {family: exported(module) for family, module in NAMESPACES.items()}


def public_name(row: Row) -> str:
    """How a user calls a component."""
    return SYNTAX.get(row.name, f"np.{row.name}") if isinstance(row, FunctionRow) else row.name


def exported(module: str) -> list[str]:
    """``__all__`` of a module, from its source: the packages that it needs may be missing."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no module {module}")
    statements = ast.parse(Path(spec.origin).read_text("utf-8")).body
    assigned = (node for node in statements if isinstance(node, ast.Assign))
    return next(list(ast.literal_eval(node.value)) for node in assigned if ast.unparse(node.targets[0]) == "__all__")


def components() -> str:
    """A table in Markdown: a line for each family."""
    lines = [f"| {family} | {', '.join(f'`{name}`' for name in names)} |" for family, names in families().items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def listing() -> str:
    """Lines for the terminal: each component, and what it is held to."""
    lines = []
    for family, rows in contracts.groups().items():
        held_to = {row.name: "NumPy function" if isinstance(row, FunctionRow) else peer(row) for row in rows}
        lines += [f"{family}:", *(f"  {name:32}{theirs}" for name, theirs in held_to.items())]
    return "\n".join([*lines, "programs:", f"  {'programs':32}random models, trained side by side"])
