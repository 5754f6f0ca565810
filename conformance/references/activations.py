"""References of activations: values and gradients."""

from __future__ import annotations

import numpy as np

from conformance.references.arithmetic import PI, Wide, difference, sigmoid, times, total
from conformance.references.kinds import Arrays, Function, Mask, ModuleReference, Options, named
from numpyml.typing import Array


def activation(value: Function, partial: Function) -> ModuleReference:
    """An elementwise function of one input, and its derivative."""
    return ModuleReference(
        lambda _, inputs, __, gy, ___: named(inputs, *(f(*inputs.values()) * g for f, g in ((value, 1), (partial, gy))))
    )


def gaussian(t: Array) -> Array:
    """e^(−t²/2) as e^(−h²/2) e^(−(t − h)(t + h)/2), where h² is exact; |t| is at most 200, where it underflows."""
    t = np.clip(t, -200, 200)
    h = t.astype(np.float32).astype(Wide)
    return np.exp(-h * h / 2) * np.exp(-(t - h) * (t + h) / 2)


def normal(x: Array) -> Array:
    """The normal distribution function Φ(x).

    For |x| < 1, ½ ± φ Σ x^(2k+1)/(2k+1)!!. Else the trapezoidal rule in steps of h for the integral of
    e^(−v²) / (v² + z²), z = |x|/√2, with the residue of the pole at iz.
    """
    t, h = np.absolute(x), Wide(0.4)
    small, z = np.minimum(t, 1), np.clip(t, 1, 200) / np.sqrt(Wide(2))
    term, series = small, small
    for k in range(1, 30):
        term = term * small * small / (2 * k + 1)
        series = series + term
    integral = sum(np.exp(-((k * h) ** 2)) / ((k * h) ** 2 + z * z) for k in range(1, 20))
    residue = np.where(z < PI / h, 1 / np.expm1(2 * PI * np.minimum(z, PI / h) / h), 0)
    beyond = gaussian(t) * h * z / PI * (1 / (2 * z * z) + integral) - residue
    tail = np.where(t < 1, Wide(0.5) - gaussian(t) / np.sqrt(2 * PI) * series, beyond)
    return np.where(x < 0, tail, 1 - tail)


@ModuleReference
def gelu(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    near = np.clip(x, -1e9, 1e9)  # 0 · ∞ otherwise, where Φ is 0
    if options["approximate"] == "none":
        return named(inputs, times(normal(x), x), gy * (normal(x) + near * gaussian(x) / np.sqrt(2 * PI)))
    root, cubic = np.sqrt(8 / PI), Wide(44715) / 1_000_000
    u, by_x = root * (near + cubic * near**3), root * (1 + 3 * cubic * near**2)
    return named(inputs, times(sigmoid(u), x), gy * (sigmoid(u) + near * sigmoid(u) * sigmoid(-u) * by_x))


PAIRWISE = 64


@ModuleReference
def softmax(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """gx = y (gy − Σ gy y). Up to 64 elements, gy − Σ gy y is Σⱼ yⱼ (gy − gyⱼ): equal gradients cancel exactly."""
    y, _ = distribution(options, inputs)
    y, g = (np.moveaxis(np.atleast_1d(a), options["dim"], -1) for a in (y, gy))
    if y.shape[-1] <= PAIRWISE:
        difference_of_g = total(y[..., None, :] * (g[..., :, None] - g[..., None, :]), -1)
    else:
        difference_of_g = g - total(g * y, -1, keepdims=True)
    return named(inputs, *(np.moveaxis(a, -1, options["dim"]).reshape(gy.shape) for a in (y, y * difference_of_g)))


@ModuleReference
def log_softmax(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, _: Mask | None) -> dict[str, Array]:
    """gx = gy − y Σ gy, y = eᶻ / Σ eᶻ."""
    y, log_y = distribution(options, inputs)
    g = np.atleast_1d(gy)
    gx = g - y * total(g, options["dim"], keepdims=True)
    return named(inputs, *(a.reshape(gy.shape) for a in (log_y, gx)))


def distribution(options: Options, inputs: Arrays) -> tuple[Array, Array]:
    """Softmax and its logarithm along the axis; the sum 1 + rest leaves out the largest term, which is 1."""
    (x,) = map(np.atleast_1d, inputs.values())
    axis = options["dim"]
    if not x.size:
        return x, x
    top = np.expand_dims(x.argmax(axis), axis)
    d, lost = difference(x, np.take_along_axis(x, top, axis))
    e = np.exp(d) * (1 + lost)
    rest = e.copy()
    np.put_along_axis(rest, top, 0 * np.take_along_axis(e, top, axis), axis)
    rest = total(rest, axis, keepdims=True)
    return e / (1 + rest), d - (np.log1p(rest) - lost)
