"""The terminal: a bar while it runs, the failures as they come, and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from tqdm import tqdm

from conformance.results.census import SCRIPT, Census, Line, Note

PRECISIONS = ("float32", "float64")
WIDTHS = (30, 7, 10, 12, 8, 9, 9, 9, 9)  # and a mark
ABOVE = f"{'':59}{'worst':>8}{'worst, in ulps':>18}{'sensitivity, ulps':>18}"
HEAD = "".join(
    f"{title:{side}{width}}"
    for title, side, width in zip(
        ("component", "checks", "examples", "comparisons", "/bound", "", "PyTorch", "float32", "float64"),
        "<>>>>>>>>",
        WIDTHS,
        strict=True,
    )
)


class _Bar(tqdm):
    monitor_interval = 0  # a thread that watches the bar would be there when the workers fork


def watched(notes: Iterable[Note], total: int, stream: TextIO | None = None) -> Iterator[Note]:
    """Pass the notes on. A bar on a terminal, elsewhere a line now and then; failures in full, as they come."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    looks = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} checks  {elapsed}, {remaining} to go  {desc}"
    with _Bar(total=total, file=stream, disable=not terminal, leave=False, dynamic_ncols=True, bar_format=looks) as bar:
        failed = 0
        if not terminal:
            stream.write(f"{total} checks; a line for every tenth of them\n")
            stream.flush()
        for done, note in enumerate(notes, 1):
            if note.failure:
                failed += 1
                _Bar.write(failure(note) + "\n", file=sys.stdout)
            bar.set_description_str(f"{failed} failed  {note.row}" if failed else note.row, refresh=False)
            bar.update()
            if not terminal and (done == total or done % max(1, total // 10) == 0):
                stream.write(f"[{done:4}/{total}] {note.row}-{note.check}\n")
                stream.flush()
            yield note


def failure(note: Note) -> str:
    """The failures of a check: what was compared, the smallest example, expected and received."""
    texts = []
    for one in note.failures:
        message, mark, script = one.message.partition(SCRIPT)  # a script is not indented: it can be copied
        texts.append(message.replace("\n", "\n    ") + mark + script)
    return "\n    ".join([f"FAILED {note.row}-{note.check}, {times(note.worst)}", *texts, f"again: {note.again}"])


def times(error: float) -> str:
    """How far off a failure is, in words."""
    return f"{error:.3g} x the bound" if error < float("inf") else "inf x the bound"


def marks(line: Line) -> list[str]:
    """The checks of a line that did not pass or ran in part, the worst first."""
    counts = {
        "FAILED": line.failed,
        "not offered": line.not_offered,
        "in part": line.in_part,
    }
    marks = [f"{count:,} {what}" for what, count in counts.items() if count]
    return ["inconclusive", *marks] if line.verdict == "inconclusive" else marks


def cells(line: Line) -> tuple[str, ...]:
    """The figures of a line: checks, examples, comparisons, worst errors, sensitivities."""
    return (
        f"{line.ran}",
        f"{line.examples:,}",
        f"{line.comparisons:,}",
        units(line.error) if line.comparisons or line.failed else "-",
        short(line.ulps) if line.measured else "-",
        short(line.torch_ulps) if line.measured else "-",
        *(planted(line, precision) for precision in PRECISIONS),
    )


def table(census: Census) -> str:
    """The table: per component what ran and the worst error, in units of the bound and in units in the last place."""
    rule = "-" * sum(WIDTHS)
    head = HEAD[: sum(WIDTHS[:5])] + f"{census.about.framework:>{WIDTHS[5]}.{WIDTHS[5] - 1}}" + HEAD[sum(WIDTHS[:6]) :]
    lines = [*(f"FAILED {title}: {text}" for title, text in failed(census)), *[""] * (census.total().failed > 0)]
    lines += [ABOVE, head, rule]
    for group, members in census.groups().items():
        lines += [f"{group}:", *map(_row, members), ""]
    return "\n".join([*lines[:-1], rule, _row(census.total(), "")])


def failed(census: Census) -> list[tuple[str, str]]:
    """Every failure in a line: the check and how far off it is, and what differs."""
    return [
        (f"{note.row}-{note.check}, {times(one.error)}", f"{one.first_line:.160}")
        for note in census.failures
        for one in note.failures
    ]


def _row(line: Line, indent: str = "  ") -> str:
    numbers = "".join(f"{cell:>{width}}" for cell, width in zip(cells(line), WIDTHS[1:], strict=True))
    return f"{indent + line.row:{WIDTHS[0]}}{numbers}  {''.join(marks(line)[:1])}".rstrip()


def units(error: float) -> str:
    """An error in units of the bound, in at most seven characters."""
    return f"{error:.3f}" if error < 1e3 else f"{error:.1e}"


MANY = 9999  # more units in the last place than this say no more than that a value is ill-conditioned


def short(ulps: float) -> str:
    """An error in units in the last place, in at most six characters."""
    return f"{ulps:.1f}" if ulps <= MANY else f">{MANY}"


def planted(line: Line, precision: str) -> str:
    """The smallest planted error that is always detected: "none" where even the largest is not, "-" if unmeasured."""
    ulps = line.resolution.get(precision)
    if ulps is None:
        return "-"
    return "none" if ulps == float("inf") else f"{ulps:.3g}" if ulps < 1e3 else short(ulps).removesuffix(".0")


def counted(number: int, what: str) -> str:
    """``1 check``, ``2 checks``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def headline(census: Census) -> str:
    """The sentence that says whether everything holds."""
    lines, total, about = census.lines(), census.total(), census.about
    if total.failed:
        return f"{total.failed:,} of {total.checks:,} checks failed"
    if about.incomplete:
        return f"No check failed, but {counted(len(about.incomplete), 'gap')} left"
    if census.inconclusive:
        few = [line.row for line in census.inconclusive]
        of = f"{few[0]} is" if len(few) == 1 else f"{len(few):,} of {len(lines):,} components are"
        return f"No check failed, but {of} inconclusive: too few of the examples compared something"
    if not total.passed:
        return "Nothing was compared"
    offered = [line for line in lines if line.verdict == "conforms"]
    absent = sum(line.verdict == "not offered" for line in lines)
    lacking = f"; {absent:,} not offered" if absent else ""
    if (total.not_offered or total.in_part) and not lacking:
        lacking = " in what is offered"
    if len(offered) == 1:
        return f"{offered[0].row} conforms{lacking}"
    if len(offered) == len(about.components):
        return f"All {len(offered):,} components conform{lacking}"
    return f"The {len(offered):,} components that ran conform{lacking}"


def verdict(census: Census) -> str:
    """The number of checks of each outcome, in a sentence."""
    total = census.total()
    if not total.ran:
        return "nothing was compared"
    part = f", {total.in_part:,} of them on a part of the examples" if total.in_part else ""
    absent = f" ({total.not_offered:,} not offered)" if total.not_offered else ""
    failed = f"{total.failed:,}" if total.failed else "none"
    return f"{counted(total.passed, 'check')} passed{part}, {failed} failed{absent}"


def footer(census: Census) -> str:
    """How the table is read, and the verdict."""
    about, total = census.about, census.total()
    against = about.versions.get("PyTorch", "")
    lines = [
        f"worst/bound: the largest error in units of the one comparison rule (K = {about.k:g}); above 1 is a failure.",
        f"worst, in ulps: the largest in units in the last place, and PyTorch's; >{MANY} of ill-conditioned values,",
        "    which move that far when an input changes in its last place, or where PyTorch exceeds the bound;",
        "    - where none was measured.",
    ]
    if total.resolution:
        lines.append(
            "sensitivity: the smallest error, planted in one element, that was always detected; - if none was."
        )
    if total.findings:
        lines.append(
            f"{counted(len(total.findings), 'finding')}: PyTorch exceeds the bound; see conformance/findings/."
        )
    lines += [f"FAILED {note.row}-{note.check}, {times(note.worst)}" for note in census.failures]
    if census.inconclusive:
        names = ", ".join(line.row for line in census.inconclusive)
        lines.append(f"inconclusive, since less than a third of the examples compared something: {names}")
    own = sum(about.documented.get(line.row, 0) for line in census.lines())
    common = about.documented.get("", 0)
    differences = counted(own, "documented difference") + f", and {common} of every component" * bool(common)
    where = "conformance/contracts/" if about.framework == "numpyml" else "in its adapter"
    lines.append(f"{counted(len(census.lines()), 'component')} against PyTorch {against}; {differences} ({where})")
    lines.append(f"{counted(total.comparisons, 'comparison')}: {verdict(census)}")
    worst = f", the worst error at {total.error:.0%} of what is allowed" if census.holds else ""
    return "\n".join([*lines, f"{headline(census)}{worst}"])
