"""Ctrl-C: a training ends between two steps, not in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class _Whole:
    """What is done inside is done to its end; then comes what came too late."""

    def __init__(self) -> None:
        self.inside = False
        self.late: Callable[[], Any] | None = None

    def __enter__(self) -> None:
        self.inside = True

    def __exit__(self, *_: object) -> None:
        self.inside = False
        if self.late is not None:
            late, self.late = self.late, None
            late()


class Interrupt:
    """While entered, Ctrl-C asks for an end: once, after the present step; twice, at once.

    Inside ``whole`` the second one waits, too: parameters are never left half written. A handler that somebody else
    installed is called as ever, but not inside ``whole``. Outside the main thread there is no Ctrl-C.
    """

    def __init__(self) -> None:
        self.asked = False
        self.whole = _Whole()
        self._previous: Any = None

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and callable(signal.getsignal(signal.SIGINT)):
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._previous is signal.default_int_handler and not self.asked:
            self.asked = True
        elif self.whole.inside:
            self.whole.late = lambda: self._previous(signum, frame)
        else:
            self._previous(signum, frame)
