"""Nodes of random programs: each writes its source text in numpyml and in PyTorch, line by line."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Line = tuple[str, str]  # source lines in numpyml and in PyTorch


def same(text: str) -> Line:
    """A line that is the same in both."""
    return text, text


def indented(lines: Sequence[Line]) -> list[Line]:
    """The lines, indented by one level."""
    return [(f"    {ours}", f"    {theirs}") for ours, theirs in lines]


@dataclass
class Class:
    """The class of a model while it is written: its attributes and inner classes."""

    name: str
    sequences: bool = False  # the input is (rows, steps, features), not (rows, features)
    outermost: bool = True
    attributes: list[Line] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)  # source text of the classes of inner modules
    count: int = 0  # number of names so far

    def make(self, stem: str, ours: str, theirs: str) -> str:
        """Add an attribute; return its name."""
        self.count += 1
        name = f"self.{stem}{self.count}"
        self.attributes.append((f"{name} = {ours}", f"{name} = {theirs}"))
        return name

    def dense(self, n: int, m: int, bias: bool = True) -> str:
        arguments = f"({n}, {m}, bias={bias}, dtype=dtype)"
        return self.make("dense", f"layers.Dense{arguments}", f"nn.Linear{arguments}")

    def finish(self, lines: Sequence[Line]) -> str:
        """The source text of both classes, with these lines in ``forward``."""
        written = []
        for i, (prefix, base, start) in enumerate(
            (("Our", "Module", []), ("Their", "nn.Module", ["super().__init__()"]))
        ):
            init = textwrap.indent("\n".join([*start, *(pair[i] for pair in self.attributes)] or ["pass"]), " " * 8)
            forward = textwrap.indent("\n".join(["x = inputs", *(pair[i] for pair in lines), "return x"]), " " * 8)
            written.append(
                f"class {prefix}{self.name}({base}):\n"
                f"    def __init__(self, dtype):\n{init}\n\n    def forward(self, inputs):\n{forward}\n"
            )
        return "\n\n".join([*self.inner, *written])


# Every node writes lines that assign a new x, and returns its number of features.


@dataclass(frozen=True)
class Node:
    """A node of a program."""

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        raise NotImplementedError

    def nodes(self) -> Iterator[Node]:
        """This node and all inner nodes."""
        yield self
        for value in vars(self).values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, Node):
                    yield from inner.nodes()


def written(body: Sequence[Node], into: Class, width: int, keep: bool = False) -> tuple[list[Line], int]:
    """The lines of a sequence of nodes; with ``keep``, the number of features stays the same."""
    lines, before = [], width
    for node in body:
        more, width = node.write(into, width)
        lines += more
    if keep and width != before:
        lines.append(same(f"x = {into.dense(width, before)}(x)"))
        width = before
    return lines, width


@dataclass(frozen=True)
class Function(Node):
    """A line or two of NumPy."""

    name: str

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        return list(FUNCTIONS[self.name]), width


FUNCTIONS: dict[str, list[Line]] = {
    "tanh": [("x = np.tanh(x)", "x = torch.tanh(x)")],
    "sine": [("x = np.sin(x)", "x = torch.sin(x)")],
    "arctan": [("x = np.arctan(x)", "x = torch.arctan(x)")],
    "softplus": [("x = np.logaddexp(x, 0.0)", "x = torch.logaddexp(x, torch.zeros_like(x))")],
    "leaky": [("x = np.where(x > 0.0, x, 0.1 * x)", "x = torch.where(x > 0.0, x, 0.1 * x)")],
    "clip": [("x = np.clip(x, -1.0, 1.0)", "x = torch.clamp(x, -1.0, 1.0)")],
    "centre": [("x = x - x.mean(axis=-1, keepdims=True)", "x = x - x.mean(dim=-1, keepdim=True)")],
    "normalise": [
        (
            "x = x / np.sqrt(1.0 + np.square(x).sum(axis=-1, keepdims=True))",
            "x = x / torch.sqrt(1.0 + torch.square(x).sum(dim=-1, keepdim=True))",
        )
    ],
    "softmax": [
        ("e = np.exp(x - x.max(axis=-1, keepdims=True))", "e = torch.exp(x - x.amax(dim=-1, keepdim=True))"),
        ("x = e / e.sum(axis=-1, keepdims=True)", "x = e / e.sum(dim=-1, keepdim=True)"),
    ],
    "reverse": [("x = x[:, ::-1]", "x = torch.flip(x, (1,))")],
    "rotate": [
        ("x = np.concatenate([x[:, 1:], x[:, :1]], axis=1)", "x = torch.cat([x[:, 1:], x[:, :1]], dim=1)"),
    ],
    "among rows": [
        ("a = np.tanh(x @ x.T)", "a = torch.tanh(x @ x.T)"),
        ("x = a @ x / len(x)", "x = a @ x / len(x)"),
    ],
}


@dataclass(frozen=True)
class Activation(Node):
    """An activation module."""

    name: str
    torch: str

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        name = into.make(self.name.lower(), f"activations.{self.name}()", f"{self.torch}()")
        return [same(f"x = {name}(x)")], width


@dataclass(frozen=True)
class Dense(Node):
    """A fully connected layer, which may be frozen."""

    width: int
    bias: bool = True
    frozen: bool = False

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        name = into.dense(width, self.width, self.bias)
        if self.frozen:
            into.attributes.append(same(f"{name}.requires_grad_(False)"))
        return [same(f"x = {name}(x)")], self.width


@dataclass(frozen=True)
class Own(Node):
    """A parameter of the model itself."""

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        ours, theirs = f"Parameter(np.ones({width}), dtype=dtype)", f"nn.Parameter(torch.ones({width}, dtype=dtype))"
        return [same(f"x = x * {into.make('scale', ours, theirs)} + 0.5")], width


@dataclass(frozen=True)
class Tied(Node):
    """A Dense layer and the transpose of its weight."""

    width: int

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        name = into.dense(width, self.width)
        return [
            (f"x = np.tanh({name}(x)) @ {name}.weight", f"x = torch.tanh({name}(x)) @ {name}.weight"),
        ], width


@dataclass(frozen=True)
class Chain(Node):
    """A Sequential, or a loop over a ModuleList."""

    widths: tuple[int, ...]
    listed: bool

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        parts = [
            (f"layers.Dense({n}, {m}, dtype=dtype)", f"nn.Linear({n}, {m}, dtype=dtype)")
            for n, m in zip((width, *self.widths), self.widths, strict=False)
        ]
        if self.listed:
            ours, theirs = ([pair[i] for pair in parts] for i in (0, 1))
            name = into.make(
                "blocks", f"model.ModuleList([{', '.join(ours)}])", f"nn.ModuleList([{', '.join(theirs)}])"
            )
            lines = [same(f"for block in {name}:"), ("    x = np.tanh(block(x))", "    x = torch.tanh(block(x))")]
            return lines, self.widths[-1]
        ours = [f"{pair[0]}, activations.Sigmoid()" for pair in parts]
        theirs = [f"{pair[1]}, nn.Sigmoid()" for pair in parts]
        name = into.make("chain", f"model.Sequential([{', '.join(ours)}])", f"nn.Sequential({', '.join(theirs)})")
        return [same(f"x = {name}(x)")], self.widths[-1]


@dataclass(frozen=True)
class Residual(Node):
    """x + body(x)."""

    body: tuple[Node, ...]

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        into.count += 1
        skip = f"skip{into.count}"
        lines, _ = written(self.body, into, width, keep=True)
        return [same(f"{skip} = x"), *lines, same(f"x = {skip} + x")], width


@dataclass(frozen=True)
class Shared(Node):
    """The same modules, applied twice."""

    body: tuple[Node, ...]

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        lines, _ = written(self.body, into, width, keep=True)
        return [*lines, *FUNCTIONS["tanh"], *lines], width


@dataclass(frozen=True)
class Loop(Node):
    """The body, repeated a fixed number of times, by the number of rows, or until the values are small."""

    how: str
    body: tuple[Node, ...]

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        lines, _ = written(self.body, into, width, keep=True)
        if self.how == "until":
            stop = [("if np.abs(x).mean() < 0.5:", "if torch.abs(x).mean() < 0.5:"), same("    break")]
            return [same("for _ in range(4):"), *indented([*stop, *lines, same("x = 0.5 * x")])], width
        times = "len(x) % 3 + 1" if self.how == "rows" else "3"
        return [same(f"for _ in range({times}):"), *indented([*lines, *FUNCTIONS["tanh"]])], width


@dataclass(frozen=True)
class Branch(Node):
    """One of two bodies: decided by the shape, by an input number, or by a computed value."""

    condition: str
    body: tuple[Node, ...]
    other: tuple[Node, ...]

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        first, _ = written(self.body, into, width, keep=True)
        second, _ = written(self.other, into, width, keep=True)
        number = "inputs[0, 0, 0]" if into.sequences else "inputs[0, 0]"
        on_data = f"{number} > 0.0" if into.outermost else "len(x) > 5"
        test = {"shape": "len(x) > 5", "data": on_data, "value": "x.mean() > 0.0"}[self.condition]
        otherwise = [same("else:"), *indented(second)] if second else []
        return [same(f"if {test}:"), *indented(first), *otherwise], width


@dataclass(frozen=True)
class Block(Node):
    """An inner module with a class of its own."""

    body: tuple[Node, ...]

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        into.count += 1
        inside = Class(f"{into.name}Block{into.count}", outermost=False)
        lines, width = written(self.body, inside, width)
        into.inner.append(inside.finish(lines))
        name = into.make("block", f"Our{inside.name}(dtype)", f"Their{inside.name}(dtype)")
        return [same(f"x = {name}(x)")], width


@dataclass(frozen=True)
class Recurrent(Node):
    """A recurrent cell over a sequence, and the pooling of its states."""

    width: int
    cell: str
    pool: str

    def write(self, into: Class, width: int) -> tuple[list[Line], int]:
        n = self.width
        read, remember = into.dense(width, n), into.dense(n, n, bias=False)
        step = f"{read}(x[:, t]) + {remember}(h)"
        start = [
            (f"h = np.zeros((len(x), {n}), x.dtype)", f"h = torch.zeros((len(x), {n}), dtype=x.dtype)"),
            same("states = []"),
            same("for t in range(x.shape[1]):"),
        ]
        inner = [(f"h = np.tanh({step})", f"h = torch.tanh({step})")]
        if self.cell == "gated":
            gate = f"{into.dense(width, n)}(x[:, t])"
            inner = [
                (f"z = 1.0 / (1.0 + np.exp(-{gate}))", f"z = 1.0 / (1.0 + torch.exp(-{gate}))"),
                (f"h = z * h + (1.0 - z) * np.tanh({step})", f"h = z * h + (1.0 - z) * torch.tanh({step})"),
            ]
        lines = [*start, *indented([*inner, same("states.append(h)")])]
        if self.pool == "last":
            return [*lines, same("x = h")], n
        lines.append(("states = np.stack(states, axis=1)", "states = torch.stack(states, dim=1)"))
        if self.pool == "mean":
            return [*lines, ("x = states.mean(axis=1)", "x = states.mean(dim=1)")], n
        score = f"{into.dense(n, 1)}(states)"
        lines += [
            (f"w = np.exp({score})", f"w = torch.exp({score})"),
            ("x = (w * states).sum(axis=1) / w.sum(axis=1)", "x = (w * states).sum(dim=1) / w.sum(dim=1)"),
        ]
        return lines, n
