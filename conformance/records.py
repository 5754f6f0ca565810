"""What a row may have on record of its component: documented differences from PyTorch, and findings about PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refused:
    """Calls that PyTorch accepts and numpyml refuses.

    ``calls`` are the beginnings of their names in a failure's text, such as "input as integers"; ``beside`` is the end
    of all of them. :func:`option` writes those of an option.
    """

    calls: tuple[str, ...]
    reason: str
    beside: str = ""


def option(names: str, *values: str) -> tuple[str, ...]:
    """The calls in which one of these options, their names space-separated, has one of these invalid values."""
    return tuple(f"option {name}: {value}" for name in names.split() for value in values)


@dataclass(frozen=True)
class Accepted:
    """Calls that PyTorch refuses and numpyml accepts; ``calls`` as in :class:`Refused`."""

    calls: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Limit:
    """At infinite logits the answer is the limit, where PyTorch computes NaN.

    The checks then compare with PyTorch at logits so large that only the limit is left.
    """

    reason: str


@dataclass(frozen=True)
class NaNAnswer:
    """Answers, by the beginning of their name, that are NaN although PyTorch's are finite.

    With one operand it is so where that is NaN, with several where the output is. The checks then ask for NaN there,
    and for PyTorch's answer everywhere else.
    """

    answers: str
    reason: str


@dataclass(frozen=True)
class NotCompared:
    """A kind of values that is not drawn in one precision, since the answers differ there by design."""

    kind: str
    precision: str
    reason: str


@dataclass(frozen=True)
class OptionNotState:
    """An entry of PyTorch's state dict that is a constructor argument in numpyml."""

    name: str
    reason: str


@dataclass(frozen=True)
class Absent:
    """An argument of PyTorch's that numpyml does not have."""

    argument: str
    reason: str


@dataclass(frozen=True)
class Remark:
    """A difference that no single call shows."""

    text: str


Difference = Refused | Accepted | Limit | NaNAnswer | NotCompared | OptionNotState | Absent | Remark


@dataclass(frozen=True)
class Finding:
    """Answers, by the beginning of their name, in which PyTorch is wrong, and the script that shows it.

    ``precision`` is the one in which it occurs; '' for both.
    """

    answers: str
    script: str  # in conformance/findings
    reason: str
    precision: str = ""


# Reasons that several families share.
NOT_FINITE = "it must be finite and not negative; PyTorch computes NaN, or something other than intended"
AXIS_REQUIRED = "PyTorch picks an axis, and warns that this choice is deprecated"
SATURATED = "the gradient is computed from a value so close to 1 that few of its digits are left"
LONG_SUM = "thousands of numbers are added one by one in float32"
RUNNING_MEAN = "the running mean is rounded at every element"

# The end of the name of a call whose mask is declared causal.
CAUSAL_HINT = ", beside the hint that a mask is causal"
