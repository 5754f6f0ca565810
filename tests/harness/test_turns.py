"""Two threads that take turns at every line."""

from __future__ import annotations

import pytest

from conformance.checks.turns import at_once, in_thread

shared: list[int] = []


def write_then_read(number: int) -> int:
    shared[:] = [number]
    return shared[0]


def test_threads_take_turns_at_every_line() -> None:
    first, second = at_once(lambda: write_then_read(1), lambda: write_then_read(2))
    assert (first, second) == (2, 2)


def test_an_exception_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        at_once(lambda: 1 // 0, lambda: write_then_read(2))
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 // 0)
