"""Handling of Ctrl-C: training ends between two steps, not within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class _Atomic:
    """A context that defers an interrupt to its end."""

    def __init__(self) -> None:
        self.inside = False
        self.deferred: Callable[[], Any] | None = None

    def __enter__(self) -> None:
        self.inside = True

    def __exit__(self, *_: object) -> None:
        self.inside = False
        if self.deferred is not None:
            deferred, self.deferred = self.deferred, None
            deferred()


class Interrupt:
    """A context in which the first Ctrl-C ends training after the present step, and the second one immediately.

    Inside ``atomic`` the second one is deferred, too: an update of the parameters is never partial. A handler that was
    installed before is called, but not inside ``atomic``. Outside the main thread there is no Ctrl-C.
    """

    def __init__(self) -> None:
        self.requested = False
        self.atomic = _Atomic()
        self._previous: Any = None

    def __enter__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        if main and callable(signal.getsignal(signal.SIGINT)):
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._previous is signal.default_int_handler and not self.requested:
            self.requested = True
        elif self.atomic.inside:
            self.atomic.deferred = lambda: self._previous(signum, frame)
        else:
            self._previous(signum, frame)
