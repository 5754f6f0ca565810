"""The report's drawings show what they are drawn of, and its colours can be read."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from conformance.report import page, svg
from conformance.results.census import SPREAD, Curve


def test_a_drawn_difference_keeps_its_worst_step() -> None:
    steps = 10_000
    ours, torch = [0.0] * steps, [0.0] * steps
    ours[5_003] = 1.0
    drawing = ET.fromstring(str(svg.trajectory(Curve("loss", ours, torch), "numpyml")))  # noqa: S314
    path = next(p.get("d", "") for p in drawing.iter("path") if p.get("class") == "difference")
    heights = np.cumsum([float(y) for y in re.findall(r"-?[\d.]+ (-?[\d.]+)", path)])
    assert heights.min() == pytest.approx(112, abs=0.2) and len(heights) <= svg.POINTS


@pytest.mark.parametrize(
    ("ours", "torch"),
    [
        ([1.7e308, -1.7e308, 0.0], [-1.7e308, 1.7e308, 5e-324]),
        ([float("nan")] * 3, [float("inf")] * 3),
        ([1.0], [1.0]),
        ([1e-320, 1e308], [1e-320, 1e308]),
    ],
)
def test_any_trajectory_can_be_drawn(ours: list[float], torch: list[float]) -> None:
    drawn = str(svg.trajectory(Curve("<loss>", ours, torch), "numpyml"))
    assert not re.search(r"d=\"[^\"]*(nan|inf)", drawn)
    assert ET.fromstring(drawn).get("aria-label", "").startswith("<loss> over")  # noqa: S314


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_the_background(scheme: str) -> None:
    style = (page.TEMPLATES / "page.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): #(\w+)", roots[scheme == "dark"]))

    def luminance(name: str) -> float:
        code = colours[name] if len(colours[name]) == 6 else "".join(2 * c for c in colours[name])
        rgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))

    for paper in ("paper", "card", "blush"):
        for ink in ("ink", "soft", "ours", "torch", "good", "bad"):
            low, high = sorted((luminance(paper), luminance(ink)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)  # WCAG 2, AA


def test_spread_is_drawn_in_percentiles() -> None:
    counts = [0] * len(SPREAD)
    counts[0] = 5
    drawing = ET.fromstring(str(svg.spread(counts, counts, "numpyml")))  # noqa: S314
    areas = {p.get("class"): p.get("d") for p in drawing.iter("path")}
    assert areas["torch area"] == areas["ours line"] and areas["ours line"].removeprefix("M54 110V6.0H66.8") == "V110"
    assert "100 % within half" in (drawing.get("aria-label") or "")
