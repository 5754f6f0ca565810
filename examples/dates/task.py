"""Dates in twenty formats, rewritten as ISO 8601, letter by letter."""

import re
import runpy
from calendar import day_name, month_name, monthrange
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np

DATA = "generated dates of four centuries; a tenth of the answers is never trained on"
CLAIM = "99 % of 1,000 held-out dates are exactly right, greedily and with a beam"

MONTHS, WEEKDAYS = list(month_name)[1:], list(day_name)  # English, unless a locale is set
FORMATS = [
    *("{d} {month} {y}", "{d}{th} {month} {y}", "the {d}{th} of {month}, {y}", "{weekday}, {d} {month} {y}"),
    *("{d} {mon} {y}", "{day} {d} {mon} {y}", "{dd}-{mon}-{y}", "{d}.{m}.{y}", "{dd}.{mm}.{y}"),
    *("{month} {d}, {y}", "{month} {d}{th}, {y}", "{day}, {mon}. {d}, {y}", "{m}/{d}/{y}", "{mm}/{dd}/{y}"),  # American
    *("{y}/{mm}/{dd}", "{y}, {month} {d}"),
    *("{month} {y}", "{mon} {y}", "{m}/{y}", "the year {y}"),  # ISO 8601 has these, too: 2012-05 and 2012
]
PAD, START, END = range(3)
TOKENS = ["", "", "", *sorted({*"".join(FORMATS), *"".join(MONTHS + WEEKDAYS), *"0123456789-strdnh"} - {*"{}"})]
NUMBERS = {token: i for i, token in enumerate(TOKENS) if token}
LONGEST = 32  # letters of a date

SIZE = {"width": 32, "heads": 4, "depth": 2}
BATCH, STEPS, WARM_UP, RATE = 64, 1200, 100, 4e-3
HELD_OUT = 1000


def pair(rng):
    """A date in some format, and in ISO 8601."""
    y, m = int(rng.integers(1800, 2200)), int(rng.integers(1, 13))
    d = int(rng.integers(1, monthrange(y, m)[1] + 1))
    month, weekday = MONTHS[m - 1], WEEKDAYS[date(y, m, d).weekday()]
    th = "th" if d in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    form = FORMATS[rng.integers(len(FORMATS))]
    fields = {"d": d, "dd": f"{d:02}", "m": m, "mm": f"{m:02}", "y": y, "th": th}
    written = form.format(**fields, month=month, mon=month[:3], weekday=weekday, day=weekday[:3])
    return written, f"{y}-{m:02}-{d:02}" if "{d" in form else f"{y}-{m:02}" if "{m" in form else f"{y}"


def pairs(rng, count, held_out=False):
    """``count`` pairs, of the training answers or of the held-out ones."""
    drawn = []
    while len(drawn) < count:
        written, answer = pair(rng)
        if (crc32(answer.encode()) % 10 == 0) == held_out:
            drawn.append((written, answer))
    return drawn


def encoded(texts):
    """Texts as rows of token numbers between START and END, padded with PAD."""
    rows = [[START, *map(NUMBERS.get, text), END] for text in texts]
    longest = max(map(len, rows))
    return [row + [PAD] * (longest - len(row)) for row in rows]


def decoded(row):
    """The text up to END."""
    row = list(row)
    return "".join(TOKENS[i] for i in row[: row.index(END) if END in row else len(row)])


def rows_of(cache, rows):
    """For beam search: these rows of every array or tensor in a cache."""
    return tuple(array[rows] for array in cache)


def as_number(iso):
    """2012-05-17 as 20120517, 2012 as 20120000, each its own number; 0 where a text is not in this form."""
    fits = re.fullmatch(r"\d{4}(-(?!00)\d\d(-(?!00)\d\d)?)?", iso, re.ASCII)
    return int(iso.replace("-", "").ljust(8, "0")) if fits else 0


def data(dtype=np.float32, seed=0):
    """Batches for every step, and the held-out dates; always integers."""
    rng = np.random.default_rng(seed)
    held_out = pairs(np.random.default_rng([seed, 1]), HELD_OUT, held_out=True)

    def batches():
        for _ in range(STEPS):
            written, answers = zip(*pairs(rng, BATCH), strict=True)
            yield np.array(encoded(written)), np.array(encoded(answers))

    written, answers = zip(*held_out, strict=True)
    return SimpleNamespace(
        batches=batches, written=written, answers=answers, y_test=np.array([*map(as_number, answers)])
    )


def scores(predictions, data):
    """Scores from the held-out dates, as numbers."""
    return {"exact match of 1,000, greedy": np.mean(predictions == data.y_test)}


def rate(step):
    """Factor of the learning rate: it rises to 1, then falls to 0."""
    return min((step + 1) / WARM_UP, (STEPS - step) / (STEPS - WARM_UP))
