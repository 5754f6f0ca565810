"""Faults in what everything stands on: options, errors, names, and the memory of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from faults import seen_by
from numpyml import errors, memory, names, nested, options
from numpyml.nn import storage

OPTIONS = "test_options.py"


def _bool_is_integer(right: Any) -> Any:
    return lambda owner, name, value, minimum=None: right(owner, name, int(value), minimum) and value


def _above(right: Any) -> Any:
    return lambda owner, name, value, minimum=None: right(owner, name, value, None if minimum is None else minimum + 1)


def _any_size(right: Any) -> Any:
    return lambda owner, name, value, minimum=None: (
        value if type(value) is int and abs(value) >= 1 << 63 else right(owner, name, value, minimum)
    )


def _finite_or_not(right: Any) -> Any:
    return lambda value: True


def _lower_bound_alone(right: Any) -> Any:
    return lambda owner, name, value, low=0.0, high=None: right(owner, name, value, low)


def _converted(right: Any) -> Any:
    return lambda owner, name, value, *limits: float(right(owner, name, value, *limits))


def _zero_too(right: Any) -> Any:
    return lambda owner, name, value: options.number(owner, name, value)


def _truth(right: Any) -> Any:
    return lambda owner, name, value: value


def _first_letters(right: Any) -> Any:
    return lambda owner, name, value, choices: (
        value if any(str(c).startswith(str(value)) for c in choices) else right(owner, name, value, choices)
    )


def _any_float(right: Any) -> Any:
    return lambda owner, name, value: value if np.asarray(value).dtype.kind == "f" else right(owner, name, value)


def _outermost(right: Any) -> Any:
    def at(self: Any, container: Any, trail: str) -> Any:
        self.layer = container
        self._trail = trail
        return self

    return at


def _values_shown(right: Any) -> Any:
    return lambda value: repr(value)


def _message_alone(right: Any) -> Any:
    return lambda self: self.message


def _without_name(right: Any) -> Any:
    return lambda name: ""


def _any_keyword(right: Any) -> Any:
    return lambda cls, keywords: None


def _constructors_answer(right: Any) -> Any:
    return {name: reason for name, reason in right.items() if name != "lr"}


def _overlapping(right: Any) -> Any:
    def allocate(shape: Any, dtype: Any) -> Any:
        data, _ = right(shape, dtype)
        return data, data

    return allocate


def _views_of_another(right: Any) -> Any:
    return lambda a, b: a.base is not None and a.base is b.base


def _another_nesting(right: Any) -> Any:
    return lambda structure, value: nested.leaves(value)


def _always_rebuilt(right: Any) -> Any:
    return lambda function, value: nested.unflatten(
        *reversed([list(map(function, nested.leaves(value))), nested.flatten(value)[1]])
    )


FAULTS = [
    *seen_by(
        f"{OPTIONS}::test_integers",
        ("True is an integer", options, "integer", _bool_is_integer),
        ("the minimum itself is refused", options, "integer", _above),
        ("integers of any size", options, "integer", _any_size),
    ),
    *seen_by(
        f"{OPTIONS}::test_numbers",
        ("NaN and infinity are numbers", options, "is_finite", _finite_or_not),
        ("no upper bound", options, "number", _lower_bound_alone),
        ("an option is converted", options, "number", _converted),
        ("0 is positive", options, "positive", _zero_too),
    ),
    *seen_by(
        f"{OPTIONS}::test_flags_and_choices",
        ("anything is a flag", options, "flag", _truth),
        ("the beginning of a word is enough", options, "choice", _first_letters),
    ),
    *seen_by(
        f"{OPTIONS}::test_weights",
        ("weights may be NaN or infinite", options, "weights", _any_float),
    ),
    *seen_by(
        f"{OPTIONS}::test_a_value_is_shown_by_its_kind",
        ("all values of an array are shown", errors, "kind_of", _values_shown),
    ),
    *seen_by(
        "nn/test_drivers.py::test_error_names_the_position_in_models_inside_models",
        ("an error of a part inside a part loses its way", errors.NumpymlError, "at", _outermost),
        ("an error does not name its layer", errors.NumpymlError, "__str__", _message_alone),
    ),
    *seen_by(
        "test_names.py::test_pytorch_name_gives_an_error_with_our_name",
        ("PyTorch's names are not explained", names, "_location", _without_name),
    ),
    *seen_by(
        "test_names.py::test_pytorch_keyword_gives_an_error_with_our_keyword",
        ("PyTorch's keywords are not explained", names, "_refuse", _any_keyword),
        ("lr is not explained", names, "_KEYWORDS", _constructors_answer),
    ),
    *seen_by(
        "test_numpyml.py::test_environment_variable_disables_memory_tuning",
        ("the environment does not refuse", memory, "os", lambda right: type("os", (), {"environ": {}})),
    ),
    *seen_by(
        "test_numpyml.py::test_a_parameter_larger_than_a_chunk_gets_its_own",
        ("a parameter shares memory with its gradient", storage, "allocate", _overlapping),
    ),
    *seen_by(
        "test_numpyml.py::test_parameters_allocated_in_turn_are_contiguous",
        ("all arrays of a chunk are contiguous", storage, "are_contiguous", _views_of_another),
    ),
    *seen_by(
        "nn/test_nested.py::test_leaves_of_another_nesting_are_refused",
        ("any nesting is accepted", nested, "flatten_as", _another_nesting),
    ),
    *seen_by(
        "nn/test_nested.py::test_flatten_and_unflatten_round_trip",
        ("an unchanged value is built anew", nested, "map_leaves", _always_rebuilt),
    ),
]
