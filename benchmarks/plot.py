"""``python -m benchmarks.plot RESULTS.json PICTURE.svg`` draws what ``python -m benchmarks --json`` kept."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

INK, SOFT, RULE, OURS, TORCH = "#1c2024", "#59626c", "#d5d8d2", "#1d5fa6", "#ab4e1a"


def draw(found: dict[str, Any], picture: Path) -> None:
    """A line for each case: the median of the ratios as a bar, the smallest and the largest as a whisker."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    cases = list(found.values())
    ratios = [median(case["ratios"]) for case in cases]
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "numpyml", "font.size": 10, "font.family": "sans-serif"}
    ):
        figure, axes = plt.subplots(figsize=(8, 0.42 * len(cases) + 1.1), layout="constrained", facecolor="#fcfcfa")
        axes.set(xscale="log", xlim=(min(0.2, *ratios) * 0.9, max(1.6, *ratios) * 1.3), facecolor="#fcfcfa")
        for place, (case, ratio) in enumerate(zip(cases, ratios, strict=True)):
            axes.barh(place, ratio - 1, left=1, height=0.62, color=OURS if ratio <= 1 else TORCH)
            axes.plot([case["ratios"][0], case["ratios"][-1]], [place, place], color=INK, linewidth=1)
            axes.annotate(f"{ratio:.2f}", (case["ratios"][-1] if ratio > 1 else max(1, case["ratios"][-1]), place),
                          (6, 0), textcoords="offset points", va="center", color=INK)  # fmt: skip
        axes.axvline(1, color=INK, linewidth=1)
        ticks = [x for x in (0.125, 0.25, 0.5, 1, 2, 4) if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]]
        axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks], color=SOFT)
        axes.set_yticks(range(len(cases)), [case["title"] for case in cases], color=INK)
        axes.set_xlabel("time of numpyml, in times of PyTorch: left of 1 numpyml is faster", color=SOFT)
        axes.invert_yaxis()
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
        plt.close(figure)


def table(found: dict[str, Any]) -> str:
    """The same in Markdown."""
    lines = [
        "| one step | numpyml, µs | PyTorch, µs | ratio (min to max) | peak memory, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for case in found.values():
        ours, theirs = case["microseconds"]
        a, b = case["peak_mib"]
        ratios = case["ratios"]
        lines.append(
            f"| {case['title']} | {ours:,.0f} | {theirs:,.0f} | {median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) | {a:,.1f}, PyTorch {b:,.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS.json")
    parser.add_argument("picture", type=Path, metavar="PICTURE.svg")
    given = parser.parse_args()
    found = json.loads(given.results.read_text("utf-8"))
    draw(found, given.picture)
    print(table(found))


if __name__ == "__main__":
    main()
