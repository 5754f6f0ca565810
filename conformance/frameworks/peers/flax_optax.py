"""The adapter of JAX, flax and optax: functions and activations of JAX, layers of flax, losses and optimizers of optax.

JAX flushes numbers below the normal range to zero, so that none are offered. There is no single module with a mode or
a state: what flax has is a pure function of parameters and inputs, differentiated by ``jax.vjp``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
import optax
from flax import linen
from jax import numpy as jnp

from conformance.frameworks import NotOffered, Offer, make_from
from numpyml.typing import Array

jax.config.update("jax_enable_x64", True)

NAME = "JAX, flax and optax"
VERSIONS = {"jax": jax.__version__, "optax": optax.__version__}


# Functions

NAMESPACE = SimpleNamespace(**{name: getattr(jnp, name) for name in dir(jnp)})


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    def outputs(*xs: Any) -> Any:
        ys = function(*xs)
        return tuple(ys if isinstance(ys, (list, tuple)) else [ys])

    def both(xs: Any, gys: Any) -> Any:
        ys, vjp = jax.vjp(outputs, *xs)
        return ys, vjp(gys)

    ys, gxs = jax.jit(both)(tuple(operands), tuple(gys))
    return list(map(np.asarray, ys)), list(map(np.asarray, gxs))


# Layers, activations and losses: functions of the parameters, by PyTorch's names and shapes, and of the inputs


@dataclass
class Function:
    run: Callable[..., Any]
    own: dict[str, Array] = field(default_factory=dict)
    grads: dict[str, Array] = field(default_factory=dict)
    pullback: Any = None
    floating: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grads = {name: np.zeros_like(x) for name, x in self.own.items()}


def plain(function: Callable[..., Any]) -> Function:
    """A function without parameters."""
    return Function(lambda own, *inputs: function(*inputs))


def zeros(dtype: Any, **shapes: tuple[int, ...]) -> dict[str, Array]:
    return {name.replace("__", "."): np.zeros(shape, dtype) for name, shape in shapes.items()}


def dense(dtype: Any, in_features: int, out_features: int, bias: bool) -> Function:
    layer = linen.Dense(out_features, use_bias=bias, param_dtype=dtype)
    names = {"kernel": "weight", "bias": "bias"} if bias else {"kernel": "weight"}

    def run(own: Mapping[str, Any], x: Any) -> Any:
        return layer.apply({"params": {name: own[torch].T for name, torch in names.items()}}, x)

    return Function(
        run, zeros(dtype, weight=(out_features, in_features), **({"bias": (out_features,)} if bias else {}))
    )


def norm(layer: type[Any], dtype: Any, normalized_shape: Any, eps: float, affine: bool, **further: bool) -> Function:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    axes = tuple(range(-len(shape), 0))
    module = layer(epsilon=eps, use_scale=affine, reduction_axes=axes, feature_axes=axes, param_dtype=dtype, **further)
    names = {"scale": "weight"} if affine else {}
    names |= {"bias": "bias"} if further.get("use_bias") else {}

    def run(own: Mapping[str, Any], x: Any) -> Any:
        return module.apply({"params": {name: own[torch] for name, torch in names.items()}}, x)

    return Function(run, zeros(dtype, **dict.fromkeys(names.values(), shape)))


def layer_norm(dtype: Any, normalized_shape: Any, eps: float, elementwise_affine: bool, bias: bool) -> Function:
    return norm(linen.LayerNorm, dtype, normalized_shape, eps, elementwise_affine, use_bias=elementwise_affine and bias)


def rms_norm(dtype: Any, normalized_shape: Any, eps: float, elementwise_affine: bool) -> Function:
    return norm(linen.RMSNorm, dtype, normalized_shape, eps, elementwise_affine)


def embedding(dtype: Any, num_embeddings: int, embedding_dim: int) -> Function:
    layer = linen.Embed(num_embeddings, embedding_dim, param_dtype=dtype)
    return Function(
        lambda own, x: layer.apply({"params": {"embedding": own["weight"]}}, x),
        zeros(dtype, weight=(num_embeddings, embedding_dim)),
    )


def dropout(dtype: Any, p: float) -> Function:
    layer = linen.Dropout(p, deterministic=True)
    return plain(lambda x: layer.apply({}, x))


def attention(dtype: Any, embed_dim: int, num_heads: int, bias: bool, batch_first: bool) -> Function:
    each = num_heads, embed_dim // num_heads
    layer = linen.MultiHeadDotProductAttention(num_heads, use_bias=bias, param_dtype=dtype, deterministic=True)

    def run(own: Mapping[str, Any], query: Any, key: Any, value: Any, mask: Any = None) -> Any:
        names = ("query", "key", "value")
        weights = jnp.split(own["in_proj_weight"], 3)
        parameters: dict[str, dict[str, Any]] = {
            name: {"kernel": weight.T.reshape(embed_dim, *each)} for name, weight in zip(names, weights, strict=True)
        }
        parameters["out"] = {"kernel": own["out_proj.weight"].T.reshape(*each, embed_dim)}
        if bias:
            for name, b in zip(names, jnp.split(own["in_proj_bias"], 3), strict=True):
                parameters[name]["bias"] = b.reshape(each)
            parameters["out"]["bias"] = own["out_proj.bias"]
        return layer.apply({"params": parameters}, query, key, value, mask=mask)

    shapes: dict[str, tuple[int, ...]] = {"in_proj_weight": (3 * embed_dim, embed_dim)}
    shapes |= {"in_proj_bias": (3 * embed_dim,)} if bias else {}
    shapes |= {"out_proj__weight": (embed_dim, embed_dim)} | ({"out_proj__bias": (embed_dim,)} if bias else {})
    return Function(run, zeros(dtype, **shapes))


REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum, "none": lambda x: x}


def loss(function: Callable[..., Any]) -> Callable[..., Function]:
    """The maker of a loss that optax has element by element."""
    return lambda dtype, reduction: plain(lambda o, t: REDUCTIONS[reduction](function(o, t)))


def huber(dtype: Any, reduction: str, delta: float) -> Function:
    return loss(lambda o, t: optax.huber_loss(o, t, delta=delta))(dtype, reduction)


def cross_entropy(dtype: Any, reduction: str) -> Function:
    def of(logits: Any, targets: Any) -> Any:
        axis = min(1, logits.ndim - 1)
        if jnp.issubdtype(targets.dtype, jnp.floating):
            return optax.softmax_cross_entropy(logits, targets, axis)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets, axis)

    return loss(of)(dtype, reduction)


MODULES: dict[str, Callable[..., Any]] = {
    "nn.Linear": dense,
    "nn.LayerNorm": layer_norm,
    "nn.RMSNorm": rms_norm,
    "nn.Embedding": embedding,
    "nn.Dropout": dropout,
    "nn.MultiheadAttention": attention,
    "nn.ReLU": lambda dtype: plain(jax.nn.relu),
    "nn.Sigmoid": lambda dtype: plain(jax.nn.sigmoid),
    "nn.Tanh": lambda dtype: plain(jnp.tanh),
    "nn.SiLU": lambda dtype: plain(jax.nn.silu),
    "nn.GELU": lambda dtype, approximate: plain(lambda x: jax.nn.gelu(x, approximate == "tanh")),
    "nn.Softmax": lambda dtype, dim: plain(lambda x: jax.nn.softmax(x, dim)),
    "nn.LogSoftmax": lambda dtype, dim: plain(lambda x: jax.nn.log_softmax(x, dim)),
    "nn.MSELoss": loss(optax.squared_error),
    "nn.HuberLoss": huber,
    "nn.BCEWithLogitsLoss": loss(optax.sigmoid_binary_cross_entropy),
    "nn.CrossEntropyLoss": cross_entropy,
}


def compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """The output and the pullback of all floating inputs, compiled once for each shape."""

    def call(own: Mapping[str, Any], inputs: Sequence[Any], further: Mapping[str, Any]) -> Any:
        floating = [x for x in inputs if jnp.issubdtype(x.dtype, jnp.floating)]

        def of(own: Mapping[str, Any], *variables: Any) -> Any:
            rest = iter(variables)
            return run(own, *(next(rest) if any(x is y for y in floating) else x for x in inputs), **further)

        return jax.vjp(of, own, *floating)

    return cast("Callable[..., Any]", jax.jit(call))


pull = jax.jit(lambda pullback, gy: pullback(gy))
_compiled: dict[tuple[str, ...], Callable[..., Any]] = {}


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Function:
    made: Function = make_from(MODULES, component, options, dtype)
    key = component, repr(options), np.dtype(dtype).name
    if key not in _compiled:
        _compiled[key] = compiled(made.run)
    made.run = _compiled[key]
    return made


def forward(module: Function, *inputs: Array, **further: Any) -> Any:
    module.floating = [x.dtype.kind == "f" for x in inputs]
    mask = attention_mask(inputs, **further)
    y, module.pullback = module.run(module.own, inputs, {} if mask is None else {"mask": mask})
    return (np.asarray(y), None) if "need_weights" in further else np.asarray(y)


def attention_mask(
    inputs: Sequence[Array], attn_mask: Any = None, key_padding_mask: Any = None, is_causal: bool = False,
    need_weights: bool = False, average_attn_weights: bool = True,
) -> Any:  # fmt: skip
    """flax's mask, true where a query attends to a key, of PyTorch's."""
    if need_weights or is_causal:
        raise NotOffered("attention weights, hints")
    if key_padding_mask is not None:
        raise NotOffered("a key padding mask")
    if attn_mask is None:
        return None
    hidden = attn_mask if attn_mask.dtype == bool else np.isneginf(attn_mask)  # one that is added has 0 and -inf alone
    return ~(hidden.reshape(len(inputs[0]), -1, *hidden.shape[1:]) if hidden.ndim == inputs[0].ndim == 3 else hidden)


def backward(module: Function, *gys: Array) -> list[Array | None]:
    grads, *gxs = pull(module.pullback, gys[0])
    for name, g in grads.items():
        module.grads[name] += np.asarray(g)
    rest = iter(gxs)
    return [np.asarray(next(rest)) if floating else None for floating in module.floating]


def parameters(module: Function) -> dict[str, Array]:
    return module.own


def gradients(module: Function) -> dict[str, Array]:
    return module.grads


def zero_grad(module: Function) -> None:
    for g in module.grads.values():
        g[...] = 0


def train(module: Function, mode: bool) -> None:
    """Only a dropout differs between the two, and it is offered in evaluation alone."""


# Optimizers of optax


def decayed(weight_decay: float, *transformations: Any) -> Any:
    return optax.chain(optax.add_decayed_weights(weight_decay), *transformations)


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "optim.SGD": lambda lr, momentum, weight_decay, nesterov: decayed(
        weight_decay, optax.sgd(lr, momentum or None, nesterov)
    ),
    "optim.Adam": lambda lr, betas, eps, weight_decay: decayed(weight_decay, optax.adam(lr, *betas, eps)),
    "optim.AdamW": lambda lr, betas, eps, weight_decay: optax.adamw(lr, *betas, eps, weight_decay=weight_decay),
}


@dataclass
class Stepper:
    """The optimizer of a group."""

    params: list[Array]
    grads: list[Array]
    transformation: Any

    def __post_init__(self) -> None:
        self.state = self.transformation.init(self.params)

        def update(state: Any, params: Any, grads: Any) -> tuple[Any, Any]:
            updates, state = self.transformation.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.update = jax.jit(update)

    def step(self) -> None:
        params, self.state = self.update(self.state, self.params, self.grads)
        for p, new in zip(self.params, params, strict=True):
            p[...] = new


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> list[Stepper]:
    def stepper(params: Any, grads: Any, **own: Any) -> Stepper:
        return Stepper(list(params), list(grads), make_from(OPTIMIZERS, component, {**options, **own}))

    return [stepper(**group) for group in groups]


def step(optimizer: list[Stepper]) -> None:
    for stepper in optimizer:
        stepper.step()


NAMES = {"trace": "momentum_buffer", "mu": "exp_avg", "nu": "exp_avg_sq"}  # optax's names of state, and PyTorch's


def state(optimizer: list[Stepper]) -> list[dict[str, Array]]:
    states: list[dict[str, Array]] = []
    for stepper in optimizer:
        inner = [part for part in jax.tree.leaves(stepper.state, is_leaf=holds_state) if holds_state(part)]
        known = {torch: getattr(part, name) for part in inner for name, torch in NAMES.items() if hasattr(part, name)}
        states += [{name: np.asarray(arrays[i]) for name, arrays in known.items()} for i in range(len(stepper.params))]
    return states


def holds_state(part: Any) -> bool:
    return any(hasattr(part, name) for name in NAMES)


# What is offered

FUNCTIONS = """
    positive negative square reciprocal sqrt cbrt absolute fabs exp exp2 expm1 log log2 log10 log1p sin cos tan
    arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh degrees rad2deg radians deg2rad sign floor ceil rint
    trunc round around copy full_like add subtract multiply divide floor_divide remainder fmod power logaddexp
    logaddexp2 hypot arctan2 copysign maximum minimum fmax fmin clip where sum nansum mean var std prod max min amax
    amin ptp cumsum linalg.norm reshape ravel squeeze expand_dims transpose swapaxes moveaxis broadcast_to flip
    fliplr flipud roll rot90 repeat tile pad atleast_1d atleast_2d atleast_3d concatenate stack vstack hstack dstack
    column_stack append split array_split hsplit vsplit dsplit indexing take take_along_axis sort tril triu diagonal
    diag trace diff matmul dot inner vdot outer tensordot einsum
"""
FUNCTION = Offer(subnormal=False)
OFFERS: dict[str, Offer] = dict.fromkeys(FUNCTIONS.split(), FUNCTION)
SGD: dict[str, list[Any]] = {"dampening": [0], "maximize": [False]}
ADAM: dict[str, list[Any]] = {"amsgrad": [False], "maximize": [False]}
OFFERS |= dict.fromkeys(MODULES, FUNCTION)
OFFERS |= {
    "nn.RMSNorm": Offer(subnormal=False, options={"eps": [1e-5, 1e-2]}),
    "nn.Linear": Offer(subnormal=False, options={"in_features": range(1, 10), "out_features": range(1, 10)}),
    "nn.Embedding": Offer(options={"padding_idx": [None], "max_norm": [None], "scale_grad_by_freq": [False],
                                   "norm_type": [2.0]}),
    "nn.Dropout": Offer(subnormal=False, training=[False]),
    "nn.MultiheadAttention": Offer(
        subnormal=False,
        options={"dropout": [0.0], "add_bias_kv": [False], "add_zero_attn": [False], "kdim": [None], "vdim": [None],
                 "batch_first": [True], "need_weights": [False], "is_causal": [False], "attn_mask": ["none", "causal"],
                 "key_padding_mask": ["none"]},
    ),
    "nn.BCEWithLogitsLoss": Offer(
        low=-1e35, high=1e35, subnormal=False, options={"weight": [None], "pos_weight": [None]}
    ),
    "nn.CrossEntropyLoss": Offer(  # at infinite logits it is NaN, as PyTorch's
        low=-1e35, high=1e35, subnormal=False,
        options={"weight": [None], "label_smoothing": [0.0], "ignore_index": [-100]},
        where=lambda options, outputs, targets: not (targets == -100).any(),
    ),
    "optim.SGD": Offer(options=SGD),
    "optim.Adam": Offer(options={**ADAM, "decoupled_weight_decay": [False]}),
    "optim.AdamW": Offer(options=ADAM),
}  # fmt: skip
