"""Names of the arrays that a case computes: the keys that the comparison rule takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WORDS: dict[str, Callable[[Answer], str]] = {
    "output": lambda answer: f"output {answer.index}" if answer.index else "output",
    "gradient": lambda answer: f"gradient of {answer.of}",
    "written": lambda answer: f"output, {answer.of} after the call",
    "buffer": lambda answer: f"{answer.of}, call {answer.index}",
    "state": lambda answer: f"{answer.of} {answer.index}",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The name of one array that both frameworks compute; ``str`` gives it as messages and documented differences do.

    kind        of                          index
    output                                  position among the outputs, from 0
    gradient    an input or a parameter
    written     a parameter that a call writes to, compared after the call like an output
    buffer      a buffer                    number of the call, from 1
    state       an optimizer's state array, or "parameter"; the number of the parameter, from 0
    """

    kind: str
    of: str = ""
    index: int = 0

    def __str__(self) -> str:
        return WORDS[self.kind](self)


Select = Callable[[Answer], bool]


def output(index: int = 0) -> Answer:
    return Answer("output", index=index)


def gradient(name: str) -> Answer:
    return Answer("gradient", name)


def written(name: str) -> Answer:
    return Answer("written", name)


def buffer(name: str, call: int) -> Answer:
    return Answer("buffer", name, call)


def state(name: str, parameter: int) -> Answer:
    return Answer("state", name, parameter)


def every(answer: Answer) -> bool:
    return True


def is_output(answer: Answer) -> bool:
    """Whether the forward computes it."""
    return answer.kind in ("output", "written")


def is_gradient(answer: Answer) -> bool:
    return answer.kind == "gradient"
