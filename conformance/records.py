"""What a row or an adapter may document of a component: differences from PyTorch, and findings about PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class Difference:
    """A documented difference from PyTorch, of one component or of all; the classes below are its kinds."""

    title: ClassVar[str]  # the heading of its kind
    reason: str

    @property
    def subject(self) -> str:
        """What of the component it concerns: every field except the reason."""
        return ", ".join(value for name, value in vars(self).items() if name != "reason")

    def covers(self, subject: str) -> bool:
        """Whether it is the reason for a difference in this call, answer, argument ..."""
        return subject == self.subject

    def line(self, component: str) -> str:
        """The difference of this component ('' for all), in words."""
        return f"{', '.join(filter(None, (component or 'all', self.subject)))}: {self.reason}"


@dataclass(frozen=True)
class Argument(Difference):
    """An argument of a constructor or function that one side alone has."""

    argument: str
    reason: str

    def line(self, component: str) -> str:
        return f"{component}.{self.argument}: {self.reason}".removeprefix(".")


class Absent(Argument):
    """An argument of PyTorch's that the framework does not have."""

    title = "PyTorch's arguments that are not here"


class Added(Argument):
    """An argument of the framework's that PyTorch does not have."""

    title = "Arguments that PyTorch lacks"


class OtherDefault(Argument):
    """An argument that both sides have, with another default: of the constructor, or as "method(argument"."""

    title = "Other defaults"


@dataclass(frozen=True)
class Limit(Difference):
    """At infinite logits the answer is the limit, where PyTorch computes NaN.

    The checks then compare with PyTorch at logits so large that only the limit is left.
    """

    reason: str

    title = "Limits where PyTorch says NaN"


@dataclass(frozen=True)
class NaNAnswer(Difference):
    """Answers, by the beginning of their name, that are NaN although PyTorch's are finite.

    With one operand it is so where that is NaN, with several where the output is. The checks then ask for NaN there,
    and for PyTorch's answer everywhere else.
    """

    answers: str
    reason: str

    title = "NaN, where PyTorch has a number"

    def covers(self, subject: str) -> bool:
        return subject.startswith(self.answers)


@dataclass(frozen=True)
class NotCompared(Difference):
    """A kind of values that is not drawn in one precision, since the answers differ there by design."""

    kind: str
    precision: str
    reason: str

    title = "Values that are not compared"


@dataclass(frozen=True)
class OptionNotState(Difference):
    """An entry of PyTorch's state dict that is a constructor argument in the framework."""

    name: str
    reason: str

    title = "State that is an option here"


@dataclass(frozen=True)
class Calls(Difference):
    """Calls that one side alone refuses.

    ``calls`` are one or several beginnings of their names in a failure's text, such as "input as integers"; ``ending``
    is the end of all of them. :func:`option` writes those of an option.
    """

    calls: str | tuple[str, ...]
    reason: str
    ending: str = ""

    @property
    def subject(self) -> str:
        calls = (self.calls,) if isinstance(self.calls, str) else self.calls
        return "; ".join(call.rstrip(": ") for call in calls)

    def covers(self, subject: str) -> bool:
        return subject.startswith(self.calls) and subject.endswith(self.ending)


class Refused(Calls):
    """Calls that PyTorch accepts and the framework refuses."""

    title = "Refused, though PyTorch accepts it"


class Accepted(Calls):
    """Calls that PyTorch refuses and the framework accepts."""

    title = "Accepted, though PyTorch refuses it"


def option(names: str, *values: str) -> tuple[str, ...]:
    """The calls in which one of these options, their names space-separated, has one of these invalid values."""
    return tuple(f"option {name}: {value}" for name in names.split() for value in values)


@dataclass(frozen=True)
class Remark(Difference):
    """A difference that no single call shows, in a sentence."""

    reason: str

    title = "Everywhere"

    def line(self, component: str) -> str:
        return f"{component}: {self.reason}" if component else self.reason


# In the order in which they are listed.
KINDS: tuple[type[Difference], ...] = (
    Absent, Added, OtherDefault, Limit, NaNAnswer, NotCompared, OptionNotState, Refused, Accepted, Remark,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Answers, by the beginning of their name, in which PyTorch is wrong, and the script that shows it.

    ``precision`` is the one in which it occurs; '' for both.
    """

    answers: str
    script: str  # in conformance/findings
    reason: str
    precision: str = ""

    title: ClassVar[str] = "What PyTorch gets wrong"

    def covers(self, answer: str, precision: str) -> bool:
        """Whether it is about this answer in this precision."""
        return answer.startswith(self.answers) and self.precision in ("", precision)

    def line(self, component: str) -> str:
        """The finding about this component, in words."""
        return f"{component}, {self.answers or 'all'}{f' in {self.precision}' * bool(self.precision)}: {self}"

    def __str__(self) -> str:
        return f"{self.reason} (conformance/findings/{self.script})"


# Reasons that several families share.
NOT_FINITE = "it must be finite and not negative; PyTorch computes NaN, or something other than intended"
AXIS_REQUIRED = "PyTorch picks an axis, and warns that this choice is deprecated"
SATURATED = "the gradient is computed from a value so close to 1 that few of its digits are left"
LONG_SUM = "thousands of numbers are added one by one"
RUNNING_MEAN = "the running mean is rounded at every element"

# The end of the name of a call whose mask is declared causal.
CAUSAL_HINT = ", beside the hint that a mask is causal"
