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
from numpyml.errors import DerivativeError, OptionError, ShapeError

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
    gradcheck(case.call, *case.arrays(1), seed=1).raise_if_failed()


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
def test_parameter_names_are_numpys_own(function: Function) -> None:
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


def test_an_option_of_a_ufunc_is_an_error() -> None:
    t = Tensor(np.ones(3), requires_grad=True)
    for options in ({"out": np.empty(3)}, {"where": np.array([True, False, True])}, {"dtype": np.float32}):
        with pytest.raises(TypeError, match=r"numpy\.exp"):
            np.exp(t, **options)
    array = np.ones(3)
    with pytest.raises(TypeError, match=r"numpy\.add"):
        array += t


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.fft.fft(t), "numpy.fft.fft has no derivative"),
        (lambda t: np.linalg.norm(t, 2), "ord=2 of a matrix"),
        (lambda t: np.linalg.norm(t, "nuc"), "ord='nuc' of a matrix"),
        (lambda t: np.pad(t, 1, "mean"), "mode='mean'"),
        (lambda t: np.einsum(t, [0, 1], [1, 0]), "subscripts as a string"),
        (lambda t: np.einsum("ii->i", t[:, :1]), "diagonal 'ii'"),
        (lambda t: np.concatenate(t), "pass a list of Tensors"),
        (lambda t: t * [t, t], "np.stack them"),
        (lambda t: np.where(t, t, t), "no derivative with respect to condition"),
        (lambda t: np.add.accumulate(t), "numpy.add.accumulate"),
        (lambda t: np.reshape(t, 4, "F"), "order=...\\) has no derivative"),
        (lambda t: np.add(t, t, np.empty(4)), "numpy.add"),
    ],
)
def test_what_has_no_derivative_is_refused_by_name(call: Function, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(Tensor(np.ones((2, 2)), requires_grad=True))


def gradient(call: Function, *values: Any) -> Any:
    leaves = [Tensor(np.asarray(v, np.float64), requires_grad=True) for v in values]
    with np.errstate(all="ignore"):
        y = call(*leaves)
    np.sum(y).backward()
    return [x.grad.tolist() for x in leaves] if len(leaves) > 1 else leaves[0].grad.tolist()


INF = float("inf")


@pytest.mark.parametrize(
    ("call", "values", "expected"),
    [
        (lambda x: x**0, [[0.0, 2.0, -1.0]], [0, 0, 0]),
        (lambda x: x**2, [[0.0, -1.0]], [0, -2]),
        (lambda x: x**0.5, [[0.0]], [INF]),
        (lambda a, b: a**b, [[0.0, 0.0, 0.0], [0.0, 2.0, 1.0]], [[0, 0, 1], [0, 0, 0]]),
        (np.sqrt, [[0.0]], [INF]),
        (np.log, [[0.0]], [INF]),
        (np.abs, [[0.0]], [0]),
        (np.maximum, [[1.0, 2.0], [1.0, 1.0]], [[0.5, 1], [0.5, 0]]),
        (np.fmax, [[1.0, 2.0], [1.0, np.nan]], [[1, 1], [0, 0]]),
        (lambda x: np.clip(x, 0, 1), [[-1.0, 0.0, 1.0, 2.0]], [0, 1, 1, 0]),
        (np.max, [[1.0, 3.0, 3.0]], [0, 0.5, 0.5]),
        (np.prod, [[0.0, 3.0, 2.0]], [6, 0, 0]),
        (np.prod, [[0.0, 0.0, 2.0]], [0, 0, 0]),
        (np.std, [[1.0, 1.0]], [0, 0]),
        (np.linalg.norm, [[0.0, 0.0]], [0, 0]),
        (lambda x: np.linalg.norm(x, INF), [[1.0, -1.0]], [0.5, -0.5]),
        (lambda x: x[[0, 0, 1]], [[1.0, 2.0, 3.0]], [2, 1, 0]),
    ],
)
def test_corners_are_those_of_pytorch(call: Function, values: Any, expected: Any) -> None:
    assert gradient(call, *values) == expected


def test_backward_raises_no_warning_where_forward_gave_infinity() -> None:
    with np.errstate(all="raise"):
        t = Tensor(np.zeros(3), requires_grad=True)
        np.sqrt(t).sum().backward()
    assert np.isinf(t.grad).all()


@pytest.mark.parametrize(("a", "b", "quotient"), [(1.0, 0.1, 9), (-1.0, 0.1, -9), (3.0, -0.1, -29), (7.0, 2.0, 3)])
def test_gradient_of_fmod_is_the_exact_integer_quotient(a, b, quotient) -> None:
    divisor = Tensor(b, requires_grad=True)
    np.fmod(a, divisor).backward()
    assert divisor.grad == -quotient


@pytest.mark.parametrize(
    ("a", "b", "gradient"),
    [
        (-1.0, 2.0**30, -(2.0**30)),  # even, and b - 1 is rounded to an even number
        (-1.0, -(2.0**30), 2.0**30),
        (-0.0, -(2.0**30), np.inf),
        (-2.0, 1e-30, np.nan),  # b - 1 is rounded to -1, so its power is finite, while that of b is NaN
        (-0.0, 1e-30, np.inf),
        (-2.0, 3.0, 12.0),
        (-0.0, 2.0, -0.0),
        (-np.inf, 2.0, -np.inf),
        (np.nan, 1.0, 1.0),
        (-3.0, 0.0, 0.0),
    ],
)
def test_gradient_of_power_does_not_depend_on_a_rounded_exponent(a: float, b: float, gradient: float) -> None:
    base = Tensor(np.float32(a), requires_grad=True)
    with np.errstate(all="ignore"):
        np.power(base, np.float32(b)).backward()
    np.testing.assert_array_equal(base.grad, np.float32(gradient))
    assert np.isnan(gradient) or np.signbit(base.grad) == np.signbit(gradient)


def test_gradient_of_an_underflowing_product_is_the_product_of_the_others() -> None:
    x = Tensor(np.float32([1e-30, 1e-20, 3.0]), requires_grad=True)
    np.prod(x).backward()
    np.testing.assert_allclose(x.grad, [3e-20, 3e-30, 0], rtol=1e-6)
    tiny = Tensor(np.float32(-3e-42), requires_grad=True)
    np.prod(tiny).backward(np.float32(0.125))
    assert tiny.grad == np.float32(0.125)


@pytest.mark.parametrize(
    ("function", "x", "gradient"),
    [
        (np.expm1, -28.5, 4.1937956583795444e-13),
        (np.arcsin, 0.9999999, 2236.0680339899749),
        (np.arccos, -0.9999999, -2236.0680339899749),
        (np.arctanh, 0.9999999, 5000000.2526317917),
        (np.arccosh, 1.0000001, 2236.0679209453090),
        (np.arcsinh, 1e300, 1e-300),
    ],
)
def test_gradient_at_the_end_of_the_domain_keeps_precision(function, x, gradient) -> None:
    operand = Tensor(x, requires_grad=True)
    function(operand).backward()
    np.testing.assert_allclose(operand.grad, gradient, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-19, 1e-30, 1e25])
def test_gradient_of_arctan2_neither_overflows_nor_underflows_in_a_square(scale) -> None:
    a, b = (Tensor(np.float32(x * scale), requires_grad=True) for x in (1.0, 2.0))
    np.arctan2(a, b).backward()
    np.testing.assert_allclose([a.grad * scale, b.grad * scale], [0.4, -0.2], rtol=1e-6)


def test_gradient_of_arctan2_is_finite_where_the_derivative_overflows() -> None:
    a, b = (Tensor(np.float32(1e-40), requires_grad=True) for _ in range(2))
    np.arctan2(a, b).backward(np.float32(1e-4))  # the derivative is 5e39
    np.testing.assert_allclose([a.grad, b.grad], [5e35, -5e35], rtol=1e-4)


def test_bounds_of_clip_have_gradients() -> None:
    gradcheck(
        lambda a, low, high: np.clip(a, low, high), np.linspace(-2, 2, 8), np.array(-0.9), np.array(0.8)
    ).raise_if_failed()


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="the keywords are new in NumPy 2.1")
def test_new_keywords_have_gradients() -> None:
    x = np.linspace(-2, 2, 8)
    gradcheck(lambda a, low, high: np.clip(a, min=low, max=high), x, np.array(-0.9), np.array(0.8)).raise_if_failed()
    gradcheck(lambda a: np.reshape(a, shape=(2, 4)), x).raise_if_failed()
    gradcheck(lambda a: np.var(a, correction=1), x).raise_if_failed()


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) >= "2.1.0", reason="the keyword is gone")
def test_old_keyword_of_reshape_has_a_gradient() -> None:
    gradcheck(lambda a: np.reshape(a, newshape=(2, 4)), np.linspace(-2, 2, 8)).raise_if_failed()


@pytest.mark.parametrize("order", [None, 3, 4])
def test_gradient_of_a_norm_that_underflows_is_zero(order):
    x = Tensor(np.array([1e-170, 1e-170]), requires_grad=True)
    with np.errstate(all="ignore"):
        np.linalg.norm(x, order).backward()
    np.testing.assert_array_equal(x.grad, [0, 0])


def test_gradient_of_reciprocal_is_finite_where_the_derivative_overflows():
    x = Tensor(np.float32([1e-20]), requires_grad=True)
    np.reciprocal(x).backward(np.float32([1e-10]))
    np.testing.assert_allclose(x.grad, [-1e30], rtol=1e-6)


REFUSED = [
    (lambda: np.hsplit(ones(), 1), ShapeError, r"numpy\.hsplit expected an array of 1 axes or more, got shape \(\)"),
    (lambda: np.vsplit(ones(2), 1), ShapeError, r"numpy\.vsplit expected an array of 2 axes or more, got shape \(2,\)"),
    (lambda: np.dsplit(ones(2, 2), 1), ShapeError, r"numpy\.dsplit expected an array of 3 axes or more"),
    (lambda: np.diff(ones(3), n=-1), OptionError, r"numpy\.diff expected n of 0 or more, got -1"),
    (lambda: np.diff(ones(3), axis=-2), OptionError, r"numpy\.diff expected an axis of an array of shape \(3,\), got"),
    (lambda: np.diff(ones()), OptionError, r"numpy\.diff expected an axis"),
    (lambda: np.diff(ones(3), axis=None), TypeError, "'NoneType' object cannot be interpreted as an integer"),
    (lambda: np.inner(ones(2), ones(3)), ValueError, r"shapes \(2,\) and \(3,\) not aligned"),
    (lambda: np.stack([ones(2), ones(3)]), ValueError, "all input arrays must have the same shape"),
    (lambda: np.pad(ones(2), 1, "mean"), DerivativeError, r"numpy\.pad with mode='mean' has no derivative"),
]


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape), requires_grad=True)


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_numpy_refuses_is_an_error_that_says_what_was_expected(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "shape", "gradient"),
    [
        (lambda x: np.sum(x, axis=-1), (), 1),
        (lambda x: np.max(x, axis=-1), (), 1),
        (lambda x: np.prod(x, axis=0), (), 1),
        (lambda x: np.linalg.norm(x, axis=0.5), (2, 2), 0.5**0.5),
        (lambda x: np.transpose(x, -1), (3,), 1),
        (lambda x: np.repeat(x, 2, axis=0), (), 2),
        (lambda x: np.repeat(x, -1), (0,), 0),
        (lambda x: np.tile(x, -1), (0,), 0),
        (lambda x: np.tile(x, 1.0), (2,), 1),
        (lambda x: np.take(x, 1.5), (2,), [0, 1]),
        (lambda x: np.take(x, True), (2,), [0, 1]),
        (lambda x: np.take(x, [], axis=0), (), 0),
        (lambda x: np.diff(x, n=0), (), 1),
        (lambda x: np.full_like(x[0, 0], x), (1, 1, 2), 1),
    ],
)
def test_whatever_numpy_accepts_has_a_gradient(call, shape, gradient) -> None:
    try:
        call(np.ones(shape))
    except (TypeError, ValueError):
        pytest.skip("this NumPy refuses it")
    x = ones(*shape)
    y = call(x)
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad, np.broadcast_to(gradient, shape))
