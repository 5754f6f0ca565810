"""References of position encodings: outputs and gradients."""

from __future__ import annotations

from functools import cache

import numpy as np

from conformance.references.arithmetic import Wide, total
from conformance.references.kinds import Arrays, Mask, ModuleReference, Options, named
from numpyml.typing import Array


def cosines_and_sines(dim: int, base: float, positions: Array) -> tuple[Array, Array]:
    """cos(p ω) and sin(p ω), ω = base^(−2i / dim): (*positions.shape, ⌈dim / 2⌉) each."""
    flat = [cosine_and_sine(int(p), i, dim, float(base)) for p in positions.ravel() for i in range(0, dim, 2)]
    both = np.array(flat, Wide).reshape(*positions.shape, (dim + 1) // 2, 2)
    return both[..., 0], both[..., 1]


@cache
def cosine_and_sine(p: int, i: int, dim: int, base: float) -> tuple[np.longdouble, np.longdouble]:
    """cos and sin of p base^(−i / dim). The angle has 40 digits: where the sine of a large one is small, extended
    precision would lose the last of float64."""
    import mpmath  # here: the rows are also listed where it is not installed

    with mpmath.workdps(40):
        both = mpmath.cos_sin(p * mpmath.mpf(base) ** (mpmath.mpf(-i) / dim))
        cosine, sine = (Wide(mpmath.nstr(x, 25)) for x in both)
    return cosine, sine


def at(options: Options, inputs: Arrays) -> Array:
    """The position of each vector of the first input, in the order of its axes."""
    x, *positions = inputs.values()
    length_first = x.ndim == 3 and not options["batch_first"]
    p = positions[0] if positions else np.arange(x.shape[0 if length_first else -2])
    return np.broadcast_to(p, x.shape[1::-1]).T if length_first else np.broadcast_to(p, x.shape[:-1])


@ModuleReference
def sinusoidal(options: Options, inputs: Arrays, _: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    x, *_positions = inputs.values()
    cosines, sines = cosines_and_sines(options["d_model"], 10000, at(options, inputs))
    encoding = np.stack([sines, cosines], axis=-1).reshape(*sines.shape[:-1], 2 * sines.shape[-1])
    return named(inputs, x + encoding[..., : options["d_model"]], gy)


@ModuleReference
def learned(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    x, *_positions = inputs.values()
    positions, weight = at(options, inputs), parameters["weight"]
    gradient = np.stack([total(gy[positions == i], 0) for i in range(len(weight))])
    return named(inputs, x + weight[positions], gy) | {"gradient of weight": gradient}


@ModuleReference
def rotary(options: Options, inputs: Arrays, _: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """Each pair is rotated by an angle, and its gradient back by the same angle."""
    x, *positions = inputs.values()
    c, s = cosines_and_sines(options["dim"], options["base"], positions[0] if positions else np.arange(x.shape[-2]))
    order = np.arange(options["dim"])
    first, second = order.reshape(-1, 2).T if options["interleaved"] else order.reshape(2, -1)

    def rotated(v: Array, s: Array) -> Array:
        w = np.empty_like(v)
        w[..., first] = c * v[..., first] - s * v[..., second]
        w[..., second] = s * v[..., first] + c * v[..., second]
        return w

    return named(inputs, rotated(x, s), rotated(gy, -s))
