"""A search for false alarms: run the suite with fresh seeds until a number of cases has passed.

    python tools/campaign.py [--cases 100000] [--seed N] [--profile default] [--jobs 2]

The first seed is N, by default from the clock; the next runs count up from it. The exit code is 1 as soon as a check
fails or does not reach the values that it promises. The suite's own seed, and those on which K was fixed, are skipped.
"""

from __future__ import annotations

import argparse
import sys
import time

from conformance import report, runner
from conformance.checks.registry import PROFILES
from conformance.results import completeness, floors

KNOWN = (runner.SEED, 9801, 9802)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the suite with fresh seeds until a number of cases has passed.")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10**8)
    parser.add_argument("--profile", default="default", choices=PROFILES)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    runner.ready()
    tasks, seed, cases, comparisons = runner.tasks(), options.seed, 0, 0
    while cases < options.cases:
        if seed not in KNOWN:
            notes = runner.run_all(tasks, options.profile, seed, None, options.jobs)
            results = list(report.watched(notes, len(tasks)))
            cases += sum(note.examples for note in results)
            comparisons += sum(note.comparisons for note in results)
            alarms = [f"{note.row}-{note.check}" for note in results if note.failure]
            alarms += completeness.unreached(results) + completeness.blunt(results)
            alarms += floors.shortfalls(results, options.profile, firm=False)
            print(f"seed {seed}: {cases:,} cases and {comparisons:,} comparisons so far; alarms: {alarms}", flush=True)
            if alarms:
                return 1
        seed += 1
    print(f"no alarm in {cases:,} cases, seeds {options.seed} to {seed - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
