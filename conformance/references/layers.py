"""References of layers: outputs and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.references.arithmetic import Wide, total, wide
from conformance.references.kinds import Arrays, Mask, ModuleReference, Options, masked, named
from numpyml.typing import Array


@ModuleReference
def flatten(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    shape = x.shape or (1,)
    start, end = (options.get(name, default) % len(shape) for name, default in (("start_dim", 1), ("end_dim", -1)))
    middle = np.prod(shape[start : end + 1], dtype=int)
    return named(inputs, x.reshape(*shape[:start], middle, *shape[end + 1 :]), gy.reshape(x.shape))


@masked
def dropout(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    if mask is None:
        return named(inputs, x, gy)
    scale = wide(mask(options["p"], x.shape))
    return named(inputs, x * scale, gy * scale)


@ModuleReference
def linear(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """y = xWᵀ + b: gx = gy·W, gW = Σ gyᵀx over the rows, gb = Σ gy."""
    (x,), weight = inputs.values(), parameters["weight"]
    rows = int(np.prod(x.shape[:-1]))
    xs, gys = x.reshape(rows, x.shape[-1]), gy.reshape(rows, gy.shape[-1])
    answers = named(inputs, x @ weight.T + parameters.get("bias", 0), gy @ weight)
    answers["gradient of weight"] = gys.T @ xs
    return answers | ({"gradient of bias": total(gys, 0)} if "bias" in parameters else {})


def normalized(options: Options, x: Array) -> tuple[tuple[int, ...], int]:
    """The normalized axes, and the number of elements along them."""
    shape = options["normalized_shape"]
    axes = tuple(range(x.ndim - (1 if isinstance(shape, int) else len(shape)), x.ndim))
    return axes, int(np.prod([x.shape[i] for i in axes]))


def with_parameters(answers: Any, parameters: Arrays, axes: tuple[int, ...], **gradients: Array) -> dict[str, Array]:
    """The answers and the gradients of the parameters that exist, summed over all other axes."""
    others = range(next(iter(gradients.values())).ndim - len(axes))
    summed = {name: total(g, tuple(others)) for name, g in gradients.items() if name in parameters}
    return answers | {f"gradient of {name}": g for name, g in summed.items()}


@ModuleReference
def layer_norm(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """x̂ = (x − μ) / √(σ² + ε); the gradient removes the mean and the part along x̂, and divides by √(σ² + ε)."""
    (x,) = inputs.values()
    axes, n = normalized(options, x)
    d = x - total(x, axes, keepdims=True) / n
    s = np.sqrt(total(d * d, axes, keepdims=True) / n + Wide(options["eps"]))
    h = gy * parameters.get("weight", 1)
    gx = h / s - total(h / s, axes, keepdims=True) / n - d * (total(h * d, axes, keepdims=True) / n / s**3)
    answers = named(inputs, d / s * parameters.get("weight", 1) + parameters.get("bias", 0), gx)
    return with_parameters(answers, parameters, axes, weight=gy * d / s, bias=gy)


@ModuleReference
def rms_norm(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """y = w x / r with r = √(mean x² + ε)."""
    (x,) = inputs.values()
    axes, n = normalized(options, x)
    r = np.sqrt(total(x * x, axes, keepdims=True) / n + Wide(options["eps"]))
    h = gy * parameters.get("weight", 1)
    gx = h / r - x / r * (total(h * (x / r), axes, keepdims=True) / n / r)
    answers = named(inputs, x / r * parameters.get("weight", 1), gx)
    return with_parameters(answers, parameters, axes, weight=gy * (x / r))


@ModuleReference
def embedding(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """Rows of the table, scaled down to max_norm first; the gradient of a row is the sum over its uses."""
    (ids,), weight = inputs.values(), parameters["weight"].copy()
    used, counts = np.unique(ids, return_counts=True)
    if options["max_norm"] is not None:
        for i in used:
            size = np.linalg.norm(weight[i], options["norm_type"])
            if size > options["max_norm"]:
                weight[i] *= Wide(options["max_norm"]) / (size + Wide(1e-7))
    gradient = np.zeros_like(weight)
    padding = options["padding_idx"]
    for i, count in zip(used, counts, strict=True):
        if padding is None or i != padding % len(weight):
            rows = gy[ids == i]
            gradient[i] = total(rows, 0) / (count if options["scale_grad_by_freq"] else 1)
    return {"output": weight[ids], "output, weight after the call": weight, "gradient of weight": gradient}
