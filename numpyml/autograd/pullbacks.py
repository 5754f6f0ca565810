"""The pullbacks that take more than a line or two; their rows stand in :mod:`numpyml.autograd.derivatives`.

Their arguments are named as a row's partial names them: ``g`` is the gradient of the output, ``shape`` that of the
operand, everything else NumPy's own parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from numpyml.errors import OptionError, ShapeError
from numpyml.kernels.sums import weighted_rows

Shape = tuple[int, ...]
NUMPY_2_1 = np.lib.NumpyVersion(np.__version__) >= "2.1.0"

# Reductions


def spread(g: Any, shape: Shape, axis: Any = None, keepdims: bool = False) -> Any:
    """The gradient of a reduction, laid over the axes that were reduced."""
    return np.broadcast_to(kept(g, axis, keepdims), shape)


def kept(g: Any, axis: Any, keepdims: bool) -> Any:
    """What the reduction would have returned with ``keepdims=True``, as far as broadcasting goes."""
    return g if axis is None or keepdims or np.ndim(g) == 0 else np.expand_dims(g, axis)


def count(shape: Shape, axis: Any) -> int:
    """How many elements went into each element of a reduction."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(shape[i] for i in axes)


def variance(g: Any, a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None) -> Any:
    """gx = 2 g (x − mean) / (n − ddof)"""
    degrees = count(a.shape, axis) - (ddof if correction is None else correction)
    return 2 * kept(g, axis, keepdims) * (a - a.mean(axis=axis, keepdims=True)) / degrees


def deviation(
    g: Any, y: Any, a: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None
) -> Any:
    """The variance's, times 1 / 2y; 0 where all values are equal, as in PyTorch."""
    return variance(np.where(y == 0, 0, g / (2 * y)), a, axis, ddof, keepdims, correction)


def product(g: Any, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """gx = g × the product of all others: of those before and those behind; y / x would lose what underflows."""
    axis = axis if a.ndim else None  # NumPy lets a number be asked for its last axis
    axes = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    ends = tuple(range(-len(axes), 0))
    moved = np.moveaxis(a, axes, ends)
    cells = moved.reshape(*moved.shape[: a.ndim - len(axes)], math.prod(moved.shape[a.ndim - len(axes) :]))
    before, behind = np.ones_like(cells), np.ones_like(cells)
    np.cumprod(cells[..., :-1], -1, out=before[..., 1:])
    np.cumprod(cells[..., :0:-1], -1, out=behind[..., -2::-1])
    return kept(g, axis, keepdims) * np.moveaxis((before * behind).reshape(moved.shape), ends, axes)


def extremum(g: Any, y: Any, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Shared evenly among all elements that equal the extremum, as PyTorch's ``amax``."""
    hit = a == kept(y, axis, keepdims)
    return np.where(hit, kept(g, axis, keepdims), 0) / hit.sum(axis=axis, keepdims=True)


def reverse_cumsum(g: Any, shape: Shape, axis: int | None = None) -> Any:
    """gx[i] = Σ g[j], j ≥ i; one number after the other, which takes digits to spare."""
    axis = axis or 0
    sums = np.cumsum(np.flip(g, axis), axis, dtype=np.promote_types(g.dtype, np.float64))
    return np.flip(sums, axis).astype(g.dtype).reshape(shape)


# Elementwise


def whole_quotient(a: Any, b: Any) -> Any:
    """a / b towards zero: how often b fits into a, also where the quotient itself would round up to a whole number."""
    quotient = a / b
    whole = np.copysign(np.floor_divide(np.abs(a), np.abs(b)), quotient)
    return np.where(np.isfinite(quotient), whole, quotient)


def power_by_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    """g b aᵇ⁻¹, and 0 where b is. Its sign is a's for an even b, which b − 1 may be rounded to; where a is negative and
    y = aᵇ no number, it is none, though b − 1 may be rounded to a whole one.
    """
    less = b - 1
    if np.all((less + 1 == b) & (b - less == 1)):  # nothing is rounded
        return np.where(b == 0, 0, g * (b * a ** np.where(b == 0, 1, less)))
    slope = np.copysign(np.abs(a) ** np.where(b == 0, 1, b - 1), np.where(np.fmod(b, 2) == 0, a, 1))
    return np.where(b == 0, 0, np.where((a < 0) & np.isnan(y), y, g * (b * slope)))


def tanh_slope(x: Any) -> Any:
    """1 − tanh² x = 4e / (1 + e)² with e = e^−2|x|: from tanh x alone its digits could not be had back near ±1."""
    e = np.exp(-2 * np.abs(x))
    return 4 * e / ((1 + e) * (1 + e))


def per_square(g: Any, a: Any, b: Any) -> Any:
    """g a / (a² + b²), and 0 at the origin. In this order nothing overflows or vanishes where the result does not."""
    distance = np.hypot(a, b)
    return np.where(distance == 0, 0, g * (a / distance) / distance)


def raised(x: Any) -> Any:
    """2⁶⁴ where x is subnormal, else 1: times that, it is not, and what was rounded off may be had anew."""
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, 2.0**64, 1).astype(x.dtype)


def per_hypot(g: Any, y: Any, a: Any, b: Any) -> Any:
    """g a / y, y = √(a² + b²)"""
    scale = raised(y)
    if np.any(scale > 1):
        a = a * scale
        y = np.hypot(a, b * scale)
    return g * (a / y)


def given(*values: Any) -> Any:
    """The first that is not None."""
    return next(value for value in values if value is not None)


def within(a: Any, low: Any, high: Any) -> Any:
    """Where a lies between the bounds, the bounds included."""
    return (low <= a) & (a <= high)


# Norms


def norm(g: Any, y: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """``np.linalg.norm``: 0 wherever a norm has no slope (at 0); ties of ±inf share evenly."""
    if axis is None and keepdims:
        axis = tuple(range(x.ndim))
    elif axis is not None and not isinstance(axis, tuple):
        axis = int(axis)  # as NumPy takes it
    g, y = kept(g, axis, keepdims), kept(y, axis, keepdims)
    if ord is None or ord == "fro" or (ord == 2 and not over_matrices(x, axis)):
        return np.where(y == 0, 0, x * (g / y))
    slope = np.sign(x)
    if over_matrices(x, axis):
        rows, columns = (0, 1) if axis is None else axis
        sums = np.abs(x).sum(axis=rows if abs(ord) == 1 else columns, keepdims=True)
        hit = sums == y
        return np.where(hit, g, 0) / hit.sum(axis=axis and tuple(axis), keepdims=True) * slope
    if ord == 0:
        return np.zeros_like(x)
    if ord == 1:
        return g * slope
    if abs(ord) == np.inf:
        hit = np.abs(x) == y
        return np.where(hit, g * slope, 0) / hit.sum(axis=axis, keepdims=True)
    scale = raised(np.abs(x) / y)
    return np.where((x == 0) | (y == 0), 0, g * slope * (np.abs(x) * scale / y) ** (ord - 1) * scale ** (1 - ord))


def over_matrices(x: Any, axis: Any) -> bool:
    """Whether ``np.linalg.norm`` reads these arguments as a norm of matrices."""
    return np.ndim(x) == 2 if axis is None else isinstance(axis, (tuple, list)) and len(axis) == 2


def refuse_norm(x: Any, ord: Any = None, axis: Any = None) -> str:
    """The norms made of singular values have no derivative here."""
    if ord == "nuc" or (ord in (2, -2) and over_matrices(x, axis)):
        return f"with ord={ord!r} of a matrix has no derivative here; use 'fro', 1 or inf"
    if np.ndim(ord):
        return f"expected one order, got ord={ord!r}"
    return ""


# Shapes

RESHAPE_NAMES = "shape" if NUMPY_2_1 else "newshape"


def inverse(axes: Any) -> Any:
    """The permutation that undoes this one."""
    return None if axes is None else np.argsort(np.atleast_1d(axes) % np.size(axes))


def each(arrays: Sequence[Any], change: Callable[[Any], Any]) -> Any:
    """One changed array for one, as many for several, as ``np.atleast_1d`` returns them."""
    changed = tuple(change(x) for x in arrays)
    return changed[0] if len(changed) == 1 else changed


def at_least_1d(x: Any) -> Any:
    """A scalar becomes (1,)."""
    return np.reshape(x, (1,)) if np.ndim(x) == 0 else x


def at_least_2d(x: Any) -> Any:
    """(n,) becomes (1, n)."""
    return x if np.ndim(x) >= 2 else np.reshape(x, (1, -1))


def at_least_3d(x: Any) -> Any:
    """(n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1)."""
    x = at_least_2d(x)
    return np.expand_dims(x, 2) if np.ndim(x) == 2 else x


def as_columns(x: Any) -> Any:
    """(n,) becomes (n, 1)."""
    return np.reshape(x, (-1, 1)) if np.ndim(x) <= 1 else x


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element less the one before it along the axis, n times."""
    if n < 0:
        raise OptionError(f"numpy.diff expected n of 0 or more, got {n}")
    if n and not -np.ndim(a) <= axis < np.ndim(a):
        raise OptionError(f"numpy.diff expected an axis of an array of shape {np.shape(a)}, got axis={axis}")
    for _ in range(n):
        along = (slice(None),) * (axis % np.ndim(a))
        later, earlier = (*along, slice(1, None)), (*along, slice(None, -1))
        a = a[later] - a[earlier]
    return a


# Products


def contract(a: Any, b: Any, axis: int) -> Any:
    """``np.dot`` and ``np.inner``: a's last axis with this axis of b (its only one, where it is a vector)."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return np.tensordot(a, b, (-1, axis if np.ndim(b) > 1 else -1))


def matmul_left(g: Any, b: Any, shape: Shape) -> Any:
    """ga = g bᵀ; a vector stands for a matrix of one row or one column."""
    if len(shape) == 1:
        g = np.expand_dims(g, -1 if b.ndim == 1 else -2)
    elif b.ndim == 1:
        g = np.expand_dims(g, -1)
    if b.ndim == 1:
        return g * b
    ga = g @ np.swapaxes(b, -1, -2)
    return ga[..., 0, :] if len(shape) == 1 else ga


def matmul_right(g: Any, a: Any, shape: Shape) -> Any:
    """gb = aᵀ g"""
    if a.ndim == 1:
        if len(shape) == 1:
            return g * a
        return a[:, None] * np.expand_dims(g, -2)
    if len(shape) == 1:
        return weighted_rows(g.reshape(-1), a.reshape(g.size, a.shape[-1]))
    if len(shape) == 2:  # one matrix for the whole batch: one product instead of a batch of them and a sum
        rows = math.prod(a.shape[:-1])
        return a.reshape(rows, a.shape[-1]).T @ g.reshape(rows, g.shape[-1])
    return np.swapaxes(a, -1, -2) @ g


def contracted(axes: Any, left: int, right: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """``np.tensordot``'s axes as four lists: those summed over and those left, of each operand."""
    pair = axes if isinstance(axes, (list, tuple, np.ndarray)) else (range(left - axes, left), range(axes))
    summed = [
        [int(i) % n for i in np.atleast_1d(np.asarray(side, int))] for side, n in zip(pair, (left, right), strict=True)
    ]
    free = [[i for i in range(n) if i not in side] for side, n in zip(summed, (left, right), strict=True)]
    return summed[0], summed[1], free[0], free[1]


def tensordot_left(g: Any, b: Any, shape: Shape, axes: Any = 2) -> Any:
    """The gradient contracted with b over b's free axes, its axes put back into a's order."""
    summed, others, free, theirs = contracted(axes, len(shape), b.ndim)
    ga = np.tensordot(g, b, (list(range(len(free), np.ndim(g))), theirs))
    return ga.transpose(np.argsort(free + [summed[i] for i in np.argsort(others)]))


def tensordot_right(g: Any, a: Any, shape: Shape, axes: Any = 2) -> Any:
    """The gradient contracted with a over a's free axes, its axes put back into b's order."""
    others, summed, theirs, free = contracted(axes, a.ndim, len(shape))
    gb = np.tensordot(a, g, (theirs, list(range(len(theirs)))))
    return gb.transpose(np.argsort([summed[i] for i in np.argsort(others)] + free))


# Einsum


def refuse_einsum(subscripts: Any, operands: Any = ()) -> str:
    """Index lists instead of a string, and a diagonal that NumPy would broadcast."""
    if not isinstance(subscripts, str):
        return 'expected its subscripts as a string, such as np.einsum("ij,jk->ik", a, b)'
    terms = subscripts.replace(" ", "").split("->")[0].replace("...", "").split(",")
    for term, x in zip(terms, operands, strict=False):
        if "..." not in subscripts and len(term) == np.ndim(x):
            lengths: dict[str, int] = {}
            if any(lengths.setdefault(label, n) != n for label, n in zip(term, np.shape(x), strict=True)):
                return f"cannot take the diagonal {term!r} of shape {np.shape(x)}, whose axes differ; slice it first"
    return ""


def spelled_out(subscripts: str, shapes: Sequence[Shape]) -> tuple[list[str], str]:
    """One label per axis of each operand and of the output: no ellipsis, no implicit output."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    unused = "".join(c for c in map(chr, chain(range(65, 91), range(97, 123))) if c not in subscripts)[: max(hidden)]
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        output = ("..." if "..." in left else "") + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    full = [term.replace("...", unused[len(unused) - n :]) for term, n in zip(terms, hidden, strict=True)]
    return full, output.replace("...", unused)


def einsum(g: Any, subscripts: str, operands: Sequence[Any], shape: Sequence[Shape], positions: Sequence[int]) -> Any:
    """For each operand: the gradient in its place, contracted with the other operands into its labels."""
    terms, output = spelled_out(subscripts, shape)
    gradients = {}
    for i in positions:
        others = [j for j in range(len(terms)) if j != i]
        known = set(output).union(*(terms[j] for j in others))
        unique = "".join(dict.fromkeys(terms[i]))
        reached = "".join(label for label in unique if label in known)
        formula = ",".join([output, *(terms[j] for j in others)]) + "->" + reached
        gx = np.einsum(formula, g, *(operands[j] for j in others), optimize=bool(others))
        lengths = [shape[i][terms[i].index(label)] for label in unique]
        for axis, (label, n) in enumerate(zip(unique, lengths, strict=True)):
            if label not in known:
                gx = np.expand_dims(gx, axis)  # summed over in the forward call: every element has the same gradient
            elif n == 1:
                gx = gx.sum(axis=axis, keepdims=True)
        gx = np.broadcast_to(gx, lengths)
        if unique != terms[i]:  # a diagonal was taken: einsum gives a writable view of it
            diagonal, gx = gx, np.zeros(shape[i], gx.dtype)
            np.einsum(f"{terms[i]}->{unique}", gx)[...] = diagonal
        gradients[i] = gx
    return gradients


# Splitting, repeating, padding


def split_along(name: str, axis: int, least: int, ary: Any, indices_or_sections: Any) -> Any:
    """``np.hsplit`` and its like: ``np.split`` along an axis of their own; hsplit cuts a vector along its only one."""
    if np.ndim(ary) < least:
        raise ShapeError(f"numpy.{name} expected an array of {least} axes or more, got shape {np.shape(ary)}")
    return np.split(ary, indices_or_sections, min(axis, np.ndim(ary) - 1))


def join(g: Any, shape: Sequence[Shape], axis: int | None = 0) -> Any:
    """The gradient of a concatenation, cut where its operands met."""
    if axis is None:
        parts = np.split(g, np.cumsum([math.prod(s) for s in shape])[:-1])
        return [part.reshape(s) for part, s in zip(parts, shape, strict=True)]
    return np.split(g, np.cumsum([s[axis] for s in shape])[:-1], axis)


def unsplit(g: Sequence[Any], shape: Shape, indices_or_sections: Any, axis: int = 0) -> Any:
    """Each part's gradient added where the part was cut; cuts out of order overlap."""
    n = shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = int(indices_or_sections)
        cuts = np.cumsum([n // sections + (i < n % sections) for i in range(sections - 1)])
    else:
        cuts = indices_or_sections
    gx = np.zeros(shape, g[0].dtype)
    view = np.moveaxis(gx, axis, 0)
    for part, start, stop in zip(g, [0, *cuts], [*cuts, n], strict=True):
        view[start:stop] += np.moveaxis(part, axis, 0)
    return gx


def unrepeat(g: Any, shape: Shape, repeats: Any, axis: int | None = None) -> Any:
    """The gradients of all copies, added up."""
    axis = axis if shape else None
    n = math.prod(shape) if axis is None else shape[axis]
    gx = np.zeros((n,) if axis is None else shape, g.dtype)
    axis = axis or 0
    if np.size(repeats) == 1:
        each = max(int(np.reshape(repeats, ())), 0)  # of an array without elements, NumPy takes any number
        axis %= gx.ndim
        gx = g.reshape(*gx.shape[: axis + 1], each, *gx.shape[axis + 1 :]).sum(axis=axis + 1)
    else:
        np.add.at(np.moveaxis(gx, axis, 0), np.repeat(np.arange(n), repeats), np.moveaxis(g, axis, 0))
    return gx.reshape(shape)


def untile(g: Any, shape: Shape, reps: Any) -> Any:
    """The gradients of all tiles, added up."""
    reps = np.maximum(np.atleast_1d(reps).astype(int), 0).tolist()  # as in unrepeat
    ndim = max(len(reps), len(shape))
    reps = [1] * (ndim - len(reps)) + reps
    lengths = [1] * (ndim - len(shape)) + list(shape)
    return g.reshape([*chain(*zip(reps, lengths, strict=True))]).sum(axis=tuple(range(0, 2 * ndim, 2))).reshape(shape)


def unpad(g: Any, shape: Shape, pad_width: Any, mode: str = "constant") -> Any:
    """Constant padding is cut off; the other modes copy elements, whose gradients go back to where they came from."""
    if mode in ("constant", "empty"):
        before = np.broadcast_to(pad_width, (len(shape), 2))[:, 0]
        return g[tuple(slice(start, start + n) for start, n in zip(before, shape, strict=True))]
    source = np.pad(np.arange(math.prod(shape)).reshape(shape), pad_width, mode)  # type: ignore[call-overload]
    return scatter(g, (math.prod(shape),), source).reshape(shape)


def refuse_pad(pad_width: Any = 0, mode: Any = "constant") -> str:
    """The modes that compute new values, and widths by axis."""
    if mode not in ("constant", "empty", "edge", "reflect", "symmetric", "wrap"):
        return f"with mode={mode!r} has no derivative here; use constant, edge, reflect, symmetric or wrap"
    return (
        "expected pad_width as numbers, got a dict; give one pair for each axis" if isinstance(pad_width, dict) else ""
    )


# Indexing


def scatter(g: Any, shape: Shape, index: Any) -> Any:
    """Zeros of ``shape`` with ``g`` added at ``index``, as often as each element was taken."""
    gx = np.zeros(shape, g.dtype)
    if any(may_repeat(part) for part in (index if isinstance(index, tuple) else (index,))):
        np.add.at(gx, index, g)
    else:
        gx[index] = g
    return gx


def may_repeat(part: Any) -> bool:
    """Whether this part of an index can take an element twice: only an array of integers can."""
    if part is None or part is Ellipsis or isinstance(part, (slice, int, np.integer)):
        return False
    return np.ndim(part) > 0 and np.asarray(part).dtype.kind != "b"


def untake(g: Any, shape: Shape, indices: Any, axis: int | None = None) -> Any:
    """``np.take``: indexing along one axis, or of the flattened array."""
    indices = np.asarray(indices).astype(np.intp)  # NumPy takes True for 1, and 1.5, too
    if axis is None or not shape:
        return scatter(g, (math.prod(shape),), indices).reshape(shape)
    return scatter(g, shape, (slice(None),) * (axis % len(shape)) + (indices,))


def untake_along_axis(g: Any, shape: Shape, indices: Any, axis: int | None = -1) -> Any:
    """``np.take_along_axis``: the index array runs along one axis, every other axis stays in step."""
    if axis is None:
        return scatter(g, (math.prod(shape),), np.asarray(indices)).reshape(shape)
    index: list[Any] = list(np.ogrid[tuple(slice(n) for n in shape)])
    index[axis] = np.asarray(indices)
    return scatter(g, shape, tuple(index))


def unsort(g: Any, a: Any, axis: int | None = -1) -> Any:
    """Each gradient back to where its element stood before sorting."""
    gx = np.zeros(a.shape if axis is not None else a.size, g.dtype)
    order = np.argsort(a, axis=axis, kind="stable")
    np.put_along_axis(gx, order, g, -1 if axis is None else axis)
    return gx.reshape(a.shape)


def undiagonal(g: Any, shape: Shape, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Zeros of ``shape`` with ``g`` on the diagonal."""
    gx = np.zeros(shape, g.dtype)
    i = np.arange(np.shape(g)[-1])
    np.moveaxis(gx, (axis1, axis2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)] = g
    return gx
