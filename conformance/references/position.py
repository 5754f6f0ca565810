"""References of position encodings: outputs and gradients."""

from __future__ import annotations

import numpy as np

from conformance.references.arithmetic import Wide, total
from conformance.references.kinds import Arrays, Mask, ModuleReference, Options, named
from numpyml.typing import Array


def angles(dim: int, base: float, positions: Array) -> Array:
    """p base^(−2i / dim), (*positions.shape, ⌈dim / 2⌉)."""
    return positions[..., np.newaxis].astype(Wide) * Wide(base) ** (-np.arange(0, dim, 2).astype(Wide) / dim)


def at(options: Options, inputs: Arrays) -> Array:
    """The position of each vector of the first input, in the order of its axes."""
    x, *positions = inputs.values()
    length_first = x.ndim == 3 and not options["batch_first"]
    p = positions[0] if positions else np.arange(x.shape[0 if length_first else -2])
    return np.broadcast_to(p, x.shape[1::-1]).T if length_first else np.broadcast_to(p, x.shape[:-1])


@ModuleReference
def sinusoidal(options: Options, inputs: Arrays, _: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    x, *_positions = inputs.values()
    angle = np.repeat(angles(options["d_model"], 10000, at(options, inputs)), 2, axis=-1)[..., : options["d_model"]]
    even = np.arange(options["d_model"]) % 2 == 0
    return named(inputs, x + np.where(even, np.sin(angle), np.cos(angle)), gy)


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
    theta = angles(options["dim"], options["base"], positions[0] if positions else np.arange(x.shape[-2]))
    order = np.arange(options["dim"])
    first, second = order.reshape(-1, 2).T if options["interleaved"] else order.reshape(2, -1)

    def rotated(v: Array, theta: Array) -> Array:
        w = np.empty_like(v)
        w[..., first] = np.cos(theta) * v[..., first] - np.sin(theta) * v[..., second]
        w[..., second] = np.sin(theta) * v[..., first] + np.cos(theta) * v[..., second]
        return w

    return named(inputs, rotated(x, theta), rotated(gy, -theta))
