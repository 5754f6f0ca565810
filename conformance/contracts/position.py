"""Position encodings, one row each; PyTorch has no classes for them: frameworks/counterparts.py."""

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


@st.composite
def vectors(draw: Draw, o: dict[str, Any]) -> tuple[Input, ...]:
    """A sequence of vectors, and sometimes the position of each."""
    batch, length = pick(draw, "batch", batches), draw(lengths)
    x = draw(floats(sequence(batch, length, o["d_model"], o["batch_first"]), NASTY))
    positions = pick(draw, "positions", among("from 0", "of all sequences", "of each"))
    if positions == "from 0":
        return (x,)
    return x, draw(
        integers((length,) if positions == "of all sequences" else per_key(batch, length), 0, o["max_len"], DTYPES)
    )


@st.composite
def heads(draw: Draw, o: dict[str, Any]) -> tuple[Input, ...]:
    """Queries or keys of several heads, and sometimes their positions."""
    lead, length = pick(draw, "axes before", among((2, 3), (), (1,), (0, 2), (2, 1, 2))), draw(lengths)
    x = draw(floats((*lead, length, o["dim"]), NASTY))
    positions = pick(draw, "positions", among("from 0", "of all sequences", "of each"))
    if positions == "from 0":
        return (x,)
    batch = (lead[0], *(1 for _ in lead[1:])) if lead else ()
    return x, draw(
        integers((length,) if positions == "of all sequences" else (*batch, length), 0, o["max_len"], DTYPES)
    )


ROWS = [
    ModuleRow(
        layers.SinusoidalPositionalEncoding,
        "counterparts.SinusoidalPositionalEncoding",
        {"d_model": between(1, 9), "max_len": lengths_allowed, "batch_first": flags},
        vectors,
        exact.sinusoidal,
        large=LONG,
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
        tied=False,  # a pair of equal numbers is rotated to a difference of two rounded products
        differences=(
            INTEGER,
            Refused(
                option("base", "-1", "NaN", "None", "a list", "infinity"), "no angle would be finite, or as intended"
            ),
        ),
    ),
]
