"""Losses, one row each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.comparison.rule import Input
from conformance.records import SATURATED, Finding, Limit, OptionNotState, Refused, Remark, option
from conformance.references import losses as exact
from conformance.references.losses import loss
from conformance.rows import Large, LossRow
from conformance.strategies.arrays import EVERY, NASTY, floats, grows, integers, shapes, single
from conformance.strategies.coverage import Draw, among, mark
from numpyml.nn import losses
from numpyml.typing import Array

reductions = among("mean", "sum", "none")
CLASSES, MANY_CLASSES, TOO_MANY_FOR_16_BITS = 4, 300, 70_000
weights = among(None, None, *map(np.array, ([0.5, 2.0, 0.25, 1.5], [1.0, 0.0, 3.0, 0.125], [0.5, -2.0, 1.0, -0.25])))


def kinds_for(options: dict[str, Any]) -> list[str]:
    """Kinds of logits: with negative weights none is infinite, since the sum of +∞ and −∞ has no limit."""
    weights = [w for name in ("weight", "pos_weight") if (w := options.get(name)) is not None]
    negative = any((w < 0).any() for w in weights)
    return [kind for kind in EVERY if not (negative and kind == "infinite")]


@st.composite
def same_shape(draw: Draw, kinds: tuple[str, ...]) -> tuple[Input, Input]:
    """Outputs and targets of one shape."""
    shape = draw(shapes())
    return draw(floats(shape, kinds)), draw(floats(shape, kinds))


@st.composite
def logits_and_probabilities(draw: Draw, options: dict[str, Any]) -> tuple[Input, Input]:
    """Logits and targets from 0 to 1; with weights, the last axis has their length."""
    weighted = options["weight"] is not None or options["pos_weight"] is not None
    shape = draw(shapes(0, 4).map(lambda s: (*s, CLASSES)) if weighted else shapes())
    x = draw(floats(shape, kinds_for(options)))
    hard = draw(st.booleans())
    mark(["targets: hard", "targets: soft"], ["targets: hard" if hard else "targets: soft"])
    t = draw(floats(shape, ("ordinary", "ties"), 0, 1, (lambda v: (v > 0) * 1.0) if hard else np.abs))
    return x, replace(t, exact=hard)


@st.composite
def logits_and_classes(draw: Draw, options: dict[str, Any]) -> tuple[Input, Input]:
    """Logits (C,), (N, C) or (N, C, d₁, ...), and class indices or probabilities."""
    n, elements = (MANY_CLASSES, 16) if grows() and options["weight"] is None else (CLASSES, 1024)
    if n == MANY_CLASSES and grows(below=1):
        n = TOO_MANY_FOR_16_BITS
    shape = draw(st.one_of(st.just(()), shapes(1, 1, elements=elements), shapes(1, 4, elements=elements)))
    logits = (shape[0], n, *shape[1:]) if shape else (n,)
    smoothing, weight = options["label_smoothing"], options["weight"]
    # Logits down to 1e-30 predict all classes evenly. Where the targets are even, too, the gradient p Σ q − q cancels,
    # in PyTorch as here: which of the two keeps more digits is chance.
    even = smoothing == 1 or (smoothing > 0 and weight is not None and not weight.all())
    x = draw(floats(logits, [kind for kind in kinds_for(options) if not (even and kind == "wide")]))
    if x.kind == "infinite":
        x = replace(x, values=with_limits(x.values, min(1, len(shape))))
    forms = ("classes", "probabilities", "a distribution", "every one ignored", "some ignored", "one-hot")
    many = n == TOO_MANY_FOR_16_BITS
    usable = (0,) if many else (0, 1, 2, 3, 4, 5, 5, 5) if options["ignore_index"] < 0 else (0, 3, 4)
    form = forms[draw(st.sampled_from(usable))]
    mark((f"targets: {form}" for form in forms), [f"targets: {form}"] * (0 not in shape))
    if form in ("probabilities", "a distribution"):
        t = draw(floats(logits, ("ordinary",) if x.kind == "wide" else ("ordinary", "ties"), 0, 1, np.abs))
        total = t.values.sum(axis=min(1, len(shape)), keepdims=True)
        if form == "a distribution":  # sums to one
            t = replace(t, values=single(t.values / np.where(total > 0, total, 1)))
        return x, t
    t = draw(integers(shape, 1 << 16 if many else 0, n))
    if form == "one-hot":
        axis = min(1, len(shape))
        classes = x.values.argmax(axis) if draw(st.booleans()) else t.values  # as predicted, or any
        probabilities = np.moveaxis(np.eye(n)[classes], -1, axis)
        return x, replace(t, values=probabilities, kind=form, exact=True)
    if form != "classes":
        ignored = np.random.default_rng(draw(st.integers(0, 99))).random(shape) < (0.3 if form == "some ignored" else 1)
        t = replace(t, values=np.where(ignored, options["ignore_index"], t.values).astype(t.values.dtype))
    lost = np.isnan(x.values) & np.expand_dims(t.values == options["ignore_index"], min(1, len(shape)))
    return replace(x, values=np.where(lost, 0.25, x.values)), t  # see the remarks of the row


def with_limits(logits: Array, axis: int) -> Array:
    """The logits with at most one +∞ and at least one that is not −∞ among the classes: there the loss has a limit."""
    first = np.cumsum(np.isposinf(logits), axis) <= 1
    one = np.where(np.isposinf(logits) & ~first, 0.25, logits)
    lost = np.isneginf(one).all(axis=axis, keepdims=True)
    return np.where(lost & (np.cumsum(np.ones_like(one), axis) == 1), 0.25, one)


NO_BROADCAST = Refused(
    tuple(
        f"{role} {shape}"
        for role in ("input", "target")
        for shape in ("with an axis more", "with an axis less", "longer on the first axis", "longer on the last axis")
    ),
    "outputs and targets of different shapes would be broadcast, usually by mistake",
)
PROBABILITIES = Refused(("target above 1", "target below 0"), "targets are probabilities, from 0 to 1")
WEIGHTS = "a loss has no state; its weights are options"
SMALL = "a small number is added to 1"

ROWS = [
    LossRow(
        losses.MeanSquaredError,
        "nn.MSELoss",
        {"reduction": reductions},
        lambda o: same_shape(NASTY),
        loss(lambda o, t: (o - t) ** 2, lambda o, t: 2 * (o - t), lambda o, t: 2 * (t - o)),
        differences=(NO_BROADCAST,),
    ),
    LossRow(
        losses.Huber,
        "nn.HuberLoss",
        {"reduction": reductions, "delta": among(1.0, 0.5, 1e-3, 30.0)},
        lambda o: same_shape(NASTY),
        loss(exact.huber, exact.huber_by_output, lambda o, t, delta: exact.huber_by_output(t, o, delta), "delta"),
        differences=(NO_BROADCAST, Refused(option("delta", "infinity"), "no loss would be finite")),
    ),
    LossRow(
        losses.BinaryCrossEntropyWithLogits,
        "nn.BCEWithLogitsLoss",
        {"weight": weights, "reduction": reductions, "pos_weight": weights},
        logits_and_probabilities,
        loss(exact.binary, exact.binary_by_output, exact.binary_by_target, "pos_weight"),
        precise=("output", "gradient of outputs", "gradient of targets"),
        differences=(
            Limit("x = ±inf has a limit; PyTorch computes inf - inf or 0 * inf"),
            OptionNotState("weight", WEIGHTS),
            OptionNotState("pos_weight", WEIGHTS),
            PROBABILITIES,
            Refused(("target as complex",), "targets are real; PyTorch's loss is then a complex number"),
        ),
        findings=(
            Finding("output", "bce_value.py", "a small loss is the difference of large numbers"),
            Finding("gradient of outputs", "sigmoid_gradient.py", SATURATED),
            Finding("gradient of targets", "bce_targets.py", "two logarithms are subtracted"),
        ),
    ),
    LossRow(
        losses.CrossEntropyWithLogits,
        "nn.CrossEntropyLoss",
        {
            "weight": weights,
            "ignore_index": among(-100, -100, -1, 1, 3),
            "reduction": reductions,
            "label_smoothing": among(0.0, 0.0, 0.1, 0.5, 1.0),
        },
        logits_and_classes,
        exact.cross_entropy,
        precise=("gradient of outputs",),
        precise_with={"label_smoothing": 0.0, "ignore_index": -100},
        precise_for=lambda inputs: inputs[1].exact or not inputs[1].floating,  # hard targets
        large=(
            Large(options={"label_smoothing": 0.0}),
            Large(options={"label_smoothing": 0.1}),
            Large(1 / 16, {"weight": None, "label_smoothing": 0.0, "ignore_index": -100}),
        ),
        differences=(
            Limit("a logit of +inf, or of -inf with finite ones, has a limit; PyTorch computes inf - inf"),
            OptionNotState("weight", WEIGHTS),
            PROBABILITIES,
            Refused(option("label_smoothing", "-1", "NaN"), "label smoothing is a fraction from 0 to 1"),
            Refused(
                ("input with an axis less", "target with an axis more"),
                "one sample has one class index, not a list of one",
            ),
            Remark("NaN among the logits of an ignored target has no effect; PyTorch's gradient is NaN."),
            Remark(
                "where smoothing may give a uniform target (label_smoothing=1, or a class of weight 0), logits of "
                "1e±30 are not compared: those near 0 give a nearly uniform prediction, and the gradient cancels, as "
                "in PyTorch."
            ),
        ),
        findings=(
            Finding("output", "cross_entropy_value.py", SMALL),
            Finding("gradient of targets", "cross_entropy_value.py", SMALL),
            Finding("gradient of outputs", "cross_entropy_gradient.py", SATURATED),
        ),
    ),
]
