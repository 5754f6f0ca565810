"""How a person reads a run: a progress line, the failures, and the table."""

from __future__ import annotations

import sys
from typing import TextIO

from conformance import divergences
from conformance.bound import K
from conformance.census import Census, Line, Note
from conformance.frameworks.pytorch import SUPPORTED

TITLES = (
    ("checks", 7),
    ("examples", 10),
    ("comparisons", 13),
    ("worst/bound", 13),
    ("worst ulps", 12),
    ("PyTorch ulps", 14),
)
HEAD = f"{'component':32}" + "".join(f"{title:>{width}}" for title, width in TITLES)


def progress(done: int, total: int, note: Note, stream: TextIO | None = None) -> None:
    """One line that overwrites itself on a terminal; elsewhere a line now and then."""
    text = f"[{done:4}/{total}] {note.row}-{note.check}"
    stream = stream or sys.stderr
    if stream.isatty():
        stream.write(f"\r{text:79.79}" + ("\r" + " " * 79 + "\r" if done == total else ""))
        stream.flush()
    elif done == total or done % max(1, total // 10) == 0:
        stream.write(text + "\n")


def failure(note: Note) -> str:
    """A failing check: what was compared, the smallest example, expected and got."""
    indented = note.failure.replace("\n", "\n    ")
    return f"FAILED {note.row}-{note.check}\n    {indented}\n    again: python -m conformance --only {note.row}"


def row_of(line: Line) -> str:
    """A line of the table."""
    mark = f"   {line.failed} FAILED" if line.failed else ""
    return (
        f"{line.row:32}{line.checks:7}{line.examples:10,}{line.comparisons:13,}{line.error:13.3f}"
        f"{_short(line.ulps):>12}{_short(line.torch_ulps):>14}{mark}"
    )


def _short(ulps: float) -> str:
    return f"{ulps:.1f}" if ulps < 1e5 else f"{ulps:.1e}"


def table(census: Census) -> str:
    """THE table: per component what ran and the worst error, in units of the bound and in units in the last place."""
    lines = [HEAD, "-" * len(HEAD), *map(row_of, census.lines()), "-" * len(HEAD), row_of(census.total())]
    return "\n".join(lines)


def footer(census: Census) -> str:
    """How the table is read, and the verdict."""
    total, failed = census.total(), census.failures
    verdict = f"{len(failed)} of {total.checks} checks FAILED" if failed else f"all {total.checks} checks passed"
    return (
        f"worst/bound: largest error in units of the one comparison rule (K = {K:g}); above 1 is a failure.\n"
        f"ulps: units in the last place, numpyml's and PyTorch's own; large where the value is ill-conditioned.\n"
        f"{len(census.lines())} components against PyTorch {SUPPORTED}; {divergences.count()} differences on purpose "
        f"(conformance/divergences.py); {total.comparisons:,} comparisons: {verdict}"
    )
