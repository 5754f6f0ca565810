"""What ran: for every component and check, how many examples and comparisons, and the worst error."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from conformance.bound import NOTICED, Problem, judge, sharpness
from conformance.errors import Mismatch

# The upper ends of the bins: exact, half a unit in the last place, 1, 2, ..., 2^20, and whatever is more.
SPREAD = (0.0, 0.5, *(2.0**k for k in range(21)), float("inf"))


@dataclass
class Curve:
    """One quantity over the steps of a run, on both sides."""

    title: str
    ours: list[float]
    torch: list[float]


@dataclass
class Note:
    """One check of one row: what it has compared so far. The checks speak to it; it raises where something differs."""

    row: str
    check: str
    examples: int = 0
    comparisons: int = 0
    error: float = 0.0  # worst, in units of the bound
    ulps: float = 0.0
    torch_ulps: float = 0.0
    failure: str = ""
    not_offered: int = 0  # examples that the framework has no way to run
    remarks: set[str] = field(default_factory=set)  # divergences that this check met
    findings: dict[str, int] = field(default_factory=dict)  # what PyTorch gets wrong -> in how many elements
    # How many elements are off by how many units in the last place, in the bins of SPREAD
    spread: list[int] = field(default_factory=lambda: [0] * len(SPREAD))
    torch_spread: list[int] = field(default_factory=lambda: [0] * len(SPREAD))
    # "float32" -> the smallest error planted in one element, in units in the last place, that is always noticed
    resolution: dict[str, float] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)  # trajectories to look at, a few for each component
    promised: set[str] = field(default_factory=set)  # what the strategies are for: "x: signed zeros", "bias=False"
    reached: set[str] = field(default_factory=set)  # and what of it was drawn

    def judge(self, problem: Problem, dtype: Any, seed: int, *prefixes: str) -> None:
        """Hold the answers whose names start with a prefix to the comparison rule."""
        for verdict in judge(problem, np.dtype(dtype), seed, prefixes or ("",)):
            if verdict.failure:
                raise Mismatch(verdict.failure)
            self.record(verdict.compared, verdict.error, verdict.ulps.max(initial=0), verdict.torch_ulps.max(initial=0))
            for spread, ulps in ((self.spread, verdict.ulps), (self.torch_spread, verdict.torch_ulps)):
                for place, n in zip(*np.unique(np.searchsorted(SPREAD, ulps), return_counts=True), strict=True):
                    spread[place] += int(n)
            if verdict.wrong:
                found = f"{self.row}: {verdict.what} in {np.dtype(dtype)}"
                self.findings[found] = self.findings.get(found, 0) + verdict.wrong

    def sharpness(self, problem: Problem, dtype: Any, seed: int) -> None:
        """Plant errors, and keep the smallest that is always noticed where the problem is well conditioned."""
        name = str(np.dtype(dtype))
        for plant in sharpness(problem, np.dtype(dtype), seed):
            if plant.conditioned:
                self.require(
                    plant.noticed <= NOTICED,
                    f"{plant.what} in {name}: an error of {plant.noticed:g} units in the last place is the smallest "
                    f"that is noticed, and the problem is well conditioned; it should be {NOTICED:g} or less",
                )
                self.resolution[name] = max(plant.noticed, self.resolution.get(name, 0.0))

    def record(self, compared: int, error: float = 0.0, ulps: float = 0.0, torch_ulps: float = 0.0) -> None:
        """Add elements that were compared, and what the worst of them came to."""
        self.comparisons += compared
        self.error, self.ulps = max(self.error, float(error)), max(self.ulps, float(ulps))
        self.torch_ulps = max(self.torch_ulps, float(torch_ulps))

    def same(self, what: str, got: Any, expected: Any) -> None:
        """The same bits (a NaN is a NaN, and 0 is -0)."""
        a, b = np.asarray(got), np.asarray(expected)
        if a.shape != b.shape or a.dtype != b.dtype:
            raise Mismatch(f"{what}: got {a.dtype}{a.shape}, expected {b.dtype}{b.shape}")
        differ = ~((a == b) | ((a != a) & (b != b)))
        if differ.any():
            at = tuple(int(i) for i in np.argwhere(differ)[0])
            raise Mismatch(f"{what}{list(at)}: got {a[at]!r}, expected the same bits as {b[at]!r}")
        self.comparisons += int(a.size)

    def require(self, holds: Any, message: str) -> None:
        """One yes-or-no promise."""
        if not holds:
            raise Mismatch(message)
        self.comparisons += 1


@dataclass
class Line:
    """A component's line of the table."""

    row: str
    checks: int = 0
    failed: int = 0
    examples: int = 0
    comparisons: int = 0
    error: float = 0.0
    ulps: float = 0.0
    torch_ulps: float = 0.0

    def add(self, note: Note | Line) -> None:
        self.checks += 1 if isinstance(note, Note) else note.checks
        self.failed += bool(note.failure) if isinstance(note, Note) else note.failed
        self.examples += note.examples
        self.comparisons += note.comparisons
        self.error, self.ulps = max(self.error, note.error), max(self.ulps, note.ulps)
        self.torch_ulps = max(self.torch_ulps, note.torch_ulps)


class Census:
    """All notes of a run."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def lines(self) -> list[Line]:
        """One line for each component, in the order they ran."""
        lines: dict[str, Line] = {}
        for note in self.notes:
            lines.setdefault(note.row, Line(note.row)).add(note)
        return list(lines.values())

    def total(self) -> Line:
        """Everything."""
        total = Line("total")
        for line in self.lines():
            total.add(line)
        return total

    @property
    def failures(self) -> list[Note]:
        return [note for note in self.notes if note.failure]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        notes = [
            {name: sorted(value) if isinstance(value, set) else value for name, value in asdict(note).items()}
            for note in self.notes
        ]
        return {"total": asdict(self.total()), "components": [asdict(line) for line in self.lines()], "checks": notes}
