"""The page and the Markdown table: one self-contained file each, the same bytes for the same census."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_high

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from conformance.report import svg
from conformance.report.terminal import (
    MANY,
    PRECISIONS,
    cells,
    counted,
    headline,
    marks,
    planted,
    short,
    times,
    units,
)
from conformance.results.census import Census, Line, Note

TEMPLATES = Path(__file__).parent


@dataclass
class Part:
    """A component on the page."""

    line: Line
    peer: str
    notes: list[Note]


def parts(census: Census) -> dict[str, list[Part]]:
    """The components by family."""
    notes: dict[str, list[Note]] = {}
    for note in census.notes:
        notes.setdefault(note.row, []).append(note)
    peers = {name: component.peer for name, component in census.about.components.items()}
    return {
        group: [Part(line, peers.get(line.row, ""), notes[line.row]) for line in lines]
        for group, lines in census.groups().items()
    }


@dataclass
class Figure:
    """One of the big numbers at the top."""

    value: str
    name: str
    aside: str = ""


def figures(census: Census) -> list[Figure]:
    """The result in five numbers."""
    lines, total = census.lines(), census.total()
    known = len(census.about.components)
    counts = {"in part": total.in_part, "not offered": total.not_offered}
    aside = [f"{count:,} {what}" for what, count in counts.items() if count]
    few = [f"{len(census.inconclusive):,} inconclusive"] if census.inconclusive else []
    worst = max(lines, key=lambda line: line.error, default=None)
    ran = sum(line.ran > 0 for line in lines)
    numbers = [
        Figure(f"{ran:,}", "components", ", ".join([f"of {known:,}" if known > ran else "all there are", *few])),
        Figure(f"{total.passed:,}", "checks passed", ", ".join([f"{total.failed:,} failed", *aside])),
        Figure(f"{total.comparisons:,}", "comparisons", f"in {total.examples:,} examples"),
    ]
    if worst is not None and total.ran:
        numbers.append(Figure(share(worst.error), "worst error, of what is allowed", f"in {worst.row}"))
    for name in PRECISIONS:
        resolutions = [line.resolution[name] for line in lines if name in line.resolution]
        if resolutions:
            middle, largest = (planted(Line("", resolution={name: f(resolutions)}), name) for f in (median_high, max))
            numbers.append(Figure(f"{middle} ulps", f"sensitivity, {name}", f"median component; at worst {largest}"))
    return numbers


SUBJECTS = {  # what checks compare, by their names
    "output": "outputs",
    "input_gradients": "gradients",
    "parameter_gradients": "gradients",
    "function_gradients": "gradients",
    "buffers": "buffers",
    "trajectory": "optimizer states",
    "schedule": "learning rates",
}


def compared(census: Census) -> str:
    """What was compared, in words: nothing that no check of the run has looked at."""
    ran = {note.check for note in census.notes if note.outcome not in ("not offered", "nothing to compare")}
    subjects = list(dict.fromkeys(subject for check, subject in SUBJECTS.items() if check in ran)) or ["answers"]
    *others, last = subjects
    return (f"{', '.join(others)} and {last}" if others else last).capitalize()


def share(error: float) -> str:
    """Units of the bound, as a share."""
    return f"{100 * error:.3g} %" if error <= 1 else f"{error:.3g} ×"


def html(census: Census) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "commas": lambda n: f"{n:,}",
        "short": short,
        "planted": planted,
        "counted": counted,
        "marks": marks,
        "units": units,
        "times": times,
        "bar": svg.bar,
        "raw_file": lambda name: Markup((TEMPLATES / name).read_text(encoding="utf-8")),  # noqa: S704  # our own file
    }
    groups = parts(census)
    return environment.get_template("page.html").render(
        about=census.about,
        groups=groups,
        all=[part for members in groups.values() for part in members],
        figures=figures(census),
        holds=census.holds,
        verdict=headline(census),
        total=census.total(),
        failures=census.failures,
        compared=compared(census),
        inconclusive=census.inconclusive,
        svg=svg,
        precisions=PRECISIONS,
        many=MANY,
        again=again(census),
    )


def again(census: Census) -> str:
    """The command line that repeats the run."""
    about = census.about
    ran = [line.row for line in census.lines()]
    parts = ["python -m conformance", f"--profile {about.profile}", f"--seed {about.seed}"]
    parts += [f"--framework {about.adapter}"] if about.adapter else []
    parts += [f"--examples {about.examples}"] if about.examples is not None else []
    parts += [f"--only {row}" for row in ran] if len(ran) < min(len(about.components), 8) else []
    return " ".join(parts)


def markdown(census: Census) -> str:
    """The table and what belongs to it, for a page of the documentation or a comment."""
    about, total = census.about, census.total()
    name = about.framework
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
    failures = [f"{_cell(n.row)}, {_cell(n.check)}: {times(n.worst)}\n\n{_failures(n)}" for n in census.failures]
    out = [
        f"# {_cell(name)} held to PyTorch",
        f"**{'✓' if census.holds else '✗'} {_cell(headline(census))}.** "
        + "; ".join(f"{f.value} {f.name} ({f.aside})" for f in figures(census)),
        f"`{again(census)}`" + (f" with {versions}" if versions else ""),
        *(["## Failures", *failures] if failures else []),
    ]
    head = ["Component", "Held to", "Checks", "Examples", "Comparisons", "Worst error / bound", f"{_cell(name)}, ulps"]
    head += ["PyTorch, ulps", "Sensitivity, float32", "Sensitivity, float64", ""]
    for group, members in parts(census).items():
        rows = [_row(head), "|---|---|" + "---:|" * 8 + "---|"]
        rows += [_row(_cells(part.line, part.peer)) for part in members]
        out += [f"## {_cell(group.capitalize())}", "\n".join(rows)]
    out += ["## Total", "\n".join([_row(head), "|---|---|" + "---:|" * 8 + "---|", _row(_cells(total, ""))])]
    out.append(
        f"Worst error: in units of the one comparison rule, K = {about.k:g}; above 1 is a failure. Ulps: the largest "
        f"error in units in the last place; >{MANY}: of ill-conditioned values, which move that far when an input "
        "changes in its last place, or where PyTorch exceeds the bound. Sensitivity: the smallest error, planted in "
        "one element, that was always detected, in ulps."
    )
    if about.incomplete:
        out += ["## Incomplete", "\n".join(f"- {_cell(line)}" for line in about.incomplete)]
    if total.findings:
        findings = [f"- {_cell(what)}: {counted(count, 'element')}" for what, count in sorted(total.findings.items())]
        out += ["## Where PyTorch exceeds the bound", "\n".join(findings)]
    return "\n\n".join(out) + "\n"


def _cells(line: Line, peer: str) -> list[str]:
    remarks = ", ".join(marks(line))
    bold = line.verdict in ("differs", "inconclusive")
    return [_cell(line.row), _cell(peer), *cells(line), f"**{remarks}**" if bold else remarks]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text that stands in Markdown for itself."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(escaped.split()))


def _failures(note: Note) -> str:
    return "\n\n".join(_fenced(one.message) for one in note.failures)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
