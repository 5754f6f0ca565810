"""``python -m benchmarks.plot RESULTS.json PICTURE.svg`` draws the results of ``python -m benchmarks --json``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

INK, SOFT, RULE, OURS, TORCH = "#1c2024", "#59626c", "#d5d8d2", "#1d5fa6", "#ab4e1a"


def draw(results: dict[str, Any], picture: Path) -> None:
    """A line for each case: the median of the ratios as a bar, the smallest and the largest as a whisker."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    cases = list(results.values())
    ratios = [median(case["ratios"]) for case in cases]
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "numpyml", "font.size": 10, "font.family": "sans-serif"}
    ):
        figure, axes = plt.subplots(figsize=(8, 0.42 * len(cases) + 1.1), layout="constrained", facecolor="#fcfcfa")
        axes.set(xscale="log", xlim=(min(0.2, *ratios) * 0.9, max(1.6, *ratios) * 1.3), facecolor="#fcfcfa")
        for row, (case, ratio) in enumerate(zip(cases, ratios, strict=True)):
            axes.barh(row, ratio - 1, left=1, height=0.62, color=OURS if ratio <= 1 else TORCH)
            axes.plot([case["ratios"][0], case["ratios"][-1]], [row, row], color=INK, linewidth=1)
            axes.annotate(f"{ratio:.2f}", (case["ratios"][-1] if ratio > 1 else max(1, case["ratios"][-1]), row),
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


def table(results: dict[str, Any]) -> str:
    """The results in Markdown; with memory, where it was measured. ValueError where there is no case."""
    if not results:
        raise ValueError("no case")
    memory = any("peak_mib" in case for case in results.values())
    head = ["one step", "numpyml, µs", "PyTorch, µs", "ratio (min to max)", *["peak memory, MiB (PyTorch)"] * memory]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for case in results.values():
        low, *_, high = case["ratios"]
        line = [case["title"], *(f"{time:,.0f}" for time in case["microseconds"])]
        line.append(f"{median(case['ratios']):.2f} ({low:.2f} to {high:.2f})")
        if memory:
            line.append("{:,.1f} ({:,.1f})".format(*case["peak_mib"]) if "peak_mib" in case else "")
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS.json")
    parser.add_argument("picture", type=Path, metavar="PICTURE.svg")
    options = parser.parse_args(arguments)
    try:
        results = json.loads(options.results.read_text("utf-8"))
        rows = table(results)
    except OSError as error:
        parser.error(f"cannot read {options.results}: {error.strerror}")
    except (ValueError, KeyError, TypeError, AttributeError):
        parser.error(f"expected the results of `python -m benchmarks --json` in {options.results}")
    if not options.picture.parent.is_dir():
        parser.error(f"PICTURE.svg expects a file in an existing folder, got {options.picture}")
    draw(results, options.picture)
    print(rows)


if __name__ == "__main__":
    main()
