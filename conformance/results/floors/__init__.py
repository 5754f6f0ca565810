"""Floors: the number of comparisons of each check of each component, a file for each family of the contract.

A later run must make nearly as many. A file has a fingerprint of the draws, since another version of Hypothesis may
draw others from the same seed. Where the draws are the same, every check is held to FIRM of its count. Other draws have
arrays of other sizes, and a check makes a tenth or ten times the comparisons; they hold a component to LOOSE.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from conformance import contracts
from conformance.results.census import Note

FOLDER = Path(__file__).parent
FIRM, LOOSE = 0.8, 0.01
MANY = 50  # comparisons of one check: whatever is drawn, there are some
MEASURE = "default"  # the profile that others are held to: the thorough one takes too long to be recorded each time
RECORD = "record it: python -m conformance --record-floors"
PROGRAMS = "programs"  # the family of what has no row
Counts = Mapping[str, Mapping[str, Mapping[str, int]]]  # profile -> component -> check -> comparisons


@cache
def counts() -> dict[str, dict[str, dict[str, int]]]:
    """What is on record, of all families."""
    merged: dict[str, dict[str, dict[str, int]]] = {}
    for file in sorted(FOLDER.glob("*.json")):
        for profile, components in json.loads(file.read_text())["counts"].items():
            merged.setdefault(profile, {}).update(components)
    return merged


def applies(row: str, check: str) -> bool:
    """Whether a check has anything to compare in a component: by the record, it has in numpyml's."""
    return any(rows.get(row, {}).get(check, 1) for rows in counts().values()) or not counts()


def same_draws(seed: int, own: int, components: Iterable[str]) -> bool:
    """Whether a run of this seed draws what was recorded for these components; ``own`` is the suite's."""
    files = {FOLDER / f"{family_of(component)}.json" for component in components}
    recorded = {json.loads(file.read_text())["draws"] for file in files if file.exists()}
    return seed == own and recorded == {fingerprint()}


def family_of(component: str) -> str:
    """The file of the contract that has the row of a component."""
    for files in contracts.FAMILIES.values():
        for family, rows in files.items():
            if any(row.name == component for row in rows):
                return family
    return PROGRAMS


@cache
def fingerprint() -> str:
    """What Hypothesis draws from one seed: by it two installations are known to draw the same."""
    drawn: list[int] = []

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=200, database=None, phases=(hypothesis.Phase.generate,))
    @hypothesis.given(st.integers(0, 2**20))
    def draw(n: int) -> None:
        drawn.append(n)

    draw()
    return f"{zlib.crc32(repr(drawn).encode()):08x}"


def idle(notes: Iterable[Note], profile: str, recorded: Counts | None = None) -> list[str]:
    """Checks that compared nothing where others were compared: with any seed there is something."""
    floors = counts() if recorded is None else recorded
    profile = profile if profile in floors else MEASURE
    known = floors.get(profile, {})
    return [
        f"{note.row}-{note.check}: nothing was compared, where the record of the {profile} profile has {count:,}; "
        + _remedy(note.row, profile)
        for note in notes
        if not note.failure and not note.comparisons
        if (count := known.get(note.row, {}).get(note.check, 0)) >= MANY
    ]


def shortfalls(notes: Iterable[Note], profile: str, firm: bool, recorded: Counts | None = None) -> list[str]:
    """Components and checks that compared less than the recorded floor of the profile, and those that have none."""
    floors = counts() if recorded is None else recorded
    share = LOOSE
    if profile not in floors:  # it makes twelve times as many, in which no single large array counts any more
        profile, firm, share = MEASURE, False, FIRM
    known = floors.get(profile, {})
    if not known:
        return [f"there are no floors; {RECORD.replace('it', 'them', 1)} --profile {profile}"]
    ran = [note for note in notes if not note.failure]
    lines = [] if firm else idle(ran, profile, floors)
    sums: dict[tuple[str, str], list[float]] = {}  # what ran, and the floor
    new: dict[str, list[str]] = {}
    for note in ran:
        count = known.get(note.row, {}).get(note.check)
        if count is None:
            new.setdefault(note.row, []).append(note.check)
            continue
        total = sums.setdefault((note.row, f"-{note.check}" if firm else ""), [0, 0])
        total[0] += note.comparisons
        total[1] += (FIRM if firm else share) * count
    lines += [
        f"{row} has no floor in the {profile} profile for {', '.join(checks)}; "
        f"{RECORD} --only {row} --profile {profile}"
        for row, checks in new.items()
    ]
    return lines + [
        f"{row}{check}: {n:,} comparisons ran, the recorded floor of the {profile} profile is {math.ceil(least):,}; "
        + _remedy(row, profile)
        for (row, check), (n, least) in sums.items()
        if n < least
    ]


def _remedy(row: str, profile: str) -> str:
    return f"find out what is no longer drawn, or, if that is intended, {RECORD} --only {row} --profile {profile}"


def dropped(
    planned: Iterable[tuple[str, str]], recorded: Counts | None = None, only: Collection[str] | None = None
) -> list[str]:
    """Checks of components, or of these only, that have a floor and no longer run. ``planned``: the component and
    check of every task."""
    known, left = counts() if recorded is None else recorded, set(planned)
    once = {(row, check): None for rows in known.values() for row, checks in rows.items() for check in checks}
    lost = [task for task in once if task not in left and (only is None or task[0] in only)]
    return [f"{row}-{check} has a floor and no longer runs; {RECORD}" for row, check in lost]


def record(notes: Iterable[Note], profile: str) -> None:
    """Record what ran as the floors of later runs, replacing those of these components.

    Only the files of their families are written.
    """
    ran: dict[str, dict[str, dict[str, int]]] = {}  # family -> component -> check -> comparisons
    for note in notes:
        ran.setdefault(family_of(note.row), {}).setdefault(note.row, {})[note.check] = note.comparisons
    for family, components in ran.items():
        file = FOLDER / f"{family}.json"
        recorded: dict[str, dict[str, dict[str, int]]] = json.loads(file.read_text())["counts"] if file.exists() else {}
        recorded.setdefault(profile, {}).update(components)
        write(file, recorded)
    counts.cache_clear()


def write(file: Path, recorded: Counts) -> None:
    """One line for each component."""
    profiles = [
        f"{json.dumps(profile)}: {{\n"
        + ",\n".join(f"{json.dumps(row)}: {json.dumps(rows[row])}" for row in sorted(rows))
        + "\n}"
        for profile, rows in sorted(recorded.items())
    ]
    head = f'{{"draws": "{fingerprint()}", "counts": {{\n'
    file.write_text(head + ",\n".join(profiles) + "\n}}\n")
