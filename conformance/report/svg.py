"""The drawings: inline SVG of a few nodes each, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from conformance.results.census import SPREAD, Curve

POINTS = 200  # on a drawn curve
FLOOR = -7.0  # the spread's lowest decade: one element in ten million
NAMES = [
    "0", "½", *(str(2**k) if k < 10 else f"{2 ** (k - 10)}k" if k < 20 else "1M" for k in range(21)), "more"
]  # fmt: skip


def bar(ratio: float) -> Markup:
    """An error in units of the bound, as a bar next to the number."""
    reach = min(1.0, ratio if math.isfinite(ratio) else 1.0)
    return Markup(
        '<svg class="bar" viewBox="0 0 60 8" aria-hidden="true"><path class="rail" d="M0 4H60"/>'
        '<path class="{}" d="M0 4H{:.1f}"/></svg>'
    ).format("over" if not ratio <= 1 else "within", 60 * reach)


def spread(ours: Sequence[int], torch: Sequence[int], framework: str) -> Markup:
    """How many elements are off by how many units in the last place: both frameworks over each other.

    The share of the elements, in decades, so that one in a million is still to be seen.
    """
    left, top, width, height = 54.0, 6.0, 306.0, 104.0
    step = width / len(SPREAD)
    decades = range(int(FLOOR) + 1, 1, 2)
    marked = (0, 1, 2, 5, 8, 12, 17, 22)
    grid = "".join(f"M{left:g} {top + height * d / FLOOR:.1f}h{width:g}" for d in decades)
    labels = [_text(left - 5, top + height * d / FLOOR + 4, f"{100 * 10.0**d:g}%", "end") for d in decades]
    labels += [_text(left + (i + 0.5) * step, top + height + 13, NAMES[i]) for i in marked]
    return Markup(
        '<svg class="plot" viewBox="0 0 364 126" role="img" aria-label="{}"><path class="grid" d="{}"/>{}'
        '<path class="torch area" d="{}"/><path class="ours line" d="{}"/></svg>'
    ).format(
        f"Share of elements by error, {framework}: {_in_words(ours)}; PyTorch: {_in_words(torch)}",
        grid,
        Markup("").join(labels),
        _steps(torch, left, top + height, step, height),
        _steps(ours, left, top + height, step, height),
    )


def sparkline(ours: Sequence[int], torch: Sequence[int]) -> Markup:
    """The spread again, as small as a word."""
    return Markup(
        '<svg class="spark" viewBox="0 0 72 17" aria-hidden="true"><path class="torch area" d="{}"/>'
        '<path class="ours line" d="{}"/></svg>'
    ).format(_steps(torch, 0, 16, 3, 14), _steps(ours, 0, 16, 3, 14))


def _steps(counts: Sequence[int], left: float, base: float, step: float, height: float) -> str:
    """The outline of a histogram, up to its last bin that holds something."""
    total, path = sum(counts), f"M{left:g} {base:g}"
    for i in range(max((i + 1 for i, n in enumerate(counts) if n), default=0)):
        share = counts[i] / total
        high = max(0.015, 1 - math.log10(share) / FLOOR) * height if share else 0  # the rarest is still a stroke
        path += f"V{base - high:.1f}H{left + (i + 1) * step:.1f}"
    return f"{path}V{base:g}"


def trajectory(curve: Curve, framework: str) -> Markup:
    """Both frameworks over each other, and below it the difference, a panel each on one axis of steps."""
    left, width = 48.0, 312.0
    differences = [a - b for a, b in zip(curve.ours, curve.torch, strict=False)]
    steps = len(differences)
    finite = [y for y in (*curve.ours, *curve.torch) if math.isfinite(y)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    logarithmic = low > 0 and high > 50 * low
    scale: Callable[[float], float] = (
        math.log10 if logarithmic else lambda y: y / 4
    )  # a quarter: the largest floats overflow
    bottom, reach = scale(low), (scale(high) - scale(low)) or 1.0
    largest = max((abs(d) for d in differences if math.isfinite(d)), default=0.0)

    def x(i: int) -> float:
        return left + width * i / max(1, steps - 1)

    def above(y: float) -> float:
        return 88 - 80 * ((scale(y) - bottom) / reach)

    def below(d: float) -> float:
        return 132 - (20 * (d / largest) if largest else 0)

    thin = sorted({round(i * (steps - 1) / (POINTS - 1)) for i in range(POINTS)}) if steps > POINTS else range(steps)
    edges = (
        [round(i * steps / (POINTS // 2)) for i in range(POINTS // 2 + 1)] if steps > POINTS // 2 else range(steps + 1)
    )
    # Of every stretch of steps the largest difference: none is lost between two points of the drawing.
    peaks = [max(range(a, b), key=lambda i: _size(differences[i])) for a, b in pairwise(edges) if b > a]
    label = (
        f"{curve.title} over {steps} steps, from {_number(curve.torch[0])} to {_number(curve.torch[-1])}; "
        f"largest difference {_number(largest)}"
    )
    labels = [
        _text(left - 5, 12, _number(high), "end"),
        _text(left - 5, 92, _number(low), "end"),
        _text(left - 5, 136, "0", "end"),
        _text(left + width, 104, f"difference, at most {_number(largest)}", "end"),
        _text(left, 168, "step 1", "start"),
        _text(left + width, 168, f"{steps:,}", "end"),
        *([_text(left + width, 20, "log scale", "end")] if logarithmic else []),
    ]

    def drawn(ys: Sequence[float], height: Callable[[float], float], at: Sequence[int]) -> str:
        return _line([(x(i), height(ys[i])) if math.isfinite(ys[i]) else None for i in at])

    return Markup(
        '<svg class="plot" viewBox="0 0 364 172" role="img" aria-label="{}"><path class="grid" d="{}"/>{}'
        '<path class="torch wide" d="{}"/><path class="ours line" d="{}"/><path class="difference" d="{}"/></svg>'
    ).format(
        label,
        "".join(f"M{left:g} {y}h{width:g}" for y in (8, 88, 132)),
        Markup("").join(labels),
        drawn(curve.torch, above, thin),
        drawn(curve.ours, above, thin),
        drawn(differences, below, peaks),
    )


def _size(difference: float) -> float:
    return math.inf if math.isnan(difference) else abs(difference)


def _line(points: Sequence[tuple[float, float] | None]) -> str:
    """A path in tenths, each point relative to the last; None is a gap."""
    path, last = "", None
    for point in points:
        if point is None:
            last = None
            continue
        here = (round(10 * point[0]), round(10 * point[1]))
        if last is None:
            path += f"M{here[0] / 10:g} {here[1] / 10:g}l0 0"
        else:
            path += f" {(here[0] - last[0]) / 10:g} {(here[1] - last[1]) / 10:g}"
        last = here
    return path


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, escape(text))


def _number(y: float) -> str:
    return f"{y:.3g}"


def _in_words(counts: Sequence[int]) -> str:
    total = sum(counts)
    if not total:
        return "no elements"
    half = 100 * sum(counts[:2]) / total
    worst = max(i for i, n in enumerate(counts) if n)
    return f"{half:.4g} % within half a unit in the last place, the worst up to {NAMES[worst]}"
