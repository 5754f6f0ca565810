"""What ran: for every component and check, how many examples and comparisons, and the worst error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from conformance.comparison.answers import Answer, Select, every
from conformance.comparison.rule import Problem, judge
from conformance.comparison.sensitivity import DETECTED, sensitivity
from conformance.comparison.ulps import shown
from conformance.divergences import finding
from conformance.errors import Mismatch

# The upper ends of the bins: exact, half a unit in the last place, 1, 2, ..., 2^20, and whatever is more.
SPREAD = (0.0, 0.5, *(2.0**k for k in range(21)), float("inf"))


SCRIPT = "Save this as program.py; python program.py\n\n"  # after this line, a failure is a script


CURVES = 2  # for each check


@dataclass
class Curve:
    """One quantity over the steps of a run, on both sides."""

    title: str
    ours: list[float]
    torch: list[float]


UNRECORDED = "not on record yet"  # a finding without a line among the divergences

# A component is conclusive if, of its examples that the adapter's functions can run, this share compared something.
CONCLUSIVE = 1 / 3


@dataclass
class Failure:
    """A difference, with the smallest example that shows it."""

    message: str
    error: float = math.inf  # in units of the bound; infinite where there is none, as of a shape or of the same bits

    @property
    def first_line(self) -> str:
        """What differs, in a line."""
        return next(iter(self.message.splitlines()), "")


@dataclass(kw_only=True)
class Tally:
    """What checks have compared, and what the worst of it came to."""

    examples: int = 0  # those that compared something
    comparisons: int = 0
    error: float = 0.0  # worst, in units of the bound
    ulps: float = 0.0
    torch_ulps: float = 0.0
    remarks: set[str] = field(default_factory=set)  # documented differences that occurred
    findings: dict[str, int] = field(default_factory=dict)  # what PyTorch gets wrong -> in how many elements
    # How many elements are off by how many units in the last place, in the bins of SPREAD
    spread: list[int] = field(default_factory=lambda: [0] * len(SPREAD))
    torch_spread: list[int] = field(default_factory=lambda: [0] * len(SPREAD))
    # "float32" -> the smallest error planted in one element, in units in the last place, that is always detected
    resolution: dict[str, float] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)  # what the strategies are for: "x: signed zeros", "bias=False"
    reached: dict[str, int] = field(default_factory=dict)  # and in how many examples it was drawn
    references: set[str] = field(default_factory=set)  # what the answers were held to, in words
    sizes: set[str] = field(default_factory=set)  # next to thresholds of numpyml: strategies/thresholds.py

    def record(self, compared: int, error: float = 0.0, ulps: float = 0.0, torch_ulps: float = 0.0) -> None:
        """Add elements that were compared, and what the worst of them came to."""
        self.comparisons += compared
        self.error, self.ulps = max(self.error, float(error)), max(self.ulps, float(ulps))
        self.torch_ulps = max(self.torch_ulps, float(torch_ulps))

    def merge(self, other: Tally) -> None:
        """Add those of another."""
        self.record(other.comparisons, other.error, other.ulps, other.torch_ulps)
        self.examples += other.examples
        for name, elements in other.findings.items():
            self.findings[name] = self.findings.get(name, 0) + elements
        for label, examples in other.reached.items():
            self.reached[label] = self.reached.get(label, 0) + examples
        for name, ulps in other.resolution.items():
            self.resolution[name] = max(self.resolution.get(name, 0.0), ulps)
        self.spread = [a + b for a, b in zip(self.spread, other.spread, strict=True)]
        self.torch_spread = [a + b for a, b in zip(self.torch_spread, other.torch_spread, strict=True)]
        for sets in ("remarks", "promised", "references", "sizes"):
            getattr(self, sets).update(getattr(other, sets))


@dataclass
class Note(Tally):
    """One check of one row: what it has compared so far. The checks call it; it raises where something differs."""

    row: str
    check: str
    failures: list[Failure] = field(default_factory=list)  # of different kinds
    again: str = ""  # the command that repeats it
    offered: bool = False  # whether the adapter says that it offers the component
    made: bool = False  # whether the adapter has made the component at least once
    not_offered: int = 0  # examples that the framework has no way to run
    lacking: int = 0  # of these, examples that need a function the adapter does not define, or compared something else
    unrecorded: dict[str, str] = field(default_factory=dict)  # finding that is not on record -> its smallest case
    curves: list[Curve] = field(default_factory=list)  # trajectories to look at, a few for each component
    covers: bool = False  # whether it must reach every promise itself
    sensitivity: set[str] = field(default_factory=set)  # the precisions in which it plants errors

    @property
    def failure(self) -> str:
        """All failures in words; empty where there is none."""
        return "\n\n".join(failure.message for failure in self.failures)

    @property
    def worst(self) -> float:
        """The worst error, those of failures included."""
        return max([self.error, *(failure.error for failure in self.failures)])

    @property
    def outcome(self) -> str:
        """One of OUTCOMES. What compared nothing has not passed."""
        if self.failures or self.comparisons:
            return "failed" if self.failures else "passed"
        return "not offered" if self.not_offered else "nothing to compare"

    def reach(self, promised: set[str], reached: set[str], ignored: str) -> None:
        """Count an example's labels, without those that begin so."""
        self.promised |= {label for label in promised if not label.startswith(ignored)}
        for label in reached:
            if not label.startswith(ignored):
                self.reached[label] = self.reached.get(label, 0) + 1

    @property
    def blind(self) -> set[str]:
        """The precisions in which no well-conditioned element was drawn, so that no planted error was measured."""
        return self.sensitivity - self.resolution.keys()

    def judge(self, problem: Problem, dtype: Any, seed: int, select: Select = every) -> list[Answer]:
        """Hold the answers, or some of them, to the comparison rule; returns which these were."""
        self.references.add(problem.reference(np.dtype(dtype)))
        answers = []
        for verdict in judge(problem, np.dtype(dtype), seed, select, self.error):
            answers.append(verdict.answer)
            if verdict.failure:
                self.fail(verdict.failure, verdict.error)
                continue
            self.record(verdict.compared, verdict.error, verdict.ulps.max(initial=0), verdict.torch_ulps.max(initial=0))
            for spread, ulps in ((self.spread, verdict.ulps), (self.torch_spread, verdict.torch_ulps)):
                for i, n in enumerate(np.bincount(np.searchsorted(SPREAD, ulps)).tolist()):
                    spread[i] += n
            if verdict.wrong:
                precision = str(np.dtype(dtype))
                reason = finding(self.row, str(verdict.answer), precision) or UNRECORDED
                line = f"{verdict.answer} in {precision}: {reason}"
                self.findings[line] = self.findings.get(line, 0) + verdict.wrong
        return answers

    def plant(self, problem: Problem, dtype: Any, seed: int) -> None:
        """Plant errors, and keep the smallest that is always detected where the problem is well conditioned."""
        precision = str(np.dtype(dtype))
        for plant in sensitivity(problem, np.dtype(dtype), seed):
            if plant.conditioned:
                self.require(
                    plant.smallest <= DETECTED,
                    f"{plant.answer} {plant.element} in {precision}: the smallest error that is detected is "
                    f"{plant.smallest:g} units in the last place, expected {DETECTED:g} or less: the problem is well "
                    "conditioned",
                )
                self.resolution[precision] = max(plant.smallest, self.resolution.get(precision, 0.0))

    def curve(self, title: str, ours: Any, torch: Any) -> None:
        """Keep a trajectory to look at, up to CURVES of them."""
        if len(self.curves) < CURVES:
            self.curves.append(Curve(title, [float(y) for y in ours], [float(y) for y in torch]))

    def same(self, what: str, got: Any, expected: Any) -> None:
        """The same bits (a NaN is a NaN, and 0 is not -0)."""
        a, b = np.asarray(got), np.asarray(expected)
        if a.shape != b.shape or a.dtype != b.dtype:
            return self.fail(f"{what}: got {a.dtype}{a.shape}, expected {b.dtype}{b.shape}")
        differ = ~((a == b) | ((a != a) & (b != b)))
        if a.dtype.kind == "f":
            differ |= (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
        if differ.any():
            at = tuple(int(i) for i in np.argwhere(differ)[0])
            return self.fail(f"{what}{list(at)}: got {shown(a[at])}, expected the same bits as {shown(b[at])}")
        self.comparisons += int(a.size)
        return None

    def require(self, holds: Any, message: str) -> None:
        """One yes-or-no promise."""
        if not holds:
            return self.fail(message)
        self.comparisons += 1
        return None

    def fail(self, message: str, error: float = math.inf) -> None:
        """Raise the difference."""
        raise Mismatch(message, error)

    def add(self, trial: Trial) -> None:
        """Add what one example has compared."""
        self.merge(trial)
        self.examples += trial.comparisons > 0
        self.not_offered += trial.not_offered
        self.lacking += trial.not_offered if trial.comparisons else 0
        self.curves = [*self.curves, *trial.curves][:CURVES]


class Trial(Note):
    """The note of one example. A difference of a kind that is ``known`` is passed over, and the check goes on."""

    def __init__(self, note: Note, known: Callable[[str], bool]) -> None:
        super().__init__(note.row, note.check, error=note.error)
        self.known = known

    def fail(self, message: str, error: float = math.inf) -> None:
        if not self.known(message):
            raise Mismatch(message, error)


OUTCOMES = ("passed", "failed", "not offered", "nothing to compare")


@dataclass
class Line(Tally):
    """A component's line of the table."""

    row: str
    checks: int = 0
    passed: int = 0
    failed: int = 0
    offered: bool = False  # whether the adapter says that it offers the component, or has made it
    not_offered: int = 0  # checks that the framework has no way to run
    refused: int = 0  # examples of all checks that the adapter refused
    in_part: int = 0  # of those passed, checks that it could run on some of the examples alone
    idle: int = 0  # checks with nothing to compare: the parameter gradients of a layer without parameters

    @property
    def ran(self) -> int:
        """The checks that compared something."""
        return self.passed + self.failed

    @property
    def measured(self) -> bool:
        """Whether errors were counted in units in the last place."""
        return sum(self.spread) > 0 or self.ulps > 0

    @property
    def unreached(self) -> list[str]:
        """What a strategy is for and never drew."""
        return sorted(self.promised - self.reached.keys())

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        if self.failed:
            return "differs"
        if self.passed or self.offered:  # what was offered has been asked for in some example
            enough = self.passed and self.examples >= CONCLUSIVE * (self.examples + self.refused)
            return "conforms" if enough else "inconclusive"
        return "not offered" if self.not_offered else "nothing to compare"

    def add(self, note: Note) -> None:
        """Add a check."""
        self.checks += 1
        self.offered |= note.offered or note.made
        self.refused += note.not_offered - note.lacking
        self.passed += note.outcome == "passed"
        self.failed += note.outcome == "failed"
        self.not_offered += note.outcome == "not offered"
        self.in_part += note.outcome == "passed" and note.not_offered > 0
        self.idle += note.outcome == "nothing to compare"
        self.merge(note)
        self.error = max(self.error, note.worst)


VERDICTS = ("conforms", "differs", "inconclusive", "not offered", "nothing to compare")


@dataclass
class Component:
    """Where a component stands in the table, and what it is held to: a name in torch, or words."""

    group: str
    peer: str


@dataclass
class About:
    """What a reader must know to understand the notes, and to run them again."""

    framework: str = "numpyml"
    adapter: str = ""  # its path on the command line
    seed: int = 0
    profile: str = "default"
    examples: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    k: float = 0.0
    rule: str = ""
    components: dict[str, Component] = field(default_factory=dict)  # all there are, run or not
    checks: dict[str, str] = field(default_factory=dict)  # what each check holds the component to, in words
    differences: dict[str, list[str]] = field(default_factory=dict)  # on purpose: heading -> a line each
    documented: dict[str, int] = field(default_factory=dict)  # how many of each component; of every one: ''
    incomplete: list[str] = field(default_factory=list)  # what lacks a row, a strategy, ...


class Census:
    """All notes of a run."""

    FORMAT = 2  # of the JSON; another number is another meaning

    def __init__(self, about: About | None = None) -> None:
        self.about = about or About()
        self.notes: list[Note] = []

    def lines(self) -> list[Line]:
        """One line for each component, in the order they ran."""
        lines: dict[str, Line] = {}
        for note in self.notes:
            lines.setdefault(note.row, Line(note.row)).add(note)
        return list(lines.values())

    def groups(self) -> dict[str, list[Line]]:
        """The lines by family; what belongs to none stands under others."""
        known = self.about.components
        groups: dict[str, list[Line]] = {**{component.group: [] for component in known.values()}, "others": []}
        for line in self.lines():
            groups[known[line.row].group if line.row in known else "others"].append(line)
        return {group: lines for group, lines in groups.items() if lines}

    def total(self) -> Line:
        """All components in one line."""
        total = Line("total")
        for note in self.notes:
            total.add(note)
        total.offered, total.refused = False, 0  # of single components
        return total

    @property
    def failures(self) -> list[Note]:
        return [note for note in self.notes if note.failures]

    @property
    def failure(self) -> str:
        """All failures in words; empty where there is none."""
        return "\n\n".join(note.failure for note in self.failures)

    @property
    def inconclusive(self) -> list[Line]:
        """The components of which too little was compared."""
        return [line for line in self.lines() if line.verdict == "inconclusive"]

    @property
    def verdict(self) -> str:
        """One of VERDICTS, or incomplete."""
        total = self.total()
        if total.failed:
            return "differs"
        if self.about.incomplete:
            return "incomplete"
        return "inconclusive" if self.inconclusive else "conforms" if total.passed else "nothing to compare"

    @property
    def holds(self) -> bool:
        """Whether no check failed or is inconclusive, none is missing, and something passed at all."""
        return self.verdict == "conforms"

    def as_json(self) -> dict[str, Any]:
        """For machines, and for a report made later. Numbers that JSON lacks are the strings inf, -inf and nan."""
        return _plain(
            {
                "format": self.FORMAT,
                "about": asdict(self.about),
                "verdict": self.verdict,
                "total": asdict(self.total()),
                "components": [{**asdict(line), "verdict": line.verdict} for line in self.lines()],
                "checks": [{**asdict(note), "outcome": note.outcome, "failure": note.failure} for note in self.notes],
            }
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Census:
        """What ``as_json`` wrote. Raises ValueError, KeyError or TypeError where it did not."""
        if record["format"] != cls.FORMAT:
            raise ValueError(f"its format is {record['format']!r}, this version reads {cls.FORMAT}")
        about = dict(record["about"])
        about["components"] = {name: Component(**known) for name, known in about["components"].items()}
        census = cls(About(**about))
        for written in record["checks"]:
            note = Note(**{name: x for name, x in written.items() if name not in ("outcome", "failure")})
            note.failures = [Failure(x["message"], float(x["error"])) for x in written["failures"]]
            note.error, note.ulps, note.torch_ulps = map(float, (note.error, note.ulps, note.torch_ulps))
            note.resolution = {name: float(ulps) for name, ulps in note.resolution.items()}
            note.curves = [
                Curve(c["title"], [float(y) for y in c["ours"]], [float(y) for y in c["torch"]])
                for c in written["curves"]
            ]
            for sets in ("sensitivity", "remarks", "promised", "references", "sizes"):
                setattr(note, sets, set(written[sets]))
            census.notes.append(note)
        return census


def _plain(value: Any) -> Any:
    """Sets in order, NumPy's numbers as Python's, and strings for numbers that JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
