"""Gradient check by Taylor's theorem, without a step size to tune.

For each input and each parameter x by itself, with gradient g, along a random direction v:

    E(h) = (φ(x + hv) − φ(x − hv)) / 2h − ⟨g, v⟩        φ = ⟨random cotangent, function⟩

falls as h² where g is right, and stays at the error along v where it is wrong, until rounding dominates. E is taken
at the step where the sum of its change from one h to the next and of the measured rounding is smallest. That sum is
the uncertainty of E: g is wrong if E is larger. Where the one-sided difference quotients do not converge to one value,
there is no derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from numpyml.autograd import tape
from numpyml.autograd.tensor import Tensor
from numpyml.errors import DTypeError, NumpymlError, kind_of
from numpyml.typing import Array

RIGHT, WRONG = "right", "wrong"
KINK = "not differentiable here"
NOISE = "too noisy to tell"
NOT_FINITE = "not finite"
Value = Callable[[], "tuple[Any, Any] | None"]
"""φ and the sum of the magnitudes of its terms, at the present values of inputs and parameters."""
RATIO = 4.0
"""Each step is this much shorter than the one before."""


class GradientError(NumpymlError, AssertionError):
    """A gradient that :func:`gradcheck` could not confirm."""


@dataclass(frozen=True)
class GradcheckEntry:
    """The result for one input or parameter.

    ``error`` is that of the directional derivative ⟨g, v⟩, relative to its value; ``order`` is the observed order of
    the Taylor remainder φ(x + hv) − φ(x) − h⟨g, v⟩: 2 for a right gradient, 1 for a wrong one, None where the
    remainder is nothing but rounding, as for a linear function.
    """

    name: str
    verdict: str
    error: float
    order: float | None

    @property
    def passed(self) -> bool:
        """Whether the gradient was confirmed."""
        return self.verdict == RIGHT


@dataclass(frozen=True)
class GradcheckReport:
    """One entry per input and per parameter. ``print`` shows which gradient is wrong, and its error."""

    entries: tuple[GradcheckEntry, ...]
    dtype: str

    @property
    def passed(self) -> bool:
        """Whether every gradient was confirmed."""
        return all(entry.passed for entry in self.entries)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        width = max([len("checked"), *(len(entry.name) for entry in self.entries)])
        lines = [f"{'checked':{width}}  error     order  verdict"]
        for entry in self.entries:
            order = "linear" if entry.order is None else f"{entry.order:.1f}"
            lines.append(f"{entry.name:{width}}  {entry.error:<8.1e}  {order:6} {entry.verdict}")
        if self.dtype != "float64":
            lines.append(f"evaluated in {self.dtype}, which shows errors above about 0.1 %; float64 shows far less")
        return "\n".join(lines)

    def raise_if_failed(self) -> GradcheckReport:
        """Raise a :class:`GradientError` that shows the report, unless every gradient was confirmed."""
        if not self.passed:
            names = ", ".join(entry.name for entry in self.entries if not entry.passed)
            raise GradientError(
                f"gradcheck expected to confirm every gradient, could not for {names}; "
                f"correct a pullback that is wrong, else pass other inputs\n{self}"
            )
        return self


def gradcheck(function: Callable[..., Any], *inputs: Any, seed: int = 0) -> GradcheckReport:
    """Compare the gradients of a module, or of a function on Tensors, with its values.

    Args:
        function: a module or function; Tensors in, a Tensor or several out, of any shape. It must give the same values
            each time it is called (fix the generator of a random one).
        inputs: arrays. Those of floats are checked; integers, booleans and anything else are passed on as they are.
        seed: of the random directions and cotangent.

    Everything is evaluated in float64, except for a module whose parameters are of another dtype.
    Parameters and their gradients are restored afterwards, bit for bit.

    Raises:
        DTypeError: when no input is floating and no parameter requires a gradient, or when the function returns
            something other than Tensors: there is no gradient to check then.
        GradientError: when two calls with the same inputs give different values.
    """
    generator = np.random.default_rng(seed)
    parameters = {name: p for name, p in _parameters(function) if p.requires_grad}
    dtype = np.result_type(*(p.data.dtype for p in parameters.values())) if parameters else np.dtype(np.float64)
    arguments = [_argument(x, dtype) for x in inputs]
    floats = {f"input {i}": x for i, x in enumerate(arguments) if isinstance(x, np.ndarray) and x.dtype.kind == "f"}

    if not (floats or parameters):
        raise DTypeError(
            "gradcheck expected at least one floating input or parameter that requires a gradient, got "
            f"{', '.join(map(kind_of, arguments)) or 'no inputs'}; pass floats, as with x.astype(float)"
        )

    with _restored(function):
        gradients, cotangents = _gradients(function, arguments, floats, parameters, generator)
        value = partial(_value, function, arguments, cotangents)
        first, second = value(), value()
        if first is None or second is None or not np.array_equal(first[0], second[0], equal_nan=True):
            raise GradientError(
                "gradcheck expected the same values each time, got others the second time; fix the seed of the function"
            )
        checked = floats | {name: p.data for name, p in parameters.items()}
        entries = tuple(_settle(name, x, gradients[name], first, value, generator) for name, x in checked.items())
    return GradcheckReport(entries, str(dtype))


def _parameters(function: Any) -> list[tuple[str, Any]]:
    return list(function.named_parameters()) if hasattr(function, "named_parameters") else []


def _argument(x: Any, dtype: np.dtype[Any]) -> Any:
    """A float array as a copy that may be written to; everything else as it is."""
    if isinstance(x, Tensor):
        x = x.data
    if isinstance(x, float):
        x = np.asarray(x)
    if isinstance(x, (np.ndarray, np.generic)):
        x = np.array(x, dtype if x.dtype.kind == "f" else x.dtype)
    return x


@contextmanager
def _restored(function: Any) -> Iterator[None]:
    """Restore parameters, gradients and buffers on leaving the block."""
    arrays = [a for _, p in _parameters(function) for a in (p.data, p.grad) if a is not None]
    arrays += function.buffers() if hasattr(function, "buffers") else []
    saved = [a.copy() for a in arrays]
    try:
        yield
    finally:
        for a, before in zip(arrays, saved, strict=True):
            a[...] = before


def _outputs(function: Callable[..., Any], arguments: Sequence[Any], leaves: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs of the function; ``leaves`` replace the arguments that are differentiated."""
    inputs = [leaves.get(f"input {i}", Tensor(x) if isinstance(x, np.ndarray) else x) for i, x in enumerate(arguments)]
    y = function(*inputs)
    outputs = list(y) if isinstance(y, (list, tuple)) else [y]
    for output in outputs:
        if not isinstance(output, Tensor):
            raise DTypeError(
                f"gradcheck expected the function to return Tensors, got {kind_of(output)}; "
                "compute with NumPy's functions on its arguments, not on their data"
            )
    return outputs


def _value(
    function: Callable[..., Any], arguments: Sequence[Any], cotangents: Sequence[Array]
) -> tuple[Any, Any] | None:
    """φ, and the sum of the magnitudes of its terms; None where the outputs have other shapes."""
    with tape.no_grad(), np.errstate(all="ignore"):
        outputs = _outputs(function, arguments, {})
        if [y.shape for y in outputs] != [c.shape for c in cotangents]:
            return None
        terms = [np.asarray(c * y.data, np.float64) for c, y in zip(cotangents, outputs, strict=True)]
    return np.float64(sum(t.sum() for t in terms)), np.float64(sum(np.abs(t).sum() for t in terms))


def _gradients(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    floats: Mapping[str, Array],
    parameters: Mapping[str, Any],
    generator: np.random.Generator,
) -> tuple[dict[str, Array], list[Array]]:
    """The gradient of each input and parameter, and the random cotangents of the outputs."""
    leaves = {name: Tensor(x.copy(), requires_grad=True) for name, x in floats.items()}
    for p in parameters.values():
        p.zero_grad()
    outputs = _outputs(function, arguments, leaves)
    cotangents = [generator.standard_normal(y.shape).astype(y.dtype) for y in outputs]
    recorded = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.node is not None or y.requires_grad]
    tape.backward([y for y, _ in recorded], [c for _, c in recorded])
    grads = {name: t.grad for name, t in leaves.items()} | {name: p.grad for name, p in parameters.items()}
    shapes = {name: x.shape for name, x in leaves.items()} | {name: p.shape for name, p in parameters.items()}
    return {
        name: np.zeros(shapes[name]) if g is None else g.astype(np.float64) for name, g in grads.items()
    }, cotangents


def _settle(
    name: str, x: Array, g: Array, start: tuple[Any, Any], value: Value, generator: np.random.Generator
) -> GradcheckEntry:
    """The entry of the first of three random directions that is not too noisy."""
    for _ in range(3):
        entry = _check(name, x, g, start, value, generator)
        if entry.verdict != NOISE:
            break
    return entry


def _check(
    name: str, x: Array, g: Array, start: tuple[Any, Any], value: Value, generator: np.random.Generator
) -> GradcheckEntry:
    """Compare differences along one random direction with the gradient there."""
    phi, size = start
    if not (np.isfinite(phi) and np.isfinite(g).all()):
        return GradcheckEntry(name, NOT_FINITE, np.nan, None)
    middle, epsilon = x.copy(), float(np.finfo(x.dtype).eps)
    v = _direction(middle.astype(np.float64), g, generator)
    steps: list[tuple[float, ...]] = []
    reshaped = False
    for h in RATIO ** -np.arange(1, 1 - np.log(epsilon) / np.log(RATIO) * 2 / 3):  # down to where rounding dominates
        x[...] = middle + h * v
        after, forward = value(), x.astype(np.float64) - middle  # the step as rounded
        x[...] = middle - h * v
        before, backward = value(), middle - x.astype(np.float64)
        if after is None or before is None:
            reshaped = True
            continue
        (phi_after, size_after), (phi_before, size_before) = after, before
        if np.isfinite(phi_after) and np.isfinite(phi_before):
            # The errors of the one-sided difference quotients, whose mean is E(h)
            errors = (phi_after - phi - (g * forward).sum()) / h, (phi - phi_before - (g * backward).sum()) / h
            expected = float((g * (forward + backward)).sum() / (2 * h))
            steps.append((h, *errors, expected, max(size, size_after, size_before)))
    x[...] = middle
    if reshaped and len(steps) < 4:
        return GradcheckEntry(name, KINK, np.nan, None)
    return GradcheckEntry(name, *_verdict(np.array(steps).reshape(-1, 5), float(np.abs(g * v).sum()), epsilon))


def _direction(x: Array, g: Array, generator: np.random.Generator) -> Array:
    """A random direction with a part along g, so that a gradient of the wrong length shows, too; about as long as x."""
    u = generator.standard_normal(x.shape)
    length = np.sqrt(np.mean(g * g)) if g.size else 0.0
    if length > 0:
        u = u + (1.0 if (u * g).sum() >= 0 else -1.0) * g / length
    typical = np.sqrt(np.mean(x * x)) if x.size else 0.0
    if not (np.isfinite(typical) and typical > 0):
        return np.asarray(u)
    return np.asarray(u * np.sqrt(typical * np.maximum(np.abs(x), 1e-3 * typical)))  # small elements move less


def _verdict(steps: Array, scale: float, epsilon: float) -> tuple[str, float, float | None]:
    """The verdict, the relative error and the observed order.

    A step is (h, error of the forward difference, of the backward difference, ⟨g, v⟩, magnitude of the terms of φ);
    scale is Σ |g v|.
    """
    if len(steps) < 4:
        return NOT_FINITE, np.nan, None
    h, ahead, behind, expected, magnitude = steps.T
    errors = (ahead + behind) / 2
    change = np.abs(np.diff(errors))
    measured = (change * h[1:])[-3:].max()  # the last changes are rounding of φ
    rounding = np.maximum(measured, epsilon * np.maximum(magnitude[1:], magnitude[:-1]))
    noise = rounding / h[1:] + 100 * epsilon * scale
    best = int(np.argmin(change + noise))
    error, uncertainty = abs(errors[1:][best]), float(change[best] + noise[best])
    size = max(abs(expected[1:][best]), abs(expected[1:][best] + errors[1:][best]))
    relative = float(error / size) if size > 0 else 0.0
    order = _order(np.abs(ahead), noise, h)

    jump = np.abs(ahead - behind)[1:]
    clear = np.flatnonzero(jump > 20 * noise)[-3:]  # the finest steps at which the jump is more than rounding
    if len(clear) == 3 and jump[clear[-1]] > 1e-4 * max(size, scale):
        ratios = jump[clear[1:]] / jump[clear[:-1]]
        if ratios.min() > 0.4 and not (clear[-1] < len(jump) - 1 and jump[clear[-1] + 1] < 0.25 * jump[clear[-1]]):
            return KINK, relative, order
    if error > 5 * uncertainty:
        return WRONG, relative, order
    # A gradient far below the rounding of φ, such as that of a constant sum, is as right as can be measured.
    if 5 * uncertainty > max(1e-2 * size, 1e-2 * scale, np.sqrt(epsilon) * magnitude[-1]):
        return NOISE, relative, order
    return RIGHT, relative, order


def _order(errors: Array, noise: Array, h: Array) -> float | None:
    """The order of the remainder in h, fitted to the smallest steps at which rounding does not dominate."""
    clear = np.flatnonzero(errors[1:] > 20 * noise) + 1
    if len(clear) < 2:
        return None
    last = clear[-3:]
    return 1 + float(np.polyfit(np.log(h[last]), np.log(errors[last]), 1)[0])
