"""Faults in the gradient check."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from faults import Wrong, seen_by
from numpyml.autograd import gradcheck as gc

TEST = "autograd/test_gradcheck.py"


class _Ones:
    """A generator whose normal values are all 1."""

    def standard_normal(self, shape: Any) -> Any:
        return np.ones(shape)


def _with_generator(wrong: Callable[[Any], Any]) -> Wrong:
    """A function that gets another generator, whichever of its arguments that is."""
    return lambda right: lambda *a: right(*(wrong(x) if isinstance(x, np.random.Generator) else x for x in a))


class _FirstAlone:
    """A generator whose first array is random; all others are 0."""

    def __init__(self, generator: Any) -> None:
        self.generator, self.first = generator, True

    def standard_normal(self, shape: Any) -> Any:
        values = self.generator.standard_normal(shape)
        values, self.first = (values if self.first else values * 0), False
        return values


def _direction_of_ones(right: Any) -> Any:
    return lambda x, g, generator: np.ones_like(x)


def _along_the_gradient(right: Any) -> Any:
    return lambda x, g, generator: g


def _across(right: Any) -> Any:
    """Directions without a part along the gradient."""

    def direction(x: Any, g: Any, generator: Any) -> Any:
        u = generator.standard_normal(x.shape)
        return u - (u * g).sum() / max((g * g).sum(), 1e-300) * g

    return direction


def _no_parameters(right: Any) -> Any:
    return lambda function: []


def _frozen_too(right: Any) -> Any:
    class AllTrainable:
        def __init__(self, p: Any) -> None:
            self.p = p
            self.requires_grad = True

        def __getattr__(self, name: str) -> Any:
            return getattr(self.p, name)

    return lambda function: [(name, AllTrainable(p)) for name, p in right(function)]


def _up_to(relative: float) -> Wrong:
    """Gradients whose error is this small are right."""

    def wrong(right: Any) -> Any:
        def verdict(*arguments: Any) -> Any:
            kind, error, order = right(*arguments)
            return (gc.RIGHT if kind == gc.WRONG and error < relative else kind), error, order

        return verdict

    return wrong


def _is_right(kind: str) -> Wrong:
    return lambda right: lambda *a: (gc.RIGHT, *right(*a)[1:]) if right(*a)[0] == kind else right(*a)


def _absolute(right: Any) -> Any:
    def check(name: str, x: Any, g: Any, *arguments: Any) -> Any:
        entry = right(name, x, g, *arguments)
        return replace(entry, error=entry.error * float(np.abs(g).sum()))

    return check


def _one_is_enough(right: Any) -> Any:
    return property(lambda self: any(entry.passed for entry in self.entries))


def _gradients_left(right: Any) -> Any:
    @contextmanager
    def restored(function: Any) -> Any:
        arrays = [p.data for _, p in gc._parameters(function)]
        saved = [a.copy() for a in arrays]
        try:
            yield
        finally:
            for a, before in zip(arrays, saved, strict=True):
                a[...] = before

    return restored


def _only_without_error(right: Any) -> Any:
    @contextmanager
    def restored(function: Any) -> Any:
        arrays = [a for _, p in gc._parameters(function) for a in (p.data, p.grad)]
        saved = [a.copy() for a in arrays]
        yield
        for a, before in zip(arrays, saved, strict=True):
            a[...] = before

    return restored


def _in_place(right: Any) -> Any:
    return lambda x, dtype: x if isinstance(x, np.ndarray) and x.dtype == dtype else right(x, dtype)


def _own_precision(right: Any) -> Any:
    return lambda x, dtype: right(x, x.dtype if isinstance(x, np.ndarray) and x.dtype.kind == "f" else dtype)


def _seed_ignored(right: Any) -> Any:
    return lambda function, *inputs, seed=0: right(function, *inputs)


def _second_order(right: Any) -> Any:
    return lambda errors, noise, h: 2.0


def _first_try(right: Any) -> Any:
    return lambda *arguments: gc._check(*arguments)


def _never_raised(right: Any) -> Any:
    return lambda self: self


FAULTS = [
    *seen_by(
        f"{TEST}::test_wrong_gradient_of_a_constant_sum_is_seen",
        ("a cotangent of ones", gc, "_gradients", _with_generator(lambda generator: _Ones())),
    ),
    *seen_by(
        f"{TEST}::test_wrong_gradient_of_any_output_is_seen",
        ("the first output alone is checked", gc, "_gradients", _with_generator(_FirstAlone)),
    ),
    *seen_by(
        f"{TEST}::test_the_one_wrong_gradient_is_named",
        ("along a direction of ones", gc, "_direction", _direction_of_ones),
        ("along the gradient alone", gc, "_direction", _along_the_gradient),
        ("across the gradient alone", gc, "_direction", _across),
        ("parameters are not checked", gc, "_parameters", _no_parameters),
        ("errors below one percent are right", gc, "_verdict", _up_to(0.011)),
        ("errors below a tenth of a percent are right", gc, "_verdict", _up_to(1e-3)),
        ("one right gradient is enough", gc.GradcheckReport, "passed", _one_is_enough),
        ("a failed check raises nothing", gc.GradcheckReport, "raise_if_failed", _never_raised),
    ),
    *seen_by(
        f"{TEST}::test_kink_is_distinguished_from_a_wrong_gradient",
        ("a kink is right", gc, "_verdict", _is_right(gc.KINK)),
    ),
    *seen_by(
        f"{TEST}::test_rounding_noise_has_no_verdict",
        ("noise is right", gc, "_verdict", _is_right(gc.NOISE)),
    ),
    *seen_by(
        f"{TEST}::test_the_error_is_the_relative_error_of_the_gradient",
        ("the error is not relative", gc, "_check", _absolute),
        ("the order is always 2", gc, "_order", _second_order),
    ),
    *seen_by(
        f"{TEST}::test_gradients_of_parameters_are_restored",
        ("gradients are not restored", gc, "_restored", _gradients_left),
    ),
    *seen_by(
        f"{TEST}::test_everything_is_restored_after_an_error",
        ("nothing is restored after an error", gc, "_restored", _only_without_error),
    ),
    *seen_by(
        f"{TEST}::test_frozen_parameters_are_left_out",
        ("frozen parameters are checked", gc, "_parameters", _frozen_too),
    ),
    *seen_by(
        f"{TEST}::test_inputs_are_copied_before_they_are_moved",
        ("inputs are moved in place", gc, "_argument", _in_place),
        ("inputs keep their precision", gc, "_argument", _own_precision),
    ),
    *seen_by(
        f"{TEST}::test_same_seed_same_report",
        ("the seed is ignored", gc, "gradcheck", _seed_ignored),
    ),
    *seen_by(
        f"{TEST}::test_values_that_are_not_finite_are_reported",
        (
            "values that are not finite are right",
            gc,
            "_check",
            lambda right: lambda name, *a: replace(right(name, *a), verdict=gc.RIGHT),
        ),
    ),
    *seen_by(
        f"{TEST}::test_a_noisy_direction_is_followed_by_another",
        ("a noisy direction is the last one", gc, "_settle", _first_try),
    ),
]
