"""The table of derivatives: every row has an example here, and every example every promise is checked on."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from numpyml import Tensor
from numpyml.autograd.derivatives import COMPOSITES, TABLE
from numpyml.autograd.gradcheck import gradcheck
from numpyml.autograd.table import title_of

Function = Callable[..., Any]


@dataclass(frozen=True)
class Example:
    """A call of ``function`` on arrays of these shapes."""

    function: Function
    shapes: tuple[tuple[int, ...], ...]
    call: Function
    low: float
    high: float

    def arrays(self, seed: int = 0, dtype: Any = np.float64) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [np.asarray(generator.uniform(self.low, self.high, shape), dtype) for shape in self.shapes]


EXAMPLES: list[Example] = []


def example(
    function: Function, *shapes: Any, call: Function | None = None, low: float = -2, high: float = 2, **options: Any
) -> None:
    EXAMPLES.append(Example(function, shapes, call or (lambda *arrays: function(*arrays, **options)), low, high))


# Elementwise

for f in (
    np.positive,
    np.negative,
    np.square,
    np.absolute,
    np.fabs,
    np.exp,
    np.exp2,
    np.expm1,
    np.sin,
    np.cos,
    np.arctan,
    np.sinh,
    np.cosh,
    np.tanh,
    np.arcsinh,
    np.degrees,
    np.rad2deg,
    np.radians,
    np.deg2rad,
    np.sign,
    np.floor,
    np.ceil,
    np.rint,
    np.trunc,
    np.round,
    np.around,
    np.copy,
):
    example(f, (3, 4))
    example(f, ())
for f in (np.log, np.log2, np.log10, np.sqrt, np.cbrt, np.reciprocal, np.log1p):
    example(f, (3, 4), low=0.1)
for f in (np.arcsin, np.arccos, np.arctanh, np.tan):
    example(f, (3, 4), low=-0.9, high=0.9)
example(np.arccosh, (3, 4), low=1.1, high=3)
example(np.ndarray.astype, (3,), call=lambda a: a.astype(np.float64) * a)
for f in (
    np.add,
    np.subtract,
    np.multiply,
    np.logaddexp,
    np.logaddexp2,
    np.hypot,
    np.arctan2,
    np.copysign,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
):
    for shapes in [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((2, 3), (1, 1)), ((1, 4), (2, 3, 1))]:
        example(f, *shapes)
for f in (np.true_divide, np.floor_divide, np.remainder, np.fmod, np.power):
    for shapes in [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3))]:
        example(f, *shapes, low=0.2, high=1.9)
example(np.power, (3, 4), call=lambda a: np.power(a, 3))
example(np.power, (3, 4), call=lambda a: a**2 + a**1 + a**0)
example(np.power, (3, 4), call=lambda a: 2.5**a)
example(np.clip, (3, 4), a_min=-1, a_max=1)
example(np.clip, (3, 4), a_min=None, a_max=1)
example(np.clip, (3, 4), a_min=-1, a_max=None)
example(np.clip, (3, 4), (4,), (3, 1))
example(np.where, (3, 4), (4,), call=lambda x, y: np.where(np.arange(4) % 2 == 0, x, y))
example(np.where, (3, 4), call=lambda x: np.where(x > 0, x * x, 0.0))

# Reductions

for f in (np.sum, np.mean, np.var, np.std, np.prod, np.max, np.min, np.amax, np.amin, np.nansum, np.ptp):
    for axis in (None, 0, -1, 1, (0, 2), (-1, 0), (0, 1, 2)):
        for keepdims in (False, True):
            example(f, (2, 3, 4), axis=axis, keepdims=keepdims)
    example(f, ())
for f in (np.var, np.std):
    example(f, (3, 4), axis=0, ddof=1)
for axis in (None, 0, -1):
    example(np.cumsum, (3, 4), axis=axis)
    example(np.sort, (3, 4), axis=axis)
    example(np.flip, (3, 4), axis=axis)
    example(np.repeat, (3, 4), repeats=3, axis=axis)
    example(np.take, (3, 4), indices=[[0, -1], [2, 2]], axis=axis)
    example(np.append, (3, 4), (3, 4), axis=axis)
    example(np.concatenate, (3, 4), (3, 4), call=lambda *a, axis=axis: np.concatenate(a, axis))
for kind in ("quicksort", "stable", "heapsort"):
    example(np.sort, (9,), kind=kind)
for order in (None, 1, 2, 3, 0.5, np.inf, -np.inf, 0, -1):
    example(np.linalg.norm, (4,), ord=order)
    example(np.linalg.norm, (3, 4), ord=order, axis=-1)
    example(np.linalg.norm, (2, 3, 4), ord=order, axis=1, keepdims=True)
for order in (None, "fro", 1, -1, np.inf, -np.inf):
    example(np.linalg.norm, (3, 4), ord=order)
    example(np.linalg.norm, (3, 4), ord=order, keepdims=True)
    example(np.linalg.norm, (2, 3, 4), ord=order, axis=(0, 2))
    example(np.linalg.norm, (2, 3, 4), ord=order, axis=(2, -2), keepdims=True)
example(np.linalg.norm, (2, 3, 4))
example(np.full_like, (3,), (), call=lambda a, b: np.full_like(a, b) * a)

# Shapes

example(np.reshape, (3, 4), call=lambda a: np.reshape(a, (2, -1)))
example(np.reshape, (3, 4), call=lambda a: np.reshape(a, 12, "C"))
example(np.ravel, (3, 4))
example(np.squeeze, (1, 3, 1))
example(np.squeeze, (1, 3, 1), axis=-1)
example(np.expand_dims, (3, 4), axis=(0, -1))
example(np.transpose, (2, 3, 4))
example(np.transpose, (2, 3, 4), axes=(1, -1, 0))
example(np.swapaxes, (2, 3, 4), axis1=0, axis2=-1)
example(np.moveaxis, (2, 3, 4), source=(0, 1), destination=(-1, 0))
example(np.broadcast_to, (3, 1), shape=(2, 3, 4))
example(np.roll, (3, 4), shift=5)
example(np.roll, (3, 4), shift=(1, -2), axis=(0, -1))
example(np.rot90, (3, 4), k=3)
example(np.rot90, (2, 3, 4), axes=(2, 0))
for repeats in ([2], [0, 1, 3, 2], 0):
    example(np.repeat, (3, 4), repeats=repeats, axis=1)
for reps in (2, (2, 3), (2, 1, 3), (0, 2)):
    example(np.tile, (3, 4), reps=reps)
example(np.tile, (2, 3, 4), reps=(2,))
for mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
    for width in (1, (2, 0), ((1, 2), (0, 3))):
        example(np.pad, (3, 4), pad_width=width, mode=mode)
example(np.pad, (3, 4), pad_width=1, constant_values=7)
for f in (np.fliplr, np.flipud, np.tril, np.triu, np.trace, np.diagonal):
    example(f, (3, 4))
for f in (np.tril, np.triu, np.diag):
    example(f, (3, 4), k=-1)
example(np.diag, (3,), k=2)
example(np.diag, (3, 3))
example(np.diagonal, (2, 3, 4), offset=1, axis1=-1, axis2=0)
example(np.diagonal, (2, 3, 4), offset=-1, axis1=1, axis2=2)
example(np.trace, (2, 3, 4), offset=1, axis1=0, axis2=2)
example(np.diff, (3, 4))
example(np.diff, (3, 4), n=2, axis=0)
for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    for shape in ((), (3,), (2, 3), (2, 3, 4)):
        example(f, shape)
        example(f, shape, (), call=lambda *a, f=f: list(f(*a)))

# Joining and splitting

example(np.concatenate, (3, 2), (3, 1), (3, 4), call=lambda *a: np.concatenate(a, axis=-1))
for axis in (0, -1, 1):
    example(np.stack, (3, 4), (3, 4), call=lambda *a, axis=axis: np.stack(a, axis))
for f in (np.vstack, np.hstack, np.dstack, np.column_stack):
    for shape in ((3,), (3, 4), (3, 4, 2)):
        if f is not np.column_stack or len(shape) < 3:
            example(f, shape, shape, call=lambda *a, f=f: f(a))
for f in (np.vstack, np.hstack):
    example(f, (), (), call=lambda *a, f=f: f(a))
example(np.split, (6, 4), indices_or_sections=3)
example(np.split, (6, 4), indices_or_sections=[1, 3], axis=-1)
example(np.split, (6,), indices_or_sections=[4, 2])
example(np.array_split, (7, 2), indices_or_sections=3)
for f in (np.hsplit, np.vsplit, np.dsplit):
    example(f, (2, 4, 6), indices_or_sections=2)
example(np.hsplit, (6,), indices_or_sections=[2])

# Indexing

MASK = np.arange(12).reshape(3, 4) % 3 == 0
for index in (
    0,
    -1,
    slice(None, None, -2),
    None,
    Ellipsis,
    (..., 1),
    (1, None, slice(1, 3)),
    MASK,
    (MASK[:, 0], 2),
    True,
    [0, 0, 2],
    ([0, 0, -3], [1, 1, 1]),
    (slice(None), [[3, 3], [-1, 0]]),
    (None, [1, 1], ..., [0, 0]),
    [True, False, True],
    np.array(1),
    (np.int64(2), slice(1)),
    (MASK[:, 1], MASK[0]),
    (),
):
    example(operator.getitem, (3, 4), call=lambda x, index=index: x[index])
example(np.take_along_axis, (3, 4), indices=np.array([[1, 1], [0, 3], [2, 2]]), axis=-1)
example(np.take_along_axis, (3, 4), indices=np.array([[1, 1, 0, 2]]), axis=0)
example(np.take_along_axis, (3, 4), indices=np.array([1, 1, 11]), axis=None)

# Products

MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
]
for a, b in MATMULS:
    example(np.matmul, a, b)
for a, b in [
    ((), (3,)),
    ((2, 3), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (6, 3, 4)),
]:
    example(np.dot, a, b)
for a, b in [((), (3,)), ((3,), (3,)), ((2, 3), (4, 3)), ((5, 2, 3), (3,))]:
    example(np.inner, a, b)
example(np.outer, (2, 3), (4,))
example(np.vdot, (2, 3), (3, 2))
for a, b, axes in [
    ((2, 3, 4), (3, 4, 5), 2),
    ((2, 3), (4,), 0),
    ((2, 3, 4), (4, 3, 5), ([1, 2], [1, 0])),
    ((2, 3, 4), (5, 4, 2), ((2, 0), (-2, -1))),
    ((2, 3), (3, 4), (-1, 0)),
    ((2, 3), (2, 3), 2),
]:
    example(np.tensordot, a, b, axes=axes)
EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba,ca", (2, 3), (4, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ji", (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...i,...i", (2, 3), (3,)),
    ("...", (2, 3)),
    ("i...->...", (2, 3)),
    ("...ii->...i", (2, 3, 3)),
    ("i,j->ij", (2,), (3,)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    (" i j , j -> i ", (2, 3), (3,)),
    ("ij,ij->i", (2, 3), (2, 1)),
    ("ij,kj->ik", (2, 1), (4, 3)),
    ("iij,j->i", (2, 2, 3), (3,)),
    ("iji->j", (2, 3, 2)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
    (",i->i", (), (3,)),
    ("i,j->", (2,), (3,)),
    ("a...,...a->...", (3, 2, 1), (4, 3)),
    ("ij,k->k", (2, 3), (4,)),
    ("...,...", (2, 1), (3,)),
]
for subscripts, *shapes in EINSUMS:
    example(np.einsum, *shapes, call=lambda *a, s=subscripts: np.einsum(s, *a))
example(np.einsum, (2, 3), (3, 4), call=lambda *a: np.einsum("ij,jk", *a, optimize=True))

# Without a gradient

for f in (
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
    np.logical_and,
    np.logical_or,
    np.logical_xor,
    np.isclose,
    np.allclose,
    np.array_equal,
):
    example(f, (3, 4), (4,))
for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor):
    example(f, (3,), (3,), call=lambda a, b, f=f: f(a > 0, b > 0))
for f in (
    np.logical_not,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.signbit,
    np.nonzero,
    np.flatnonzero,
    np.argwhere,
    np.shape,
    np.ndim,
    np.size,
    np.any,
    np.all,
    np.argmax,
    np.argmin,
    np.argsort,
    np.count_nonzero,
    np.zeros_like,
    np.ones_like,
    np.result_type,
    np.iscomplexobj,
    np.isrealobj,
):
    example(f, (3, 4))
example(np.invert, (3,), call=lambda a: ~(a > 0))
example(np.empty_like, (3,), call=lambda a: np.shape(np.empty_like(a)))
example(np.searchsorted, (3,), call=lambda v: np.searchsorted(np.arange(3.0), v))

ROWS: dict[Function, Any] = {**TABLE, **COMPOSITES}
DIFFERENTIABLE = [e for e in EXAMPLES if e.function in COMPOSITES or TABLE[e.function].partials]


def label(value: Any) -> str:
    return f"{title_of(value.function)}{list(value.shapes)}" if isinstance(value, Example) else title_of(value)


def plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return value.data if isinstance(value, Tensor) else value


def test_every_row_has_an_example() -> None:
    assert not [title_of(f) for f in ROWS if f not in {e.function for e in EXAMPLES}]


@pytest.mark.parametrize("case", EXAMPLES, ids=label)
def test_tensors_give_the_same_values_as_arrays(case: Example) -> None:
    arrays = case.arrays()
    expected, got = case.call(*arrays), plain(case.call(*map(Tensor, arrays)))
    assert len(expected) == len(got) if isinstance(expected, (list, tuple)) else np.shape(expected) == np.shape(got)
    for e, g in zip(*([x] if not isinstance(x, (list, tuple)) else x for x in (expected, got)), strict=True):
        if isinstance(e, (np.ndarray, np.generic)):
            np.testing.assert_allclose(g, e, rtol=1e-13, atol=1e-13)
            assert g.dtype == e.dtype
        else:
            assert g == e


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=label)
def test_gradients_follow_from_the_values(case: Example) -> None:
    assert gradcheck(case.call, *case.arrays(1), seed=1).passed


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=label)
def test_float32_stays_float32(case: Example) -> None:
    leaves = [Tensor(x, requires_grad=True) for x in case.arrays(dtype=np.float32)]
    if case.function is np.ndarray.astype:
        pytest.skip("its purpose is to change the dtype")
    outputs = case.call(*leaves)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert {y.dtype for y in outputs} == {np.dtype(np.float32)}
    for y in outputs:
        y.backward(np.ones(y.shape), retain_graph=True)
    assert all(x.grad.dtype == np.float32 and x.grad.shape == x.shape for x in leaves if x.grad is not None)


@pytest.mark.parametrize("case", [e for e in EXAMPLES if e not in DIFFERENTIABLE], ids=label)
def test_results_without_a_gradient_require_none(case: Example) -> None:
    result = case.call(*(Tensor(x, requires_grad=True) for x in case.arrays()))
    for y in result if isinstance(result, (list, tuple)) else [result]:
        assert getattr(y, "node", None) is None


@pytest.mark.parametrize("function", ROWS, ids=label)
def test_parameter_names_are_numpys(function: Function) -> None:
    row = ROWS[function]
    if isinstance(function, np.ufunc):
        assert len(row.positional) == function.nin
        return
    if function in (operator.getitem, np.ndarray.astype):
        pytest.skip("not a NumPy function")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        pytest.skip("this NumPy does not expose its signature")
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    assert row.positional[: len(positional)] == positional[: len(row.positional)]
    if function is not np.einsum:  # its subscripts are the first of *operands
        assert row.positional == positional


@pytest.mark.parametrize("function", [f for f, row in ROWS.items() if row.refused], ids=label)
def test_every_refused_option_is_an_error(function: Function) -> None:
    row = ROWS[function]
    t = Tensor(np.ones((2, 2)), requires_grad=True)
    first = "ij->ji" if function is np.einsum else [t] if row.sequences or row.positional[0] in ("tup", "arrays") else t
    for name in row.refused:
        with pytest.raises(TypeError, match=rf"{name}=\.\.\.\) has no derivative"):
            row.bind([first], {name: "something"})
        row.bind([first], {name: row.refused[name] or None})
