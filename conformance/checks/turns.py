"""Two calls in two threads at once. The threads take turns at every line, so that each run interleaves them alike."""

from __future__ import annotations

import sys
import sysconfig
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

PATIENCE = 5.0  # seconds a thread waits for its turn: where the other one waits for a lock, there are no more turns
MOST = 2_000  # turns; then the threads run one after the other
HARNESS, PYTHON = str(Path(__file__).parents[1]), sysconfig.get_path("stdlib")


class _Turns:
    """Whose turn it is, of two threads."""

    def __init__(self) -> None:
        self.gates = [threading.Lock(), threading.Lock()]  # a thread runs once it has acquired its own
        self.gates[1].acquire()
        self.left = MOST

    def begin(self, thread: int) -> None:
        self.gates[thread].acquire(timeout=PATIENCE)

    def pass_on(self, thread: int) -> None:
        """Let the other thread run until it passes on."""
        self.left -= 1
        self.gates[1 - thread].release()
        if not self.gates[thread].acquire(timeout=PATIENCE):
            self.left = 0

    def end(self, thread: int) -> None:
        self.left = 0
        if self.gates[1 - thread].locked():
            self.gates[1 - thread].release()


@cache
def _takes_turns(code: CodeType) -> bool:
    """Whether a turn ends at every line of this function: not of one in the harness, in a package that the harness
    uses, or in Python's own modules, which have locks; nor in a comprehension, which is part of a line."""
    path, parts = code.co_filename, set(Path(code.co_filename).parts)
    installed = "site-packages" in parts
    python = path.startswith("<") or (path.startswith(PYTHON) and not installed)
    ours = path.startswith(HARNESS) or (installed and parts & {"numpy", "torch", "hypothesis"})
    return not (python or ours or code.co_name.startswith("<"))


def in_thread(call: Callable[[], Any]) -> Any:
    """The result of a call in a thread of its own; an exception is raised here."""
    return _results([call])[0]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The results of two calls, each in a thread of its own; an exception in one of them is raised here."""
    turns = _Turns()

    def taking_turns(thread: int) -> Any:
        def trace(frame: Any, event: str, _: Any) -> Any:
            return at_line if _takes_turns(frame.f_code) else None

        def at_line(_: Any, event: str, __: Any) -> Any:
            if not turns.left:
                sys.settrace(None)
            elif event == "line":
                turns.pass_on(thread)
            return at_line

        turns.begin(thread)
        sys.settrace(trace)
        try:
            return calls[thread]()
        finally:
            sys.settrace(None)
            turns.end(thread)

    return _results([partial(taking_turns, 0), partial(taking_turns, 1)])


def _results(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of calls, each in a thread of its own."""
    results: list[Any] = [None] * len(calls)
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            with np.errstate(all="ignore"):
                results[i] = calls[i]()
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
