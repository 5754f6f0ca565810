"""All documented differences from PyTorch: numpyml's are those of every component and those of the rows; another
framework's are the DIFFERENCES of its adapter. No other difference is accepted anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from conformance import contracts
from conformance.errors import Misuse
from conformance.frameworks import under_test
from conformance.records import KINDS, Absent, Accepted, Added, Difference, Finding, Refused, Remark, option
from conformance.rows import ComponentRow
from numpyml import names

# PyTorch's arguments that no component of numpyml has.
ABSENT = {
    **names.ABSENT,
    "last_epoch": "a schedule continues from a state dict",
    "_weight": "private to PyTorch; from_pretrained takes a table",
    "_freeze": "private to PyTorch; from_pretrained takes it as freeze",
    "tensor": "initial values are written into an array",
}
# numpyml's arguments that are not PyTorch's.
ADDED = {
    "dtype": "every check runs in both precisions instead of drawing this option",
    "generator": "PyTorch's layers have none; the checks of randomness use it",
    "parameters": "PyTorch's params",
    "array": "PyTorch's tensor",
    "gradients": "PyTorch finds them on its parameters",
    "optimizer": "every schedule is made for one",
}
FLAGS = (
    "add_bias_kv add_zero_attn amsgrad batch_first bias decoupled_weight_decay elementwise_affine interleaved maximize "
    "nesterov norm_first"
)
# The differences of every component.
COMMON: tuple[Difference, ...] = (
    *(Absent(argument, reason) for argument, reason in ABSENT.items()),
    *(Added(argument, reason) for argument, reason in ADDED.items()),
    Refused(option(FLAGS, ""), "a flag is True or False; PyTorch accepts any truth value"),
    Refused(
        ("input as integers", "input as booleans", "input as complex"),
        "features are real floating numbers; PyTorch lets some layers compute on others",
    ),
    Accepted(("option weight", "option pos_weight"), "weights may be anything that np.asarray takes, not only tensors"),
    Accepted("input in another precision", "data of another floating dtype is cast to the parameters'"),
    Accepted("target in another precision", "targets are cast to the outputs' dtype"),
    Accepted(("target as integers", "target as booleans"), "integers and booleans are cast to the outputs' dtype"),
    Remark("A parameter's grad is an array of zeros before the first backward, never None."),
    Remark("Optimizers update every parameter that is not frozen, also one whose gradient is zero: no grad is None."),
    Remark("A deepcopy of a model has its gradients, too; PyTorch's has none."),
    Remark("A state dict is a copy, of a model and of an optimizer; PyTorch's holds the arrays themselves."),
    Remark("A state dict that is refused changes nothing; PyTorch's models load the entries that fit."),
    Remark("The second backward of one forward is an error in the explicit driver, too."),
    Remark("backward() of a loss returns the gradient of the outputs; the dynamic driver also gives the targets'."),
    Remark("functions of NumPy: NumPy decides which calls are refused; PyTorch accepts more in some, fewer in others."),
)

# Differences by component; '' stands for every component.
Differences = Mapping[str, Sequence[Difference]]


@cache
def own() -> Differences:
    """numpyml's differences."""
    return {"": COMMON, **{row.name: row.differences for row in contracts.rows()}}


def of_framework(framework: Any) -> Differences:
    """The differences of a framework, by the names of the table.

    Raises: Misuse where DIFFERENCES of its adapter names no component, or holds anything but differences.
    """
    if framework.NAME == "numpyml":
        return own()
    defined, differences = getattr(framework, "DIFFERENCES", {}), dict[str, list[Difference]]()
    if not isinstance(defined, Mapping):
        raise Misuse(
            f"DIFFERENCES of {framework.NAME} expects a mapping from components to tuples of differences, "
            f"got {defined!r:.60}"
        )
    for name, values in defined.items():
        if name not in table_names():
            raise Misuse(
                f"DIFFERENCES of {framework.NAME} names {name!r}, which is no component; "
                "`python -m conformance list` shows all, and '' stands for every one"
            )
        if not isinstance(values, (tuple, list)) or not all(isinstance(value, KINDS) for value in values):
            raise Misuse(
                f"DIFFERENCES[{name!r}] of {framework.NAME} expects a tuple of differences, "
                f'such as (Limit("reason"),), got {values!r:.60}; conformance.records defines them'
            )
        differences.setdefault(table_names()[name], []).extend(values)
    return differences


@cache
def table_names() -> dict[str, str]:
    """The name in the table by every name of a component: this and PyTorch's."""
    torch = {row.torch: row.name for row in contracts.rows() if isinstance(row, ComponentRow)}
    return {"": "", **torch, **{name: name for name in contracts.named()}}


def reason(component: str, kind: type[Difference], subject: str = "", framework: Any = None) -> str:
    """The reason for a difference of this kind in this subject of a component: in a call, an answer, an entry of the
    state dict. Empty where none is documented of the framework, by default that under test."""
    differences = of_framework(framework or under_test())
    own_or_common = (d for name in ("", component) for d in differences.get(name, ()))
    return next((d.reason for d in own_or_common if isinstance(d, kind) and d.covers(subject)), "")


def findings() -> list[tuple[str, Finding]]:
    """What PyTorch gets wrong, and the component each finding is of."""
    return [(row.name, finding) for row in contracts.rows() for finding in row.findings]


def finding(component: str, answer: str, precision: str) -> str:
    """Why PyTorch is wrong there; empty where that is not documented."""
    return next((str(f) for name, f in findings() if name == component and f.covers(answer, precision)), "")


def _listed() -> Iterator[tuple[str, Difference | Finding]]:
    """All differences of the framework under test, each with its component, by kind; then the findings."""
    pairs = [(component, d) for component, own in of_framework(under_test()).items() for d in own]
    yield from sorted(pairs, key=lambda pair: KINDS.index(type(pair[1])))
    yield from findings()


def documented() -> dict[str, list[str]]:
    """All documented differences and findings in words, by kind."""
    lines: dict[str, list[str]] = {title: [] for title in (*(kind.title for kind in KINDS), Finding.title)}
    for component, difference in _listed():
        lines[difference.title].append(difference.line(component))
    return lines


def counts() -> dict[str, int]:
    """How many differences are documented of each component, and of every one ('')."""
    return {component: len(own) for component, own in of_framework(under_test()).items()}


def about(component: str) -> list[str]:
    """What is documented of one component, in words."""
    return [difference.line(name) for name, difference in _listed() if name == component]
