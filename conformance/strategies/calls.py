"""How functions may be called: strategies of operands and options, for the rows of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance.comparison.rule import Given
from conformance.rows import Call
from conformance.strategies.arrays import EXTREME, LAYOUTS, NASTY, ORDINARY, Shape, floats, grows, shapes, side
from conformance.strategies.coverage import Draw, Purposeful, Strategy, among, between, likely, mark, pick, purposeful
from numpyml.typing import Array

Option = Purposeful | Callable[[Shape], Purposeful]

NUMPY_2 = int(np.__version__.split(".")[0]) >= 2  # NumPy 1 lacks some of the options
NUMPY_2_1 = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 1)

nonempty = shapes(1, 4, 1)
matrices = shapes(2, 4)


def _options(draw: Draw, options: Mapping[str, Option], shape: Shape) -> dict[str, Any]:
    strategies = {name: s if isinstance(s, Purposeful) else s(shape) for name, s in options.items()}
    return {name: pick(draw, name, strategy) for name, strategy in strategies.items()}


@st.composite
def on(
    draw: Draw,
    /,
    shape_of: Strategy[Shape] | None = None,
    kinds: Sequence[str] = NASTY,
    into: Callable[[Any], Any] | None = None,
    low: float = -np.inf,
    high: float = np.inf,
    layouts: Sequence[str] = LAYOUTS,
    **options: Option,
) -> Call:
    """One operand; an option is a strategy, or a function from the operand's shape to one."""
    shape = draw(shapes() if shape_of is None else shape_of)
    x = draw(floats(shape, kinds, low, high, into, layouts))
    return Call({"x": x}, _options(draw, options, shape))


FEWER = "of fewer axes"
NUMBER = ": a Python number"  # what a plain operand without axes is given as, where another has some


@st.composite
def two(draw: Draw, kinds: Sequence[str]) -> Call:
    """Two operands whose shapes broadcast."""
    shape = draw(shapes(0, 4))
    others = {
        "broadcast": tuple(1 if draw(st.booleans()) else n for n in shape),
        FEWER: shape[draw(st.integers(0, len(shape))) :],
        "of one shape": shape,
    }
    first, second = shape, others[draw(st.sampled_from(likely(sorted(others), lambda way: [NUMBER] * (way == FEWER))))]
    reached = FEWER if len(second) < len(first) else "of one shape" if first == second else "broadcast"
    mark((f"operands {way}" for way in others), [f"operands {reached}"])
    if draw(st.booleans()):
        first, second = second, first
    a, b = draw(floats(first, kinds)), draw(floats(second, kinds))
    mark([ORIGIN], [ORIGIN] * bool(((a.values == 0) & (b.values == 0)).any()))
    return Call({"a": a, "b": b})


# Where quotients, powers and distances are special. They end like the labels of zeros, which are then drawn: see likely
ORIGIN = "both operands: 0"
NOTHING = "all of a vector: 0"


def quotients() -> Strategy[Call]:
    """Two operands to divide: extreme ones, or infinite ones; see REMARKS in divergences.py. None is subnormal: whether
    a sum of quotients near the end of the range overflows depends on its order."""
    extreme = [kind for kind in NASTY if kind not in ("infinite", "subnormal")]
    return two(extreme) | two([*ORDINARY, "infinite", "nan"])


@st.composite
def powers(draw: Draw) -> Call:
    """A base and an exponent, but for −∞ to a lone 1/2: see power in divergences.REMARKS."""
    call = draw(two(NASTY))
    a, b = (given.values for given in call.operands.values())
    assume(b.ndim or b.item() != 0.5 or not np.isneginf(a).any())
    return call


def factors(**options: Any) -> Strategy[Call]:
    """One operand to multiply; of a wide one, the product stays in float32's range in whatever order."""
    layouts = [layout for layout in LAYOUTS if layout != "broadcast"]
    usual = on(kinds=[kind for kind in NASTY if kind != "wide"], **options)
    return usual | on(kinds=["wide"], into=tempered, layouts=layouts, **options)


def tempered(x: Array) -> Array:
    """Large numbers, and small ones, as many as keep the product of those alone in range; the rest become ±1."""
    size = np.log10(np.abs(x))
    room = np.array(np.sign(x))
    for way in (size > 0, size < 0):
        kept = way & (np.abs(np.cumsum(np.where(way, size, 0)).reshape(x.shape)) < 36)
        room[kept] = x[kept]
    return room


VANISHING = ("subnormal", "tiny")


def squared(shape: Shape, kinds: Sequence[str], axis: int | tuple[int, ...] | None) -> Strategy[Given]:
    """An array for sums of squares along these axes. NumPy loses one of tiny numbers alone: their first is 1/2."""
    along = [
        i % len(shape) for i in ((axis,) if isinstance(axis, int) else range(len(shape)) if axis is None else axis)
    ]
    first = tuple(slice(0, 1) if i in along else slice(None) for i in range(len(shape)))

    def beside_ordinary(x: Array) -> Array:
        y = np.array(x)
        y[first] = 0.5
        return y

    usual = floats(shape, [kind for kind in kinds if kind not in VANISHING])
    return usual | floats(shape, VANISHING, into=beside_ordinary)


@st.composite
def several(draw: Draw, /, names: str, kinds: Sequence[str], **options: Option) -> Call:
    """A few operands of one shape."""
    shape = draw(shapes(1, 3))
    operands = {name: draw(floats(shape, kinds)) for name in names.split()}
    return Call(operands, _options(draw, options, shape))


AXES = (": from the front", ": from the back")


def _axis_classes(axis: Any) -> Iterable[str]:
    if axis is None:
        return ["=None"]
    return [": several"] if isinstance(axis, tuple) else [AXES[axis < 0]]


@lru_cache(256)
def axis_of(shape: Shape) -> Purposeful:
    """One of the axes, from the front or from the back."""
    return purposeful(st.integers(-len(shape), len(shape) - 1), AXES, _axis_classes)


@lru_cache(256)
def axis_or_flat(shape: Shape) -> Purposeful:
    """One of the axes, or None."""
    return purposeful(st.none() | axis_of(shape) if shape else st.none(), ("=None", *AXES), _axis_classes)


@lru_cache(256)
def axes_of(shape: Shape) -> Purposeful:
    """None, one axis, or several."""
    every = st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1).map(tuple)
    drawn = st.none() | axis_of(shape) | every if shape else st.none()
    return purposeful(drawn, ("=None", *AXES, ": several"), _axis_classes)


@lru_cache(256)
def orders_of(shape: Shape) -> Purposeful:
    """The axes in any order."""
    labels = (": as they are", ": in another order")
    return purposeful(st.permutations(range(len(shape))), labels, lambda axes: [labels[list(axes) != sorted(axes)]])


@lru_cache(256)
def turned(shape: Shape) -> Purposeful:
    """The lengths backwards, and an axis more."""
    return purposeful(st.just((*shape[::-1], 1)), (), lambda shape: ())


tilings = purposeful(
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
    ("=()", ": 0 times", ": 3 times", ": new axes"),
    lambda reps: [
        label for label, holds in
        {"=()": not reps, ": 0 times": 0 in reps, ": 3 times": 3 in reps, ": new axes": len(reps) == 4}.items() if holds
    ],
)  # fmt: skip


def places(shape: Shape) -> Purposeful:
    """Indices that every axis has, repeated ones among them."""
    drawn = st.lists(st.integers(0, min(shape) - 1), max_size=5).map(lambda at: np.array(at, np.int64))
    labels = (": none", ": one twice", ": each once")
    return purposeful(drawn, labels, lambda at: [labels[0 if not at.size else 1 + (np.unique(at).size == at.size)]])


def places_along_the_last(shape: Shape) -> Purposeful:
    """Three indices for each vector along the last axis."""

    def drawn(seed: int) -> Any:
        return np.random.default_rng(seed).integers(0, shape[-1], (*shape[:-1], 3))

    def of(at: Any) -> list[str]:
        return [": one twice"] if (at[..., 0] == at[..., 1]).any() else []

    return purposeful(st.integers(0, 99).map(drawn), [": one twice"], of)


@lru_cache(256)
def extra_axes(shape: Shape) -> Purposeful:
    """A place for a new axis."""
    return purposeful(st.integers(-len(shape) - 1, len(shape)), AXES, _axis_classes)


ONES = ("=None", ": one axis", ": several")


@lru_cache(256)
def single_axes(shape: Shape) -> Purposeful:
    """None, an axis of length one, or all of them."""
    ones = [i for i, n in enumerate(shape) if n == 1]
    drawn = st.none() | st.sampled_from([*ones, *(i - len(shape) for i in ones), tuple(ones)]) if ones else st.none()
    return purposeful(drawn, ONES, lambda axis: [ONES[0 if axis is None else 1 + isinstance(axis, tuple)]])


@lru_cache(256)
def two_axes(shape: Shape) -> Purposeful:
    """Two axes, in either order."""
    labels = (": in order", ": the other way round")
    every = st.lists(st.integers(0, len(shape) - 1), min_size=2, max_size=2, unique=True).map(tuple)
    return purposeful(every, labels, lambda axes: [labels[axes[0] > axes[1]]])


@st.composite
def diagonals(draw: Draw) -> Call:
    """An operand, two of its axes, and how far from the main diagonal."""
    shape = draw(shapes(2, 4))
    axis1, axis2 = pick(draw, "axes", two_axes(shape))
    offset = pick(draw, "offset", between(-2, 2))
    return Call({"x": draw(floats(shape, NASTY))}, {"offset": offset, "axis1": axis1, "axis2": axis2})


@st.composite
def clips(draw: Draw) -> Call:
    """An operand and one bound or both, in either of the spellings that NumPy has."""
    shape = draw(shapes(1, 3))
    bounds = pick(draw, "bounds", among("low high", "low", "high"))
    spelled = pick(draw, "spelling", among("a_min a_max", *(["min max"] if NUMPY_2_1 else [])))
    names = ["a", *bounds.split()]
    return Call({name: draw(floats(shape, NASTY)) for name in names}, {"bounds": bounds, "spelling": spelled})


@st.composite
def spreads(draw: Draw) -> Call:
    """An operand, axes, and by how much fewer than its numbers the sum of squares is divided, under either name."""
    shape = draw(shapes(1, 4, 2))
    named = pick(draw, "less", among(*["ddof", "correction"][: 1 + NUMPY_2]))
    options = _options(draw, {"axis": axes_of, "keepdims": among(False, True), named: among(0, 1)}, shape)
    return Call({"x": draw(squared(shape, NASTY, options["axis"]))}, options)


@st.composite
def sorts(draw: Draw) -> Call:
    """An operand, an axis, and how to sort: by a method's name, or stably."""
    shape = draw(shapes(1, 4))
    options = {"axis": pick(draw, "axis", axis_or_flat(shape))}
    way = pick(draw, "way", among("as it comes", "kind", *(["stable"] if NUMPY_2 else [])))
    if way == "kind":
        options["kind"] = pick(draw, "kind", among("quicksort", "heapsort", "stable"))
    elif way == "stable":
        options["stable"] = pick(draw, "stable", among(False, True))
    return Call({"x": draw(floats(shape, NASTY))}, options)


@st.composite
def where(draw: Draw) -> Call:
    """Two operands and a condition, all of which broadcast."""
    call = draw(two(NASTY))
    a, b = call.operands.values()
    shape = np.broadcast_shapes(a.values.shape, b.values.shape)
    condition = np.random.default_rng(draw(st.integers(0, 99))).random(shape[draw(st.integers(0, len(shape))) :]) < 0.5
    mark(["condition broadcast"], ["condition broadcast"] * (condition.ndim < len(shape)))
    return Call({"x": a, "y": b}, {"condition": condition})


@st.composite
def fills(draw: Draw) -> Call:
    """A value to fill with, and an array that tells the shape."""
    shape = draw(shapes(1, 3))
    layouts = [layout for layout in LAYOUTS if layout != "fortran"]  # which two axes are needed for
    value = draw(floats(draw(st.sampled_from([(), shape[-1:]])), NASTY, layouts=layouts))
    mark(["fill_value: 0 axes", "fill_value: 1 axis"], [f"fill_value: {('0 axes', '1 axis')[value.values.ndim]}"])
    another = (2, *shape[-1:])
    options = {"order": among("K", "C", "F"), "subok": among(True, False), "shape": among(None, another)}
    chosen = {name: draw(strategy) for name, strategy in options.items()}
    given = ["shape: another", "order=F"]
    mark(given, [label for label, met in zip(given, (chosen["shape"], chosen["order"] == "F"), strict=True) if met])
    return Call({"a": draw(floats(shape, ("ordinary",))), "fill_value": value}, chosen)


@st.composite
def broadcasts(draw: Draw) -> Call:
    """An operand and a shape that it broadcasts to."""
    shape = draw(shapes(0, 4))
    start = draw(st.integers(0, len(shape)))
    own = tuple(1 if draw(st.integers(0, 3)) == 3 else n for n in shape[start:])
    ways = {"x: stretched": own != shape[start:], "x: of fewer axes": start > 0}
    mark(ways, (way for way, met in ways.items() if met))
    return Call({"x": draw(floats(own, NASTY))}, {"shape": shape})


@st.composite
def shifts(draw: Draw) -> Call:
    """An operand to roll, by one shift or by one for each of several axes."""
    shape = draw(shapes(1, 4))
    axis = pick(draw, "axis", axes_of(shape))
    by = between(-4, 4)
    shift = draw(st.tuples(*[by] * len(axis))) if isinstance(axis, tuple) else pick(draw, "shift", by)
    return Call({"x": draw(floats(shape, NASTY))}, {"shift": shift, "axis": axis})


@st.composite
def repeats(draw: Draw) -> Call:
    """An operand, and how often: one number, or one for each element of the axis."""
    shape = draw(shapes(1, 4))
    axis = pick(draw, "axis", axis_or_flat(shape))
    n = int(np.prod(shape)) if axis is None else shape[axis]
    each = st.lists(st.integers(0, 3), min_size=n, max_size=n).map(tuple)
    labels = ("=0", "=3", ": one for each")
    repeats = purposeful(st.integers(0, 3) | each, labels, lambda k: [f"={k}" if isinstance(k, int) else labels[2]])
    how_often = pick(draw, "repeats", repeats)
    return Call({"x": draw(floats(shape, NASTY))}, {"repeats": how_often, "axis": axis})


@st.composite
def pads(draw: Draw) -> Call:
    """An operand and how far to pad it on either side of each axis."""
    shape = draw(shapes(1, 3, 2))
    mode = pick(draw, "mode", among(*PAD_MODES))
    width = st.integers(0, 3 if mode == "constant" else 1)
    pad_width = tuple(draw(st.tuples(width, width)) for _ in shape)
    options: dict[str, Any] = {"pad_width": pad_width, "mode": mode}
    if mode == "constant":
        options["constant_values"] = pick(draw, "constant_values", among(0.0, 1.5, -np.inf))
    return Call({"x": draw(floats(shape, NASTY))}, options)


PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


@st.composite
def sections(draw: Draw, even: bool = False) -> Call:
    """An operand, and where to cut it or into how many pieces."""
    shape = draw(nonempty)
    axis = pick(draw, "axis", axis_of(shape))
    return Call({"x": draw(floats(shape, NASTY))}, {"cuts": draw(cuts(shape[axis], even)), "axis": axis})


@st.composite
def sections_along(draw: Draw, axis: int) -> Call:
    """An operand, and where to cut it or into how many pieces along this axis."""
    shape = draw(shapes((2, 1, 3)[axis], 4, 1))
    along = 0 if len(shape) == 1 else axis  # hsplit cuts a vector along its only axis
    return Call({"x": draw(floats(shape, NASTY))}, {"cuts": draw(cuts(shape[along], True))})


@st.composite
def cuts(draw: Draw, n: int, even: bool) -> Any:
    """Places to cut so many elements at, or a number of pieces; ``even``: all of one size."""
    most = min(n, 33)  # each is an output of its own
    pieces = st.sampled_from([k for k in range(1, most + 1) if n % k == 0]) if even else st.integers(1, most + 1)
    at = st.lists(st.integers(0, n), max_size=3).map(sorted)
    labels = (": so many pieces", ": at these places", ": at none")
    known = purposeful(pieces | at, labels, lambda c: [labels[0] if isinstance(c, int) else labels[1 if c else 2]])
    return pick(draw, "cuts", known)


@st.composite
def indexed(draw: Draw) -> Call:
    """An operand and an index of every form: numbers, slices, None, Ellipsis, lists, masks."""
    shape = draw(shapes(1, 4, 1))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    parts: Any = []
    for n in shape[: draw(st.integers(1, len(shape)))]:
        slices = st.builds(slice, *[st.none() | st.integers(-n, n)] * 2, st.sampled_from([None, 1, 2, -1, -2]))
        form: str = draw(st.sampled_from(["number", "slice", "slice", "array", "mask"]))
        parts.append(
            draw(st.integers(-n, n - 1)) if form == "number"
            else draw(slices) if form == "slice"
            else rng.integers(-n, n, 3) if form == "array"
            else np.arange(n) % 3 == 0 if not any(isinstance(p, np.ndarray) for p in parts)
            else slice(None)
        )  # fmt: skip
    arrays = [p for p in parts if isinstance(p, np.ndarray)]
    if any(p.dtype == bool for p in arrays) and len(arrays) > 1:
        parts = [slice(None) if isinstance(p, np.ndarray) and p.dtype == bool else p for p in parts]
    if draw(st.booleans()):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if parts and draw(st.booleans()):
        parts.append(Ellipsis)
    index: Any = parts[0] if len(parts) == 1 else tuple(parts)
    if draw(st.integers(0, 5)) == 0:
        index = rng.random(shape) < 0.5  # one mask for everything
    mark((f"index: {form}" for form in INDICES), (f"index: {form}" for form in _forms(index, len(shape))))
    return Call({"x": draw(floats(shape, NASTY))}, {"index": index})


INDICES = (
    "a number", "from the back", "a slice", "a slice with steps", "a slice backwards", "an array", "two arrays",
    "a mask", "a mask of all axes", "None", "Ellipsis", "fewer than the axes",
)  # fmt: skip


def _forms(index: Any, axes: int) -> Iterable[str]:
    parts = index if isinstance(index, tuple) else (index,)
    numbers = [p for p in parts if isinstance(p, int)]
    steps = [p.step for p in parts if isinstance(p, slice)]
    arrays = [p for p in parts if isinstance(p, np.ndarray)]
    masks = [p for p in arrays if p.dtype == bool]
    told = {
        "a number": numbers,
        "from the back": [n for n in numbers if n < 0],
        "a slice": steps,
        "a slice with steps": [s for s in steps if s == 2],
        "a slice backwards": [s for s in steps if s is not None and s < 0],
        "an array": [a for a in arrays if a.dtype != bool],
        "two arrays": arrays[1:],
        "a mask": masks,
        "a mask of all axes": [m for m in masks if m.ndim == axes > 1],
        "None": [p for p in parts if p is None],
        "Ellipsis": [p for p in parts if p is Ellipsis],
        "fewer than the axes": len(numbers) + len(steps) + sum(a.ndim if a.dtype == bool else 1 for a in arrays) < axes,
    }
    return [form for form in INDICES if told[form]]


@st.composite
def norms(draw: Draw) -> Call:
    """A norm over one axis (vectors) or all of them."""
    shape = draw(shapes(1, 3, 1))
    axis = pick(draw, "axis", axis_or_flat(shape))
    orders: list[Any] = [None]
    if axis is not None or len(shape) == 1:
        orders += [1, 2, 3, np.inf, -np.inf, 0.5, 2.5]
    order = pick(draw, "ord", among(*orders))
    kinds = list(NASTY)
    if order in (np.inf, -np.inf):
        kinds.remove("nan")  # see linalg.norm in divergences.REMARKS
    if order in (2.5, 3):
        kinds.remove("wide")  # see there
    options = {"ord": order, "axis": axis, "keepdims": pick(draw, "keepdims", among(False, True))}
    x = draw(squared(shape, kinds, axis))
    mark([NOTHING], [NOTHING] * bool((x.values == 0).all(axis).any()))
    return Call({"x": x}, options)


def multiplied(operands: Mapping[str, Given], **options: Any) -> Call:
    """Operands of a sum of products. NumPy's dot leaves out a factor that is 0, if its array has no other number, and
    so the NaN of 0 times ∞: such arrays stand beside finite ones."""
    for name, given in operands.items():
        others = (other.values for key, other in operands.items() if key != name)
        assume(given.values.size != 1 or given.values.any() or all(np.isfinite(x).all() for x in others))
    return Call(operands, options)


@st.composite
def products(draw: Draw, form: str) -> Call:
    """Two operands of a matrix product: vectors, matrices and batches of them."""
    m, n, k = (draw(side(5, 100)) for _ in range(3))
    batch = (2,) if grows() else draw(shapes(0, 2 if form == "matmul" else 1, 0, 3, name="batch"))
    left = draw(st.sampled_from([(n,), (m, n), (*batch, m, n)]))
    if form == "inner":
        rights: list[Shape] = [(n,), (k, n)]
    else:
        other = tuple(1 if draw(st.booleans()) else b for b in batch)
        rights = [(n,), (n, k), (*other, n, k)]
        mark(["batches broadcast"], ["batches broadcast"] * (other != batch))
    right = draw(st.sampled_from(rights))
    forms = ("a vector", "a matrix", "a batch")
    for name, most, own in (("a", 3, left), ("b", len(rights), right)):
        mark((f"{name}: {form}" for form in forms[:most]), [f"{name}: {forms[min(len(own), 3) - 1]}"])
    operands = {"a": draw(floats(left, NASTY)), "b": draw(floats(right, NASTY))}
    return Call(operands) if form == "matmul" else multiplied(operands)


@st.composite
def tensordots(draw: Draw) -> Call:
    """Two operands and the axes over which they are summed: how many, or which."""
    shared = draw(shapes(1, 2, 1, 4, 64, name="shared"))
    a, b = (*draw(shapes(0, 2, 0, 3, 32, name="left")), *shared), (*shared, *draw(shapes(0, 2, 0, 3, 32, name="right")))
    axes: Any = len(shared)
    if pick(draw, "axes given", among(False, True)):
        axes = ([len(a) - len(shared) + i for i in range(len(shared))], list(range(len(shared))))
    return multiplied({"a": draw(floats(a, NASTY)), "b": draw(floats(b, NASTY))}, axes=axes)


EINSUMS = {
    "ij,jk->ik": "ij jk",
    "ij,kj": "ij kj",
    "bij,bjk->bik": "bij bjk",
    "i,i->": "i i",
    "i,j->ij": "i j",
    "ij->ji": "ij",
    "ijk->i": "ijk",
    "bhqd,bhkd->bhqk": "bhqd bhkd",
    "ij,ij->i": "ij ij",
    "ij,j,i->": "ij j i",
    "ij,jk,kl->il": "ij jk kl",
}


MODEST = tuple(kind for kind in EXTREME if kind != "wide")


@st.composite
def einsums(draw: Draw) -> Call:
    """An expression of the usual kinds, and operands that fit it."""
    subscripts = pick(draw, "subscripts", among(*sorted(EINSUMS)))
    letters = sorted(set(EINSUMS[subscripts]) - {" "})
    sizes = {letter: draw(side(4, round(65_536 ** (1 / len(letters))))) for letter in letters}
    kinds = NASTY if EINSUMS[subscripts].count(" ") < 2 else MODEST  # see einsum in divergences.REMARKS
    operands = {
        f"x{i}": draw(floats(tuple(sizes[letter] for letter in letters), kinds))
        for i, letters in enumerate(EINSUMS[subscripts].split())
    }
    return multiplied(operands, subscripts=subscripts, optimize=pick(draw, "optimize", among(False, True)))
