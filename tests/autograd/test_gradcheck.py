"""gradcheck names the gradients that are wrong, and no others."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import numpyml
from numpyml import Tensor
from numpyml.autograd import gradcheck as gradients
from numpyml.autograd import tape
from numpyml.autograd.gradcheck import KINK, NOISE, NOT_FINITE, RIGHT, WRONG, GradientError, gradcheck
from numpyml.errors import DTypeError


class Parameter(Tensor):
    """A leaf whose gradient is allocated once."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data, requires_grad=True)
        self._grad = np.zeros_like(self.data)

    def zero_grad(self) -> None:
        self._grad.fill(0)


class Affine:
    """tanh(x w + b) with a hand-written pullback; ``fault`` changes one of its gradients."""

    def __init__(self, dtype: Any = np.float64, fault: Callable[[str, Any], Any] = lambda name, g: g) -> None:
        generator = np.random.default_rng(5)
        self.weight = Parameter(generator.standard_normal((4, 4)).astype(dtype))
        self.bias = Parameter(generator.standard_normal(4).astype(dtype))
        self.fault = fault

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        yield from (("weight", self.weight), ("bias", self.bias))

    def __call__(self, x: Tensor) -> Tensor:
        y = Tensor(np.tanh(x.data @ self.weight.data + self.bias.data))
        y.node = tape.Node(self, (x.data, y.data), [x, self.weight, self.bias], [y.data])
        return y

    def pullback(self, context: Any, gy: Any, needs_input_grad: Any) -> list[Any]:
        x, y = context
        g = gy * (1 - y * y)
        gradients = {"input 0": g @ self.weight.data.T, "weight": x.T @ g, "bias": g.sum(axis=0)}
        return [self.fault(name, gx) for name, gx in gradients.items()]


X = np.random.default_rng(3).standard_normal((3, 4))
NAMES = ("input 0", "weight", "bias")
FAULTS: dict[str, Callable[[Any], Any]] = {
    "one percent too long": lambda g: 1.01 * g,
    "a hundredth of a percent too short": lambda g: 0.9999 * g,
    "sign flipped": lambda g: -g,
    "missing": lambda g: np.zeros_like(g),
    "divided by the batch": lambda g: g / 3,
    "one element off": lambda g: g + 0.01 * (np.arange(g.size) == 1).reshape(g.shape),
    "shuffled": lambda g: np.roll(g, 1),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_one_wrong_gradient_is_named(name: str, fault: str) -> None:
    module = Affine(fault=lambda n, g: FAULTS[fault](g) if n == name else g)
    report = gradcheck(module, X)
    assert {e.name: e.verdict for e in report.entries} == {n: WRONG if n == name else RIGHT for n in NAMES}
    assert not report.passed
    assert not report
    assert f"{name} " in str(report)
    with pytest.raises(GradientError, match=f"could not for {name}; correct .*\n"):
        report.raise_if_failed()


def test_a_transposed_gradient_is_wrong() -> None:
    module = Affine(fault=lambda n, g: g.T if n == "weight" else g)
    assert [e.name for e in gradcheck(module, X).entries if not e.passed] == ["weight"]


def test_the_error_is_the_relative_error_of_the_gradient() -> None:
    module = Affine(fault=lambda n, g: 1.01 * g if n == "bias" else g)
    bias = gradcheck(module, X).entries[2]
    assert bias.error == pytest.approx(0.01, rel=0.05)
    assert bias.order == pytest.approx(1, abs=0.1)


def test_correct_gradient_has_a_remainder_of_second_order() -> None:
    for entry in gradcheck(Affine(), X).entries:
        assert entry.order == pytest.approx(2, abs=0.2)
        assert entry.error < 1e-8


@pytest.mark.parametrize("seed", range(30))
def test_correct_gradient_passes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-3, 3)
    x, w = generator.standard_normal((5, 6)) * scale, generator.standard_normal((6, 4))

    def normalised(x: Tensor, w: Tensor) -> Any:
        h = np.maximum(x @ w, 0)
        return np.log(1 + np.square(h - h.mean(axis=0))), np.exp(h - h.max(axis=-1, keepdims=True))

    assert gradcheck(normalised, x, w, seed=seed).passed
    assert gradcheck(lambda x: (x - 1e6) ** 2, x + 1e6, seed=seed).passed
    assert gradcheck(lambda x: np.sum(x / np.sum(x)), np.abs(x), seed=seed).passed
    assert gradcheck(np.log, np.exp(generator.standard_normal(8) * 4), seed=seed).passed


def test_linear_and_constant_functions_pass() -> None:
    for function in (lambda x: 3 * x, lambda x: x[:, ::-1], np.zeros_like):
        report = gradcheck(function, X)
        assert report.passed
        assert report.entries[0].order is None
    assert gradcheck(np.floor, X).passed


@pytest.mark.parametrize("function", [np.abs, lambda x: np.maximum(x, 0), lambda x: np.clip(x, 0, 1), np.max])
def test_kink_is_distinguished_from_a_wrong_gradient(function: Any) -> None:
    report = gradcheck(function, np.array([0.0, 0.0, -1.0]))
    assert report.entries[0].verdict == KINK
    assert not report.passed


def test_kink_nearby_does_not_matter() -> None:
    assert gradcheck(np.abs, np.array([1e-4, -1e-5, 1.0])).passed


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_values_that_are_not_finite_are_reported() -> None:
    for function, x in ((np.log, [0.0, 1.0]), (np.sqrt, [0.0, 1.0]), (np.log, [-1.0]), (np.negative, [np.nan])):
        assert gradcheck(function, np.array(x)).entries[0].verdict == NOT_FINITE


def test_float32_parameters_are_checked_in_float32() -> None:
    report = gradcheck(Affine(np.float32), X)
    assert report.passed
    assert "float32" in str(report)
    broken = Affine(np.float32, lambda n, g: g * np.float32(1.02) if n == "bias" else g)
    assert [e.verdict for e in gradcheck(broken, X).entries] == [RIGHT, RIGHT, WRONG]


def test_float32_inputs_of_a_function_are_checked_in_float64() -> None:
    assert gradcheck(np.tanh, X.astype(np.float32)).dtype == "float64"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_copied_before_they_are_moved(dtype: Any) -> None:
    x = np.linspace(0.1, 1, 5, dtype=dtype)
    seen: set[int] = set()

    def cube(t: Tensor) -> Tensor:
        seen.add(t.data.__array_interface__["data"][0])
        assert t.dtype == np.float64
        return t * t * t

    assert gradcheck(cube, x).passed
    assert x.__array_interface__["data"][0] not in seen


def test_everything_is_restored_bit_for_bit() -> None:
    module = Affine()
    module.weight.grad[...] = 7.0
    x = X.copy()
    before = [a.copy() for a in (module.weight.data, module.weight.grad, module.bias.data, module.bias.grad, x)]
    arrays = [module.weight.data, module.weight.grad, module.bias.data, module.bias.grad, x]
    gradcheck(module, x)
    for a, b in zip(arrays, before, strict=True):
        assert a.tobytes() == b.tobytes()


def test_everything_is_restored_after_an_error() -> None:
    module = Affine(fault=lambda name, g: 1 / 0)
    module.weight.grad[...] = 7.0
    with pytest.raises(ZeroDivisionError):
        gradcheck(module, X)
    assert (module.weight.grad == 7).all()


def test_integers_are_passed_on_unchecked() -> None:
    report = gradcheck(lambda x, i: x[i], X, np.array([0, 0, 2]))
    assert [e.name for e in report.entries] == ["input 0"]
    assert report.passed


def test_float_is_checked_like_a_0d_array() -> None:
    report = gradcheck(lambda a, x: a * np.sin(x), 0.5, X)
    assert report.passed and [entry.name for entry in report.entries] == ["input 0", "input 1"]


def test_frozen_parameters_are_left_out() -> None:
    module = Affine()
    module.bias.requires_grad = False
    assert [e.name for e in gradcheck(module, X).entries] == ["input 0", "weight"]


def test_several_outputs_of_any_shape() -> None:
    assert gradcheck(lambda x: [np.sum(x * x), x[0], np.argmax(x), x[:0]], X).passed


class Scaled:
    """Outputs x and 2 x, whose gradients are multiplied by these factors."""

    def __init__(self, *factors: float) -> None:
        self.factors = factors

    def __call__(self, x: Tensor) -> list[Tensor]:
        ys = [Tensor(x.data.copy()), Tensor(2 * x.data)]
        for i, y in enumerate(ys):
            y.node = tape.Node(self, i, [x], [y.data])
        return ys

    def pullback(self, i: int, gy: Any, needs_input_grad: Any) -> list[Any]:
        return [gy * (i + 1) * self.factors[i]]


def test_wrong_gradient_of_any_output_is_seen() -> None:
    assert gradcheck(Scaled(1.0, 1.0), X).passed
    assert not gradcheck(Scaled(1.01, 1.0), X).passed
    assert not gradcheck(Scaled(1.0, 1.01), X).passed


class Softmax:
    """Softmax, whose outputs sum to 1, with a factor of its gradient."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        e = np.exp(x.data)
        y = Tensor(e / e.sum(axis=-1, keepdims=True))
        y.node = tape.Node(self, y.data, [x], [y.data])
        return y

    def pullback(self, y: Any, gy: Any, needs_input_grad: Any) -> list[Any]:
        return [self.factor * y * (gy - (gy * y).sum(axis=-1, keepdims=True))]


def test_wrong_gradient_of_a_constant_sum_is_seen() -> None:
    assert gradcheck(Softmax(1.0), X).passed
    assert gradcheck(Softmax(1.5), X).entries[0].verdict == WRONG


def test_a_noisy_direction_is_followed_by_another() -> None:
    report = gradcheck(lambda x: np.sum(x) + float(1e-1 * np.sin(1e12 * x.data.sum())), X)
    directions: list[Any] = []

    def noisy_at_first(*arguments: Any) -> Any:
        directions.append(arguments)
        return report.entries[0] if len(directions) == 1 else check(*arguments)

    check = gradients._check
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gradients, "_check", noisy_at_first)
        assert gradcheck(np.tanh, X).passed
    assert len(directions) == 2


def test_gradients_of_parameters_are_restored() -> None:
    module = Affine()
    for p in (module.weight, module.bias):
        p.grad[...] = 7.0
    gradcheck(module, X)
    assert (module.weight.grad == 7).all() and (module.bias.grad == 7).all()


def test_an_empty_input_passes() -> None:
    assert gradcheck(np.tanh, np.zeros((0, 3))).passed


def test_output_that_is_a_plain_array_is_an_error() -> None:
    with pytest.raises(DTypeError, match="expected the function to return Tensors, got an array of float64"):
        gradcheck(lambda x: x.data, X)


@pytest.mark.parametrize("function", [lambda x, n: x * float(n), lambda x, n: x[:n]], ids=["values", "shape"])
def test_a_function_that_is_not_deterministic_is_an_error(function: Any) -> None:
    numbers = itertools.count(2)
    with pytest.raises(GradientError, match="same values each time"):
        gradcheck(lambda x: function(x, next(numbers)), X)


def test_nothing_to_check_is_an_error() -> None:
    module = Affine()
    module.weight.requires_grad = module.bias.requires_grad = False
    for function, inputs in ((np.square, (np.arange(3),)), (module, ()), (lambda: Tensor(1.0), ())):
        with pytest.raises(DTypeError, match="expected at least one floating input or parameter"):
            gradcheck(function, *inputs)


def test_an_output_whose_shape_follows_the_data_is_not_differentiable_where_it_changes() -> None:
    def positive(x: Tensor) -> Any:
        return x[x > 0]

    assert gradcheck(positive, np.array([0.0, 1.0, 2.0])).entries[0].verdict == KINK
    assert gradcheck(positive, np.array([1e-3, 1.0, 2.0, -1.0])).passed


def test_same_seed_same_report() -> None:
    assert gradcheck(np.tanh, X, seed=4) == gradcheck(np.tanh, X, seed=4)
    assert gradcheck(np.tanh, X, seed=4) != gradcheck(np.tanh, X, seed=5)


def test_rounding_noise_has_no_verdict() -> None:
    report = gradcheck(lambda x: np.sum(x) + float(1e-1 * np.sin(1e12 * x.data.sum())), X)
    assert report.entries[0].verdict == NOISE
    assert not report.passed


def test_gradcheck_is_imported_only_when_used() -> None:
    code = "import sys, numpyml; assert 'numpyml.autograd.gradcheck' not in sys.modules; numpyml.gradcheck"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'gradchek'"):
        _ = numpyml.gradchek
