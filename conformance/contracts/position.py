"""Position encodings, one row each. PyTorch has no classes for them: see frameworks/counterparts.py."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.contracts.transformer import batches, flags, lengths, per_key, sequence
from conformance.records import Refused, option
from conformance.references import position as exact
from conformance.rows import Large, ModuleRow
from conformance.strategies.arrays import NASTY, floats, integers
from conformance.strategies.coverage import Draw, among, between, pick
from numpyml.nn import layers

lengths_allowed = among(12, 5, 200)
LONG = (Large(options={"max_len": 200}),)
DTYPES = "qqibhBHIQ"  # of positions
INTEGER = Refused(
    option("max_len", "a fraction"), "a number of positions is an integer; PyTorch's arange takes a fraction"
)


def with_positions(draw: Draw, x: Input, each: tuple[int, ...], o: dict[str, Any]) -> tuple[Input, ...]:
    """The input, and sometimes positions: one sequence of them, or one for each sequence (shape ``each``)."""
    kind = pick(draw, "positions", among("from 0", "of all sequences", "of each"))
    if kind == "from 0":
        return (x,)
    return x, draw(integers(each[-1:] if kind == "of all sequences" else each, 0, o["max_len"], DTYPES))


@st.composite
def vectors(draw: Draw, o: dict[str, Any]) -> tuple[Input, ...]:
    """Sequences of vectors, with or without positions."""
    batch, length = pick(draw, "batch", batches), draw(lengths)
    x = draw(floats(sequence(batch, length, o["d_model"], o["batch_first"]), NASTY))
    return with_positions(draw, x, per_key(batch, length), o)


@st.composite
def heads(draw: Draw, o: dict[str, Any]) -> tuple[Input, ...]:
    """Queries or keys of several heads, with or without positions."""
    lead, length = pick(draw, "axes before", among((2, 3), (), (1,), (0, 2), (2, 1, 2))), draw(lengths)
    x = draw(floats((*lead, length, o["dim"]), NASTY))
    return with_positions(draw, x, (*lead[:1], *(1 for _ in lead[1:]), length), o)


ROWS = [
    ModuleRow(
        layers.SinusoidalPositionalEncoding,
        "counterparts.SinusoidalPositionalEncoding",
        {"d_model": between(1, 9), "max_len": lengths_allowed, "batch_first": flags},
        vectors,
        exact.sinusoidal,
        large=LONG,
        costly=("max_len",),
        differences=(INTEGER,),
    ),
    ModuleRow(
        layers.LearnedPositionalEncoding,
        "counterparts.LearnedPositionalEncoding",
        {"d_model": between(1, 5), "max_len": lengths_allowed, "batch_first": flags},
        vectors,
        exact.learned,
        large=LONG,
    ),
    ModuleRow(
        layers.RotaryPositionalEmbedding,
        "counterparts.RotaryPositionalEmbedding",
        {"dim": among(4, 2, 6, 10), "max_len": lengths_allowed, "base": among(10000.0, 500.0, 2), "interleaved": flags},
        heads,
        exact.rotary,
        large=LONG,
        costly=("max_len",),
        tied=False,  # rotating a pair of equal numbers subtracts two rounded products
        differences=(
            INTEGER,
            Refused(
                option("base", "-1", "NaN", "None", "a list", "infinity"),
                "the angles would be NaN, infinite or unintended",
            ),
        ),
    ),
]
