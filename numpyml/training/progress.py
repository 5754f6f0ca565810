"""Display of progress: a bar in a terminal or notebook, else a line per epoch."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

from numpyml.training.history import figures

_PAUSE = 0.1  # seconds between two updates of the bar
_QUIET = 1.0  # seconds between two lines


class Progress:
    """No display; the base class of the displays."""

    def step(self, loss: float) -> None:
        """Called after a step."""

    def epoch(self, record: Mapping[str, Any], steps: int) -> None:
        """Called after an epoch of ``steps`` steps."""

    def close(self) -> None:
        """Called at the end of training."""


class Lines(Progress):
    """A line per epoch, at most one per second; the last epoch always has one."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.waiting = ""
        self.last = -_QUIET

    def epoch(self, record: Mapping[str, Any], steps: int) -> None:
        rate = steps / max(record["seconds"], 1e-9)
        self.waiting = f"epoch {record['epoch']}/{self.epochs}  {'  '.join(figures(record))}  {rate:.1f} steps/s"
        now = time.monotonic()
        if now - self.last >= _QUIET or record["epoch"] == self.epochs:
            self.last = now
            self._write()

    def _write(self) -> None:
        if self.waiting:
            print(self.waiting, file=sys.stderr, flush=True)
        self.waiting = ""

    def close(self) -> None:
        self._write()


class Bar(Progress):
    """tqdm's bar over all steps, with the newest loss, the figures of the last epoch, and the rate."""

    def __init__(self, tqdm: Any, epochs: int, epoch: int, step: int, batches: int | None) -> None:
        total = None if batches is None else epochs * batches
        self.epochs, self.last, self.steps, self.figures = epochs, time.monotonic(), 0, ""
        self.bar = tqdm(total=total, initial=epoch * (batches or 0) + step, unit="step", dynamic_ncols=True)
        self.bar.set_description_str(f"epoch {epoch + 1}/{epochs}", refresh=False)

    def step(self, loss: float) -> None:
        self.steps += 1
        now = time.monotonic()
        if now - self.last >= _PAUSE:
            self.last = now
            self.bar.set_postfix_str(f"loss {loss:.4g}{self.figures}", refresh=False)
            self._advance()

    def _advance(self) -> None:
        self.bar.update(self.steps)
        self.steps = 0

    def epoch(self, record: Mapping[str, Any], steps: int) -> None:
        self.figures = "".join(f"  {part}" for part in figures(record)[1:])
        self.bar.set_description_str(f"epoch {min(record['epoch'] + 1, self.epochs)}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str("  ".join(figures(record)), refresh=False)

    def close(self) -> None:
        self._advance()
        self.bar.close()


def progress(shown: bool, epochs: int, epoch: int, step: int, batches: int | None) -> Progress:
    """The display: a bar in a terminal or notebook where tqdm is installed, else lines."""
    if not shown:
        return Progress()
    if _in_notebook() or sys.stderr.isatty():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a notebook has no ipywidgets: tqdm draws in text then
                from tqdm.auto import tqdm  # optional
        except ImportError:
            return Lines(epochs)
        return Bar(tqdm, epochs, epoch, step, batches)
    return Lines(epochs)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())
