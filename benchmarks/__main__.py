"""``python -m benchmarks``: time and memory of numpyml and PyTorch, and the time of the import.

Each framework runs in a process of its own, since PyTorch's spinning threads slow NumPy's matrix products. The
processes alternate, so that both see the same load; the ratio is the median of the ratios of adjacent runs. Each
framework has the setting that was fastest in a first run of all: PyTorch's number of threads and implementation, the
number of threads of NumPy's matrix products.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import CASES, Case, Setting

THREADS = sorted({1, os.cpu_count() or 1})


def settings(case: Case) -> dict[str, list[Setting]]:
    """The settings to try for each framework."""
    return {
        "numpyml": [Setting(n) for n in THREADS],
        "pytorch": [Setting(n, way) for n, way in itertools.product(THREADS, case.ways)],
    }


def run(framework: str, case: str, seconds: float, setting: Setting) -> dict[str, Any]:
    """The measurements of a worker process."""
    command = [sys.executable, "-m", f"benchmarks.with_{framework}", case, str(seconds)]
    command += [str(setting.threads), setting.way] if framework == "pytorch" else []
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(setting.threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def steps(names: list[str], rounds: int, seconds: float, file: Path | None = None) -> None:
    """Print a row for each case; with a file, add its numbers to those of other cases there."""
    print(
        f"{'one step':30}{'numpyml':>10}{'PyTorch':>10}   ratio (min-max)     target  matrix products  "
        "peak beyond the start (MiB): numpyml, PyTorch; each at its best"
    )
    for name in names:
        case = CASES[name]
        best = {}
        for framework, tried in settings(case).items():
            first = {setting: run(framework, name, seconds / 2, setting)["microseconds"] for setting in tried}
            best[framework] = min(first, key=first.__getitem__)
        pairs = [[run(framework, name, seconds, setting) for framework, setting in best.items()] for _ in range(rounds)]
        (ours, our_peak), (theirs, their_peak) = (
            [median(pair[i][what] for pair in pairs) for what in ("microseconds", "peak_mib")] for i in (0, 1)
        )
        ratios = sorted(a["microseconds"] / b["microseconds"] for a, b in pairs)
        print(
            f"{case.title:30}{ours:8.0f}us{theirs:8.0f}us   {median(ratios):5.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
            f"{case.target:10.2f}{case.flops / ours / 1e3:9.0f} GFLOP/s  "
            f"{our_peak:6.1f}, {their_peak:.1f}; {best['numpyml']}; {best['pytorch']}",
            flush=True,
        )
        if file is not None:
            results = json.loads(file.read_text("utf-8")) if file.exists() else {}
            results[name] = {
                "title": case.title, "target": case.target, "rounds": rounds,
                "microseconds": [round(ours, 1), round(theirs, 1)], "ratios": [round(ratio, 4) for ratio in ratios],
                "peak_mib": [round(our_peak, 1), round(their_peak, 1)],
                "settings": [str(best["numpyml"]), str(best["pytorch"])],
            }  # fmt: skip
            file.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", "utf-8")


def imports(rounds: int) -> None:
    """Print the times of ``import numpyml`` and ``import numpy``."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    times: dict[str, list[float]] = {"numpy": [], "numpyml": []}
    for _ in range(rounds):
        for name, measured in times.items():
            out = subprocess.run([sys.executable, "-c", code.format(name)], check=True, capture_output=True, text=True)
            measured.append(float(out.stdout))
    ratio = median(b / a for a, b in zip(times["numpy"], times["numpyml"], strict=True))
    ms = {name: median(measured) * 1e3 for name, measured in times.items()}
    print(f"import numpyml {ms['numpyml']:.0f} ms, import numpy {ms['numpy']:.0f} ms: ratio {ratio:.2f} (target 1.50)")


def rounds(text: str) -> int:
    """The number of pairs of runs."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, got {text!r}")
    return int(text)


def duration(text: str) -> float:
    """A number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"expected a finite number above 0, got {text!r}")
    return seconds


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=rounds, default=5, help="pairs of runs for each case")
    parser.add_argument("--seconds", type=duration, default=2.0, help="timed in each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the numbers there, for benchmarks.plot")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"unknown case {unknown[0]!r}; expected one of {', '.join(CASES)}")
    if options.json is not None and not options.json.parent.is_dir():
        parser.error(f"--json expects a file in an existing folder, got {options.json}")
    steps(options.cases or list(CASES), options.rounds, options.seconds, options.json)
    imports(2 * options.rounds + 1)


if __name__ == "__main__":
    main()
