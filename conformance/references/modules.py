"""Modules, by PyTorch's names: what each computes and every gradient, from simple to hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.references.arithmetic import PI, Wide, difference, times, total, wide
from numpyml.typing import Array

Options = Mapping[str, Any]
Arrays = Mapping[str, Array]
Function = Callable[..., Any]
Mask = Callable[[float, tuple[int, ...]], Array]  # rate, shape -> what Dropout multiplies with


@dataclass(frozen=True)
class ModuleReference:
    """The output, and the gradient of every floating input and of every parameter, by name.

    ``mask`` tells what Dropout multiplies with; None where it passes everything.
    """

    compute: Callable[[Options, Arrays, Arrays, Array, Mask | None], dict[str, Array]]
    how: str = "formula in extended precision"

    def __call__(
        self, options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None = None
    ) -> dict[str, Array]:
        with np.errstate(all="ignore"):
            inputs = {name: wide(x) if x.dtype.kind == "f" else x for name, x in inputs.items()}
            return self.compute(options, inputs, {name: wide(x) for name, x in parameters.items()}, wide(gy), mask)


def named(inputs: Arrays, output: Any, *gradients: Any) -> dict[str, Array]:
    """The output and the inputs' gradients, as they are handed back."""
    found = {f"gradient of {name}": wide(g) for name, g in zip(inputs, gradients, strict=False)}
    return {"output": wide(output)} | found


# Layers and activations


def flatten(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    shape = x.shape or (1,)
    start, end = (options.get(name, default) % len(shape) for name, default in (("start_dim", 1), ("end_dim", -1)))
    middle = np.prod(shape[start : end + 1], dtype=int)
    return named(inputs, x.reshape(*shape[:start], middle, *shape[end + 1 :]), gy.reshape(x.shape))


def dropout(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    if mask is None:
        return named(inputs, x, gy)
    kept = wide(mask(options["p"], x.shape))
    return named(inputs, x * kept, gy * kept)


def linear(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """y = xWᵀ + b: gx = gy·W, gW = Σ gyᵀx over the rows, gb = Σ gy."""
    (x,), weight = inputs.values(), parameters["weight"]
    rows = int(np.prod(x.shape[:-1]))
    xs, gys = x.reshape(rows, x.shape[-1]), gy.reshape(rows, gy.shape[-1])
    found = named(inputs, x @ weight.T + parameters.get("bias", 0), gy @ weight)
    found["gradient of weight"] = gys.T @ xs
    return found | ({"gradient of bias": total(gys, 0)} if "bias" in parameters else {})


def normalized(options: Options, x: Array) -> tuple[tuple[int, ...], int]:
    """The normalised axes, and how many elements they hold."""
    shape = options["normalized_shape"]
    axes = tuple(range(x.ndim - (1 if isinstance(shape, int) else len(shape)), x.ndim))
    return axes, int(np.prod([x.shape[i] for i in axes]))


def by_parameters(found: Any, parameters: Arrays, axes: tuple[int, ...], **gradients: Array) -> dict[str, Array]:
    """What was found, and of the parameters that are there the gradients, summed over all other axes."""
    others = range(next(iter(gradients.values())).ndim - len(axes))
    summed = {name: total(g, tuple(others)) for name, g in gradients.items() if name in parameters}
    return found | {f"gradient of {name}": g for name, g in summed.items()}


def layer_norm(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """x̂ = (x − μ) / √(σ² + ε): its Jacobian takes out the mean and the part along x̂, and divides by √(σ² + ε)."""
    (x,) = inputs.values()
    axes, n = normalized(options, x)
    d = x - total(x, axes, keepdims=True) / n
    s = np.sqrt(total(d * d, axes, keepdims=True) / n + Wide(options["eps"]))
    h = gy * parameters.get("weight", 1)
    gx = h / s - total(h / s, axes, keepdims=True) / n - d * (total(h * d, axes, keepdims=True) / n / s**3)
    found = named(inputs, d / s * parameters.get("weight", 1) + parameters.get("bias", 0), gx)
    return by_parameters(found, parameters, axes, weight=gy * d / s, bias=gy)


def rms_norm(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """y = w x / r with r = √(mean x² + ε)."""
    (x,) = inputs.values()
    axes, n = normalized(options, x)
    r = np.sqrt(total(x * x, axes, keepdims=True) / n + Wide(options["eps"]))
    h = gy * parameters.get("weight", 1)
    gx = h / r - x / r * (total(h * (x / r), axes, keepdims=True) / n / r)
    found = named(inputs, x / r * parameters.get("weight", 1), gx)
    return by_parameters(found, parameters, axes, weight=gy * (x / r))


def attention(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """P = softmax(s QKᵀ + M), y = P V. Of a score, gSᵢ = Pᵢ Σⱼ Pⱼ (gPᵢ − gPⱼ), in which 1 never cancels."""
    Q, K, V, *_ = inputs.values()
    shared = Q.shape[-3] // K.shape[-3] if options["enable_gqa"] else 1
    if shared > 1:
        K, V = (np.repeat(x, shared, -3) for x in (K, V))
    s = 1 / np.sqrt(Wide(Q.shape[-1])) if options["scale"] is None else Wide(options["scale"])
    S = s * (Q @ K.swapaxes(-1, -2))
    M = inputs.get("x3", options.get("attn_mask"))
    if options["is_causal"]:
        M = np.tril(np.ones(S.shape[-2:], bool))
    if M is not None:
        S = S + (np.where(M, Wide(0), -Wide(np.inf)) if M.dtype == bool else wide(M))
    largest = S.max(axis=-1, keepdims=True)
    E = np.exp(S - np.where(largest == -np.inf, 0, largest))
    sums = total(E, (-1,), keepdims=True)
    P = E / np.where(sums == 0, 1, sums)
    kept = np.ones_like(P) if mask is None else wide(mask(options["dropout_p"], P.shape))
    gP = (gy @ V.swapaxes(-1, -2)) * kept
    gS = P * total(P[..., np.newaxis, :] * (gP[..., :, np.newaxis] - gP[..., np.newaxis, :]), (-1,))
    gK, gV = s * (gS.swapaxes(-1, -2) @ Q), (P * kept).swapaxes(-1, -2) @ gy
    if shared > 1:
        gK, gV = (
            total(g.reshape(*g.shape[:-3], g.shape[-3] // shared, shared, *g.shape[-2:]), (-3,)) for g in (gK, gV)
        )
    gM = []
    if "x3" in inputs:
        shape = (1,) * (gS.ndim - inputs["x3"].ndim) + inputs["x3"].shape
        copied = tuple(i for i, n in enumerate(shape) if n == 1)
        gM = [total(gS, copied, keepdims=True).reshape(inputs["x3"].shape)]
    return named(inputs, (P * kept) @ V, s * (gS @ K), gK, gV, *gM)


def embedding(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """Rows of the table, those above max_norm scaled down first; a gradient goes back to the row it came from."""
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


def angles(dim: int, base: float, places: Array) -> Array:
    """p base^(−2i / dim), (*places.shape, ⌈dim / 2⌉)."""
    return places[..., np.newaxis].astype(Wide) * Wide(base) ** (-np.arange(0, dim, 2).astype(Wide) / dim)


def at(options: Options, inputs: Arrays) -> Array:
    """The place of each vector of the first input, in the layout of that."""
    x, *told = inputs.values()
    length_first = x.ndim == 3 and not options["batch_first"]
    places = told[0] if told else np.arange(x.shape[0 if length_first else -2])
    return np.broadcast_to(places, x.shape[1::-1]).T if length_first else np.broadcast_to(places, x.shape[:-1])


def sinusoidal(options: Options, inputs: Arrays, _: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    x, *_told = inputs.values()
    waves = np.repeat(angles(options["d_model"], 10000, at(options, inputs)), 2, axis=-1)[..., : options["d_model"]]
    even = np.arange(options["d_model"]) % 2 == 0
    return named(inputs, x + np.where(even, np.sin(waves), np.cos(waves)), gy)


def learned(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    x, *_told = inputs.values()
    places, weight = at(options, inputs), parameters["weight"]
    gradient = np.stack([total(gy[places == i], 0) for i in range(len(weight))])
    return named(inputs, x + weight[places], gy) | {"gradient of weight": gradient}


def rotary(options: Options, inputs: Arrays, _: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """Each pair is turned by an angle, its gradient back by the same."""
    x, *told = inputs.values()
    theta = angles(options["dim"], options["base"], told[0] if told else np.arange(x.shape[-2]))
    order = np.arange(options["dim"])
    first, second = order.reshape(-1, 2).T if options["interleaved"] else order.reshape(2, -1)

    def turned(v: Array, theta: Array) -> Array:
        w = np.empty_like(v)
        w[..., first] = np.cos(theta) * v[..., first] - np.sin(theta) * v[..., second]
        w[..., second] = np.sin(theta) * v[..., first] + np.cos(theta) * v[..., second]
        return w

    return named(inputs, turned(x, theta), turned(gy, -theta))


def activation(value: Function, partial: Function) -> ModuleReference:
    """An elementwise function of one input, and its derivative."""
    return ModuleReference(
        lambda _, inputs, __, gy, ___: named(inputs, *(f(*inputs.values()) * g for f, g in ((value, 1), (partial, gy))))
    )


def gaussian(t: Array) -> Array:
    """e^(−t²/2): of t² = h² + (t − h)(t + h) the first is exact, t beyond all exponents aside."""
    t = np.clip(t, -200, 200)
    h = t.astype(np.float32).astype(Wide)
    return np.exp(-h * h / 2) * np.exp(-(t - h) * (t + h) / 2)


def normal(x: Array) -> Array:
    """Φ(x). |x| < 1: ½ ± φ Σ x^(2k+1)/(2k+1)!!. Beyond, the trapezoidal rule on the integral of a Gaussian over
    v² + z², z = |x|/√2, in steps of h, with the residue of the pole at iz that the steps are too wide for."""
    t, h = np.absolute(x), Wide(0.4)
    small, z = np.minimum(t, 1), np.clip(t, 1, 200) / np.sqrt(Wide(2))
    term, series = small, small
    for k in range(1, 30):
        term = term * small * small / (2 * k + 1)
        series = series + term
    waves = sum(np.exp(-((k * h) ** 2)) / ((k * h) ** 2 + z * z) for k in range(1, 20))
    residue = np.where(z < PI / h, 1 / np.expm1(2 * PI * np.minimum(z, PI / h) / h), 0)
    beyond = gaussian(t) * h * z / PI * (1 / (2 * z * z) + waves) - residue
    tail = np.where(t < 1, Wide(0.5) - gaussian(t) / np.sqrt(2 * PI) * series, beyond)
    return np.where(x < 0, tail, 1 - tail)


def gelu(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    (x,) = inputs.values()
    near = np.clip(x, -1e9, 1e9)  # 0 · ∞ otherwise, where the gate is shut
    if options["approximate"] == "none":
        return named(inputs, times(normal(x), x), gy * (normal(x) + near * gaussian(x) / np.sqrt(2 * PI)))
    root, cubic = np.sqrt(8 / PI), Wide(44715) / 1_000_000
    u, slope = root * (near + cubic * near**3), root * (1 + 3 * cubic * near**2)
    return named(inputs, times(sigmoid(u), x), gy * (sigmoid(u) + near * sigmoid(u) * sigmoid(-u) * slope))


PARTED = 64


def softmax(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, mask: Mask | None) -> dict[str, Array]:
    """gx = y (gy − Σ gy y), in which gy − Σ gy y is Σⱼ yⱼ (gy − gyⱼ): equal ones cancel before they are summed, where
    there are few enough to part them all."""
    y, _ = distribution(options, inputs)
    y, g = (np.moveaxis(np.atleast_1d(a), options["dim"], -1) for a in (y, gy))
    if y.shape[-1] <= PARTED:
        apart = total(y[..., None, :] * (g[..., :, None] - g[..., None, :]), -1)
    else:
        apart = g - total(g * y, -1, keepdims=True)
    return named(inputs, *(np.moveaxis(a, -1, options["dim"]).reshape(gy.shape) for a in (y, y * apart)))


def log_softmax(options: Options, inputs: Arrays, parameters: Arrays, gy: Array, _: Mask | None) -> dict[str, Array]:
    """gx = gy − y Σ gy, y = eᶻ / Σ eᶻ."""
    y, log_y = distribution(options, inputs)
    g = np.atleast_1d(gy)
    gx = g - y * total(g, options["dim"], keepdims=True)
    return named(inputs, *(a.reshape(gy.shape) for a in (log_y, gx)))


def distribution(options: Options, inputs: Arrays) -> tuple[Array, Array]:
    """Softmax and its logarithm, along the axis; the largest is left out of the sum, since it is 1."""
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


# Losses. o: outputs, t: targets


def loss(value: Function, by_output: Function, by_target: Function, *uses: str) -> ModuleReference:
    """An elementwise loss and its two derivatives, each of (o, t, the options it uses), then weighted and reduced."""

    def compute(options: Options, inputs: Arrays, _: Arrays, gy: Array, __: Mask | None) -> dict[str, Array]:
        o, t = inputs.values()
        given = [or_one(options, name) for name in uses]
        weight = or_one(options, "weight")
        y, *partials = (times(weight, f(o, t, *given)) for f in (value, by_output, by_target))
        output, share = reduced(y, wide(y.size), options.get("reduction", "mean"))
        return named(inputs, output, *(gy * share * partial for partial in partials))

    return ModuleReference(compute)


def or_one(options: Options, name: str) -> Array:
    return wide(1 if options.get(name) is None else options[name])


def reduced(y: Array, divisor: Array, reduction: str) -> tuple[Array, Array]:
    """The loss, and the part that each element has in it. A mean over nothing is NaN."""
    if reduction == "none":
        return y, wide(1)
    share = np.where(divisor == 0, np.nan, 1 / divisor) if reduction == "mean" else wide(1)
    return total(y) * share, share


def huber(o: Array, t: Array, delta: Array) -> Array:
    d = np.absolute(o - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def huber_by_output(o: Array, t: Array, delta: Array) -> Array:
    return np.clip(o - t, -delta, delta)


def log1p_exp(x: Array) -> Array:
    """log(1 + exp(x)), at any x: minus the log of what is left beside a sigmoid."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def binary(o: Array, t: Array, pos_weight: Array) -> Array:
    """−w t log σ(o) − (1 − t) log(1 − σ(o))."""
    return times(pos_weight * t, log1p_exp(-o)) + times(1 - t, log1p_exp(o))


def binary_by_output(o: Array, t: Array, pos_weight: Array) -> Array:
    return (1 - t) * sigmoid(o) - pos_weight * t * sigmoid(-o)


def binary_by_target(o: Array, t: Array, pos_weight: Array) -> Array:
    """log(1 − σ) − w log σ, in which o stands alone: w = 1 leaves −o."""
    return (pos_weight - 1) * np.log1p(np.exp(-np.absolute(o))) - times(np.where(o < 0, pos_weight, 1), o)


def cross_entropy(options: Options, inputs: Arrays, _: Arrays, gy: Array, __: Mask | None) -> dict[str, Array]:
    """−Σ q log p over the classes: p = softmax(o), and q what is wanted of each class, times the class's weight.

    The gradient p Σq − q is, class by class, p·(the q of all others) − q·(the p of all others): no 1 − p anywhere.
    """
    o, t = inputs.values()
    axis = min(1, o.ndim - 1)
    logits = np.moveaxis(o, axis, -1)
    rows, classes = logits.shape[:-1], logits.shape[-1]
    weight = np.broadcast_to(or_one(options, "weight"), classes)
    smoothing = Wide(options.get("label_smoothing", 0))
    soft = t.dtype.kind == "f"
    counted = np.ones(rows, bool) if soft else t != options.get("ignore_index", -100)
    wanted = np.moveaxis(t, axis, -1) if soft else np.eye(classes, dtype=Wide)[np.where(counted, t, 0)]
    divisor = wide(counted.size) if soft else total(wanted[counted] @ weight)
    q = weight * ((1 - smoothing) * wanted + smoothing / classes) * counted[..., None]

    top = np.eye(classes, dtype=bool)[logits.argmax(-1)]
    d, lost = difference(logits, np.max(logits, -1, keepdims=True))
    d, lost = np.where(top, 0, d), np.where(top, 0, lost)  # 0 also where the largest logit is infinite
    e = np.exp(d) * (1 + lost)
    rest = total(np.where(top, 0, e), -1, keepdims=True)
    p, log_p = e / (1 + rest), d - np.log1p(rest)

    others = 1 - np.eye(classes, dtype=Wide)
    losses = np.where(counted, total(-times(q, log_p), -1), 0)
    output, share = reduced(losses, divisor, options.get("reduction", "mean"))
    share = np.where(counted, gy * share, 0)[..., None]
    by_logit = share * (p * (q @ others) - q * (p @ others))
    by_target = share * -times((1 - smoothing) * weight, log_p)
    return named(inputs, output, *(np.moveaxis(g, -1, axis) for g in ([by_logit, by_target] if soft else [by_logit])))


MODULES = {
    "nn.Flatten": ModuleReference(flatten),
    "counterparts.ScaledDotProductAttention": ModuleReference(
        attention, "formula in extended precision, under PyTorch's mask"
    ),
    "counterparts.SinusoidalPositionalEncoding": ModuleReference(sinusoidal),
    "counterparts.LearnedPositionalEncoding": ModuleReference(learned),
    "counterparts.RotaryPositionalEmbedding": ModuleReference(rotary),
    "nn.Dropout": ModuleReference(dropout, "formula in extended precision, under PyTorch's mask"),
    "nn.ReLU": activation(lambda x: np.where(x <= 0, 0, x), lambda x: np.where(x <= 0, 0, 1)),  # a NaN passes
    "nn.Sigmoid": activation(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "nn.Tanh": activation(np.tanh, lambda x: 4 * sigmoid(2 * x) * sigmoid(-2 * x)),
    "nn.SiLU": activation(
        lambda x: times(sigmoid(x), x),
        lambda x: sigmoid(x) * (1 + np.clip(x, -1e5, 1e5) * sigmoid(-x)),
    ),
    "nn.GELU": ModuleReference(gelu),
    "nn.Softmax": ModuleReference(softmax),
    "nn.LogSoftmax": ModuleReference(log_softmax),
    "nn.Linear": ModuleReference(linear),
    "nn.LayerNorm": ModuleReference(layer_norm),
    "nn.RMSNorm": ModuleReference(rms_norm),
    "nn.Embedding": ModuleReference(embedding),
    "nn.MSELoss": loss(lambda o, t: (o - t) ** 2, lambda o, t: 2 * (o - t), lambda o, t: 2 * (t - o)),
    "nn.HuberLoss": loss(huber, huber_by_output, lambda o, t, delta: huber_by_output(t, o, delta), "delta"),
    "nn.BCEWithLogitsLoss": loss(binary, binary_by_output, binary_by_target, "pos_weight"),
    "nn.CrossEntropyLoss": ModuleReference(cross_entropy),
}
