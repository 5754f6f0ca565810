"""The faults, the plainest first. Each is a mistake that somebody has made before."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

import numpyml
from conformance.faults import Fault
from numpyml import Tensor
from numpyml.autograd import derivatives, pullbacks
from numpyml.errors import DTypeError
from numpyml.nn import activations, init, layers, losses, module, optimizers
from numpyml.nn.blockwise import BLOCK


def scaled(factor: float) -> Any:
    """The gradient of the input, off by a factor."""

    def wrong(right: Any) -> Any:
        def pullback(self: Any, context: Any, gy: Any, wanted: Any = (True, True)) -> Any:
            gx = right(self, context, gy, wanted)
            if isinstance(gx, tuple):
                return (gx[0] * gx[0].dtype.type(factor), *gx[1:])
            return None if gx is None else gx * gx.dtype.type(factor)

        return pullback

    return wrong


def _without_bias(right: Any) -> Any:
    def pullback(self: Any, x: Any, gy: Any, wanted: Any = (True,)) -> Any:
        before = None if self.bias is None else np.array(self.bias.grad)
        gx = right(self, x, gy, wanted)
        if before is not None:
            self.bias.grad[...] = before
        return gx

    return pullback


def _overwriting(right: Any) -> Any:
    def pullback(self: Any, x: Any, gy: Any, wanted: Any = (True,)) -> Any:
        self.weight.grad.fill(0)
        return right(self, x, gy, wanted)

    return pullback


def _transposed(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        w = self.weight.data
        if w.shape[0] != w.shape[1]:
            return right(self, x)
        kept = np.array(w)
        w[...] = kept.T
        try:
            return right(self, x)
        finally:
            w[...] = kept

    return compute


def _upcast(right: Any) -> Any:
    def compute(self: Any, *inputs: Any) -> Any:
        y, context = right(self, *inputs)
        return (y.astype(np.float64) if y.dtype == np.float32 else y), context

    return compute


def _in_place(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        x *= x > 0
        return right(self, x)

    return compute


def _from_cache(right: Any) -> Any:
    def pullback(self: Any, context: Any, gy: Any, wanted: Any = (True,)) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        return right(self, context, gy if self.calls == 1 else gy * 0, wanted)

    return pullback


def _sum_for_mean(right: Any) -> Any:
    def reduce(self: Any, values: Any, dtype: Any) -> Any:
        return right(self, values, dtype) if self.reduction != "mean" else np.add.reduce(values, axis=None, dtype=dtype)

    return reduce


def _off_by_one(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        run.step += 1
        right(self, p, g, state, scratch, run)
        run.step -= 1

    return update


def _uncorrected(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        step, run.step = run.step, 10**9
        right(self, p, g, state, scratch, run)
        run.step = step

    return update


def _never_fresh(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        run.fresh = frozenset()
        right(self, p, g * (1 - 1e-9), state, scratch, run)

    return update


def _of_another_group(name: str) -> Any:
    """An option that is the first group's in all."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            options, run.options = run.options, {**run.options, name: self.param_groups[0][name]}
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _as_they_began(*names: str) -> Any:
    """Options that no change reaches, in all groups but the first where it is the learning rate."""

    def wrong(right: Any) -> Any:
        def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
            groups = self.param_groups
            began = self.__dict__.setdefault("began", [{name: group[name] for name in names} for group in groups])
            at = next(i for i, group in enumerate(groups) if group.values_in_use is run.options)
            options, kept = run.options, at or "learning_rate" not in names
            run.options = {**options, **began[at]} if kept else options
            right(self, p, g, state, scratch, run)
            run.options = options

        return update

    return wrong


def _first_piece_alone(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if p.dtype != np.float32 or p.ctypes.data == run.p.ctypes.data:
            right(self, p, g, state, scratch, run)

    return update


def _contiguous_alone(right: Any) -> Any:
    def update(self: Any, p: Any, g: Any, state: Any, scratch: Any, run: Any) -> None:
        if run.p.ndim == 1:
            right(self, p, g, state, scratch, run)

    return update


def _in_pairs(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        kept = right(self, shape, dtype)
        flat = kept.reshape(-1)
        flat[1::2] = flat[: flat.size - 1 : 2]
        return kept

    return mask


def _unscaled(right: Any) -> Any:
    return lambda self, shape, dtype: (right(self, shape, dtype) != 0).astype(dtype)


def _coarse(right: Any) -> Any:
    return lambda self, shape, dtype: right(self, shape, np.dtype(np.float32)).astype(dtype)


def _in_turn(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        last = vars(self).pop("last", None)
        if last is not None and last.shape == shape:
            return last
        self.last = right(self, shape, dtype)
        return self.last

    return mask


def _one_for_all(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        return np.broadcast_to(right(self, shape[1:], dtype), shape).copy()

    return mask


def _in_fours(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        kept = right(self, shape, dtype)
        blocks = kept.reshape(-1)[: kept.size // 4 * 4].reshape(-1, 4)
        blocks[:, 2:] = blocks[:, :2]
        return kept

    return mask


def _any_options(right: Any) -> Any:
    return classmethod(lambda cls, options: None)


def _any_value(right: Any) -> Any:
    return lambda owner, name, value, *limits: value


def _any_state(right: Any) -> Any:
    def load_state_dict(self: Any, state_dict: Any) -> None:
        for name, parameter in self.named_parameters():
            parameter.data[...] = state_dict.get(name, parameter.data)

    return load_state_dict


def _any_gradient(right: Any) -> Any:
    return lambda gy, shape, dtype, layer: np.resize(np.asarray(gy, dtype), shape)


def _any_tape(right: Any) -> Any:
    def backward(self: Any, gradient: Any = None, **options: Any) -> None:
        right(self, gradient if gradient is None else np.resize(gradient, self.shape), **options)

    return backward


def _by_chance(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        try:
            return right(self, x)
        except Exception as error:
            raise TypeError("unsupported operand type(s)") from error

    return compute


def _one_precision(right: Any) -> Any:
    def compute(self: Any, outputs: Any, targets: Any) -> Any:
        if targets.dtype.kind == "f" and targets.dtype != outputs.dtype:
            raise DTypeError("expected targets of the outputs' precision")
        return right(self, outputs, targets)

    return compute


def _unsummed(right: Any) -> Any:
    return lambda self: None


def _without_targets(right: Any) -> Any:
    def pullback(self: Any, e: Any, gy: Any, wanted: Any = (True, True)) -> Any:
        return right(self, e, gy, wanted)[0], None

    return pullback


def _without_input(right: Any) -> Any:
    def backward(self: Any, *gradients: Any, **options: Any) -> None:
        right(self, *gradients, **options)

    return backward


def _too_wide(right: Any) -> Any:
    def kaiming_uniform_(array: Any, a: float = 0.0, generator: Any = None) -> Any:
        right(array, a, generator)
        array *= array.dtype.type(1.1)
        return array

    return kaiming_uniform_


def _spread(right: Any) -> Any:
    def normal_(array: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
        return right(array, mean, 1.15 * std, generator)

    return normal_


def _alike(right: Any) -> Any:
    def kaiming_uniform_(array: Any, a: float = 0.0, generator: Any = None) -> Any:
        right(array, a, generator)
        array[...] = array[:1]
        return array

    return kaiming_uniform_


def _one_seed(right: Any) -> Any:
    return lambda seed: right(0)


def _shallow(right: Any) -> Any:
    def train(self: Any, mode: bool = True) -> Any:
        self.training = mode
        return self

    return train


def _reordered(right: Any) -> Any:
    return lambda self: dict(reversed(right(self).items()))


def _unseeded(right: Any) -> Any:
    def mask(self: Any, shape: Any, dtype: Any) -> Any:
        self.generator, own = np.random.default_rng(), self.generator
        try:
            return right(self, shape, dtype)
        finally:
            self.generator = own

    return mask


def _renamed(right: Any) -> Any:
    def state_dict(self: Any) -> Any:
        saved = right(self)
        renamed = {i: {f"{name}s": x for name, x in state.items()} for i, state in saved["state"].items()}
        return {**saved, "state": renamed}

    return state_dict


def _restarted(right: Any) -> Any:
    def load_state_dict(self: Any, state_dict: Any) -> None:
        right(self, {**state_dict, "state": {}})

    return load_state_dict


def _where(holds: Any) -> Any:
    """The gradient of the input half as large again, where this holds of the incoming one."""

    def wrong(right: Any) -> Any:
        def pullback(self: Any, context: Any, gy: Any, wanted: Any = (True,)) -> Any:
            gx = right(self, context, gy, wanted)
            return gx * gx.dtype.type(1.5) if gx is not None and holds(self, gy) else gx

        return pullback

    return wrong


def _plain_doubled(right: Any) -> Any:
    def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        y = right(self, ufunc, method, *inputs, **options)
        plain = any(not isinstance(x, Tensor) for x in inputs)
        return y + y if ufunc is np.multiply and plain and isinstance(y, Tensor) else y

    return array_ufunc


def _kept(right: Any) -> Any:
    def load_state_dict(self: Any, state: Any) -> None:
        right(self, state)
        for name, parameter in self.named_parameters():
            parameter._data = np.asarray(state[name])

    return load_state_dict


class _Shared(np.ndarray[Any, Any]):
    def __deepcopy__(self, memo: Any) -> Any:
        return self


def _rebuilt(data: Any, grad: Any) -> Any:
    made = module.Parameter(data, dtype=data.dtype)
    made._grad = grad
    return made


def _sharing(right: Any) -> Any:
    return lambda self: (_rebuilt, (self._data, self._grad.view(_Shared)))


def _without_weights(right: Any) -> Any:
    @wraps(right)
    def compute(self: Any, *inputs: Any, **options: Any) -> Any:
        y, context = right(self, *inputs, **options)
        return ((y[0], None) if isinstance(y, tuple) else y), context

    return compute


def _unsigned(right: Any) -> Any:
    def compute(self: Any, x: Any) -> Any:
        y, context = right(self, x)
        return y + y.dtype.type(0), context

    return compute


def _first_block(right: Any) -> Any:
    def blockwise(kernel: Any, x: Any, room: Any) -> Any:
        y, slope = right(kernel, x, room)
        y.reshape(-1)[BLOCK // x.dtype.itemsize :] = 0
        return y, slope

    return blockwise


def _long_sums(right: Any) -> Any:
    def reduce(self: Any, values: Any, dtype: Any) -> Any:
        y = right(self, values, dtype)
        return y * y.dtype.type(1 + 1e-5) if self.reduction == "sum" and values.size > 1024 else y

    return reduce


def _from_0(right: Any) -> Any:
    def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        n = kwargs.get("n", 0)
        return right(self, function, types, args, {**kwargs, "n": abs(n)} if n == -1 else kwargs)

    return array_function


def _of_an_axis(right: Any) -> Any:
    def kept(g: Any, axis: Any, keepdims: bool) -> Any:
        return g if axis is None or keepdims else np.expand_dims(g, axis)

    return kept


def _long_weighted(right: Any) -> Any:
    def weighted_rows(weights: Any, rows: Any) -> Any:
        y = right(weights, rows)
        return y * y.dtype.type(1 + 1e-5) if len(rows) > 256 else y

    return weighted_rows


FAULTS = [
    Fault("input gradient 1% off", "Dense", "input_gradients", layers.Dense, "pullback", scaled(1.01)),
    Fault(
        "input gradient off by 30 units in the last place of float32",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        scaled(1 + 4e-6),
    ),
    Fault("input gradient with the wrong sign", "ReLU", "input_gradients", activations.ReLU, "pullback", scaled(-1)),
    Fault("bias gradient missing", "Dense", "parameter_gradients", layers.Dense, "pullback", _without_bias),
    Fault("weight gradient overwritten, not added to", "Dense", "accumulation", layers.Dense, "pullback", _overwriting),
    Fault("weight transposed where it is square", "Dense", "output", layers.Dense, "compute", _transposed),
    Fault("float32 comes out as float64", "Sigmoid", "dtype_kept", activations.Sigmoid, "compute", _upcast),
    Fault("input written to", "ReLU", "inputs_untouched", activations.ReLU, "compute", _in_place),
    Fault(
        "second use of an instance pulls back nothing",
        "Sigmoid",
        "used_twice",
        activations.Sigmoid,
        "pullback",
        _from_cache,
    ),
    Fault(
        "sum where a mean was asked for", "MeanSquaredError", "output", losses.ElementwiseLoss, "reduce", _sum_for_mean
    ),
    Fault("gradient of a loss twice as large", "Huber", "input_gradients", losses.Huber, "pullback", scaled(2)),
    Fault(
        "class gradients 1e-5 off",
        "CrossEntropyWithLogits",
        "input_gradients",
        losses.CrossEntropyWithLogits,
        "pullback",
        scaled(1 + 1e-5),
    ),
    Fault(
        "logit gradients 1e-5 off",
        "BinaryCrossEntropyWithLogits",
        "input_gradients",
        losses.BinaryCrossEntropyWithLogits,
        "pullback",
        scaled(1 - 1e-5),
    ),
    Fault("bias correction a step ahead", "Adam", "trajectory", optimizers.Adam, "update", _off_by_one),
    Fault("no bias correction", "Adam", "trajectory", optimizers.Adam, "update", _uncorrected),
    Fault("momentum starts from zero, dampened", "SGD", "trajectory", optimizers.SGD, "update", _never_fresh),
    Fault(
        "Nesterov's momentum is the first group's",
        "SGD",
        "trajectory",
        optimizers.SGD,
        "update",
        _of_another_group("nesterov"),
    ),
    Fault(
        "the second group climbs as the first does",
        "Adam",
        "trajectory",
        optimizers.Adam,
        "update",
        _of_another_group("maximize"),
    ),
    Fault(
        "the learning rate changes in the first group alone",
        "SGD",
        "trajectory",
        optimizers.SGD,
        "update",
        _as_they_began("learning_rate"),
    ),
    Fault(
        "weight decay stays as it was",
        "AdamW",
        "trajectory",
        optimizers.Adam,
        "update",
        _as_they_began("weight_decay"),
    ),
    Fault("a large float32 parameter moves in part", "SGD", "trajectory", optimizers.SGD, "update", _first_piece_alone),
    Fault("what is not contiguous stays where it is", "SGD", "trajectory", optimizers.SGD, "update", _contiguous_alone),
    Fault(
        "state saved under other names", "Adam", "optimizer_state_dict", optimizers.Optimizer, "state_dict", _renamed
    ),
    Fault("neighbouring masks are copies", "Dropout", "mask_statistics", layers.Dropout, "mask", _in_pairs),
    Fault("masks without their scale", "Dropout", "mask_statistics", layers.Dropout, "mask", _unscaled),
    Fault(
        "attention's masks without their scale",
        "MultiheadAttention",
        "mask_statistics",
        layers.MultiheadAttention,
        "mask",
        _unscaled,
    ),
    Fault("float64 masks scaled in float32", "Dropout", "mask_statistics", layers.Dropout, "mask", _coarse),
    Fault("every mask used twice", "Dropout", "mask_statistics", layers.Dropout, "mask", _in_turn),
    Fault("one mask for a whole batch", "Dropout", "mask_statistics", layers.Dropout, "mask", _one_for_all),
    Fault("masks that repeat after two places", "Dropout", "mask_statistics", layers.Dropout, "mask", _in_fours),
    Fault("options out of range accepted", "SGD", "optimizer_rejections", optimizers.SGD, "validate", _any_options),
    Fault("betas out of range accepted", "Adam", "optimizer_rejections", optimizers.Adam, "validate", _any_options),
    Fault("a standard deviation below 0 accepted", "normal_", "initial_rejections", init, "number", _any_value),
    Fault("any state dict accepted", "Dense", "rejections", module.Module, "load_state_dict", _any_state),
    Fault("gradient of another shape accepted", "Dense", "rejections", module, "as_gradient", _any_gradient),
    Fault("gradient of another shape accepted by a tape", "Dense", "rejections", Tensor, "backward", _any_tape),
    Fault("an error that came up by chance", "Dense", "rejections", layers.Dense, "compute", _by_chance),
    Fault(
        "targets of another precision refused",
        "MeanSquaredError",
        "rejections",
        losses.MeanSquaredError,
        "compute",
        _one_precision,
    ),
    Fault("zero_grad does nothing", "Dense", "accumulation", module.Parameter, "zero_grad", _unsummed),
    Fault(
        "no gradient of the targets",
        "MeanSquaredError",
        "input_gradients",
        losses.MeanSquaredError,
        "pullback",
        _without_targets,
    ),
    Fault(
        "no input gradient from the explicit driver", "ReLU", "drivers_agree", module.Module, "backward", _without_input
    ),
    Fault("initial weights too large", "Dense", "initial_values", init, "kaiming_uniform_", _too_wide),
    Fault("standard deviation 15% too large", "Embedding", "initial_values", init, "normal_", _spread),
    Fault("neurons that start alike", "Dense", "initial_values", init, "kaiming_uniform_", _alike),
    Fault("a seed that is ignored", "Dense", "same_seed", numpyml, "manual_seed", _one_seed),
    Fault("train stops at the first module", "Sequential", "modes", module.Module, "train", _shallow),
    Fault("state dict in another order", "Dense", "state_dict", module.Module, "state_dict", _reordered),
    Fault("masks that no seed repeats", "Dropout", "same_seed", layers.Dropout, "mask", _unseeded),
    Fault("a restart from nothing", "SGD", "restart", optimizers.Optimizer, "load_state_dict", _restarted),
    Fault(
        "wrong for incoming gradients that lie in C order",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        _where(lambda self, gy: gy.flags.c_contiguous and not gy.flags.f_contiguous),
    ),
    Fault(
        "wrong for the incoming gradient of a sum, one number",
        "Sigmoid",
        "input_gradients",
        activations.Sigmoid,
        "pullback",
        _where(lambda self, gy: gy.size > 1 and not any(gy.strides)),
    ),
    Fault(
        "wrong once the weight is frozen",
        "LayerNorm",
        "frozen",
        layers.LayerNorm,
        "pullback",
        _where(lambda self, gy: self.weight is not None and not self.weight.requires_grad),
    ),
    Fault("wrong by a plain array", "multiply", "function_output", Tensor, "__array_ufunc__", _plain_doubled),
    Fault("what was loaded is kept, uncopied", "Dense", "state_dict", module.Module, "load_state_dict", _kept),
    Fault("a copy shares its gradients", "Dense", "copies", module.Parameter, "__reduce__", _sharing),
    Fault(
        "no second output",
        "MultiheadAttention",
        "output",
        layers.MultiheadAttention,
        "compute",
        _without_weights,
    ),
    Fault("-0 becomes 0", "Tanh", "output", activations.Tanh, "compute", _unsigned),
    Fault("differences taken -1 times", "diff", "function_rejections", Tensor, "__array_function__", _from_0),
    Fault("no backward of a number's last axis", "sum", "function_rejections", pullbacks, "kept", _of_an_axis),
    Fault("long products 1e-5 off", "outer", "function_large", derivatives, "weighted_rows", _long_weighted),
    Fault("nothing after the first block", "GELU", "large", activations, "blockwise", _first_block),
    Fault("long sums 1e-5 off", "MeanSquaredError", "large", losses.ElementwiseLoss, "reduce", _long_sums),
]
