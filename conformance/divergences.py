"""Documented differences from PyTorch: those of every component, and what the rows have on record of theirs.

No other difference is accepted anywhere. Another framework has its own record in its adapter, under the names of
:class:`Record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from conformance import contracts
from conformance.frameworks import under_test
from conformance.records import (
    Absent,
    Accepted,
    Difference,
    Finding,
    Limit,
    NaNAnswer,
    NotCompared,
    OptionNotState,
    Refused,
    Remark,
    option,
)
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
CAST = "integers and booleans are cast to the outputs' dtype"
COMMON: tuple[Difference, ...] = (
    Refused(option(FLAGS, ""), "a flag is True or False; PyTorch accepts any truth value"),
    Refused(
        ("input as integers", "input as booleans", "input as complex"),
        "features are real floating numbers; PyTorch lets some layers compute on others",
    ),
    Accepted(("option weight", "option pos_weight"), "weights may be anything that np.asarray takes, not only tensors"),
    Accepted(("input in another precision",), "data of another floating dtype is cast to the parameters'"),
    Accepted(("target in another precision",), "targets are cast to the outputs' dtype"),
    Accepted(("target as integers", "target as booleans"), CAST),
    Remark("A parameter's grad is an array of zeros before the first backward, never None."),
    Remark("Optimizers update every parameter that is not frozen, also one whose gradient is zero: no grad is None."),
    Remark("The second backward of one forward is an error in the explicit driver, too."),
    Remark("backward() of a loss returns the gradient of the outputs; the dynamic driver also gives the targets'."),
    Remark("functions of NumPy: NumPy decides which calls are refused; PyTorch accepts more in some, fewer in others."),
)


@dataclass(frozen=True)
class Stricter:
    """Calls that PyTorch accepts and a framework refuses: component ('' for all), beginning and end of their name."""

    component: str
    call: str
    reason: str
    beside: str = ""


@dataclass
class Record:
    """What is on record of a framework, by component; '' stands for every component."""

    ABSENT: dict[str, str] = field(default_factory=dict)
    ADDED: dict[str, str] = field(default_factory=dict)
    LIMITS: dict[str, str] = field(default_factory=dict)
    AT_NAN: dict[tuple[str, str], str] = field(default_factory=dict)
    NOT_GIVEN: dict[tuple[str, str, str], str] = field(default_factory=dict)
    OPTIONS_NOT_STATE: dict[tuple[str, str], str] = field(default_factory=dict)
    STRICTER: list[Stricter] = field(default_factory=list)
    LAXER: dict[tuple[str, str], str] = field(default_factory=dict)
    REMARKS: list[str] = field(default_factory=list)

    def add(self, component: str, difference: Difference) -> None:
        """Enter a difference of this component."""
        match difference:
            case Refused(calls, reason, beside):
                self.STRICTER += [Stricter(component, call, reason, beside) for call in calls]
            case Accepted(calls, reason):
                self.LAXER |= {(component, call): reason for call in calls}
            case Limit(reason):
                self.LIMITS[component] = reason
            case NaNAnswer(answers, reason):
                self.AT_NAN[component, answers] = reason
            case NotCompared(kind, precision, reason):
                self.NOT_GIVEN[component, kind, precision] = reason
            case OptionNotState(name, reason):
                self.OPTIONS_NOT_STATE[component, name] = reason
            case Absent(argument, reason):
                self.ABSENT[f"{component}.{argument}"] = reason
            case Remark(text):
                self.REMARKS.append(f"{component}: {text}" if component else text)


@cache
def own() -> Record:
    """numpyml's record: that of every component, and that of each row."""
    record = Record(ABSENT=dict(ABSENT), ADDED=dict(ADDED))
    for difference in COMMON:
        record.add("", difference)
    for row in contracts.rows():
        for difference in row.differences:
            record.add(row.name, difference)
    return record


def _record() -> Any:
    """The record of the framework under test: numpyml's, or another's adapter."""
    framework = under_test()
    return own() if framework.NAME == "numpyml" else framework


def stricter(component: str, call: str) -> str:
    """The reason why the framework refuses what PyTorch accepts; empty where none is on record."""
    reasons = (
        d.reason
        for d in getattr(_record(), "STRICTER", [])
        if d.component in ("", component) and call.startswith(d.call) and call.endswith(d.beside)
    )
    return next(reasons, "")


def laxer(component: str, call: str) -> str:
    """The reason why the framework accepts what PyTorch refuses; empty where none is on record."""
    record = getattr(_record(), "LAXER", {})
    return next(
        (why for (name, start), why in record.items() if name in ("", component) and call.startswith(start)), ""
    )


def limits(component: str) -> str:
    """The reason why infinite logits give the limit and not PyTorch's NaN; empty where none is on record."""
    return str(getattr(_record(), "LIMITS", {}).get(component, ""))


def is_given(row: str, kinds: Iterable[str], precision: str) -> bool:
    """Whether a row is given all of these kinds together in this precision."""
    return not any((row, kind, precision) in own().NOT_GIVEN for kind in kinds)


def at_nan(row: str, answer: str, record: Mapping[tuple[str, str], str] | None = None) -> bool:
    """Whether this answer may be NaN where PyTorch's is finite; on the record of the framework, or on this."""
    entries = getattr(_record(), "AT_NAN", {}) if record is None else record
    return any(row == name and answer.startswith(start) for name, start in entries)


def option_not_state(component: str, name: str) -> str:
    """The reason why an entry of PyTorch's state dict is an option here; empty where it is state."""
    return str(getattr(_record(), "OPTIONS_NOT_STATE", {}).get((component, name), ""))


def findings() -> list[tuple[str, Finding]]:
    """What PyTorch gets wrong, and the component each finding is of."""
    return [(row.name, finding) for row in contracts.rows() for finding in row.findings]


def finding(component: str, answer: str, precision: str) -> str:
    """Why PyTorch is wrong there; empty where that is not on record."""
    row = contracts.named().get(component)
    reasons = (
        f"{f.reason} (conformance/findings/{f.script})"
        for f in (row.findings if row else ())
        if answer.startswith(f.answers) and f.precision in ("", precision)
    )
    return next(reasons, "")


WRONG = "What PyTorch gets wrong"


def wrong() -> dict[str, list[str]]:
    """What PyTorch gets wrong, in words."""
    lines = []
    for component, f in findings():
        answers = (f.answers or "all") + f" in {f.precision}" * bool(f.precision)
        lines.append(f"{component}, {answers}: {f.reason} (conformance/findings/{f.script})")
    return {WRONG: lines}


def documented() -> dict[str, list[str]]:
    """All documented differences in words, for a reader."""
    lines: dict[str, Callable[[Any], list[str]]] = {
        "ABSENT": lambda entries: [f"{name}: {why}" for name, why in entries.items()],
        "ADDED": lambda entries: [f"{name}: {why}" for name, why in entries.items()],
        "LIMITS": lambda entries: [f"{row}: {why}" for row, why in entries.items()],
        "AT_NAN": lambda entries: [f"{row}, {answers}: {why}" for (row, answers), why in entries.items()],
        "NOT_GIVEN": lambda entries: [f"{', '.join(key)}: {why}" for key, why in entries.items()],
        "OPTIONS_NOT_STATE": lambda entries: [f"{row}, {name}: {why}" for (row, name), why in entries.items()],
        "STRICTER": _refused_in_words,
        "LAXER": lambda entries: [f"{row or 'all'}, {what}: {why}" for (row, what), why in entries.items()],
        "REMARKS": list,
    }
    record = _record()
    return {TITLES[name]: in_words(getattr(record, name)) for name, in_words in lines.items() if hasattr(record, name)}


def _refused_in_words(entries: Iterable[Stricter]) -> list[str]:
    """A line for the calls refused for one reason."""
    calls: dict[tuple[str, str], list[str]] = {}
    for d in entries:
        calls.setdefault((d.component or "all", d.reason), []).append(d.call.rstrip(": "))
    return [f"{component}, {'; '.join(starts)}: {reason}" for (component, reason), starts in calls.items()]


def about(component: str) -> list[str]:
    """What is on record of one component, in words."""
    return [
        line
        for lines in (documented() | wrong()).values()
        for line in lines
        if line.startswith((f"{component},", f"{component}:"))
    ]


TITLES = {
    "ABSENT": "PyTorch's arguments that are not here",
    "ADDED": "Arguments that PyTorch lacks",
    "LIMITS": "Limits where PyTorch says NaN",
    "AT_NAN": "NaN, where PyTorch has a number",
    "NOT_GIVEN": "Values that are not compared",
    "OPTIONS_NOT_STATE": "State that is an option here",
    "STRICTER": "Refused, though PyTorch accepts it",
    "LAXER": "Accepted, though PyTorch refuses it",
    "REMARKS": "Everywhere",
}
