"""Faults in containers, the summary, initial values, copies and modes of modules."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np

from faults import instead, seen_by
from numpyml import nested
from numpyml import random as default
from numpyml.nn import init, model, module, preserve, summary

INIT, MODEL, MODULE, NESTED = "nn/test_init.py", "nn/test_model.py", "nn/test_module.py", "nn/test_nested.py"


# Initial values


def _own_generator(right: Any) -> Any:
    return lambda name, array, generator, axes=0: right(name, array, None, axes)


def _fan_out(right: Any) -> Any:
    def fill(array: Any, *options: Any, **named: Any) -> Any:
        array.T[...] = right(np.empty_like(array.T), *options, **named)
        return array

    return fill


def _options_ignored(right: Any) -> Any:
    return lambda array, *options, generator=None, **named: right(array, generator=generator)


def _first_axes(right: Any) -> Any:
    def fill(array: Any, *options: Any, **named: Any) -> Any:
        flat = right(np.empty(array.shape[:2], array.dtype), *options, **named)
        array[...] = np.resize(flat, array.shape)
        return array

    return fill


def _variance(right: Any) -> Any:
    return lambda array, mean=0.0, std=1.0, generator=None: right(array, mean, std * std, generator)


def _from_zero(right: Any) -> Any:
    return lambda array, a=0.0, b=1.0, generator=None: right(array, 0.0, b, generator)


def _rows_alike(right: Any) -> Any:
    def fill(array: Any, *options: Any, **named: Any) -> Any:
        right(array, *options, **named)
        array[...] = array[:1]
        return array

    return fill


def _new_array(right: Any) -> Any:
    return lambda array, *options, **named: right(array.copy(), *options, **named)


# Containers


def _without_step(right: Any) -> Any:
    return lambda self, index: right(self, slice(index.start, index.stop) if isinstance(index, slice) else index)


def _renumbered(right: Any) -> Any:
    def getitem(self: Any, index: Any) -> Any:
        part = right(self, index)
        return model.Sequential(part.layers) if isinstance(index, slice) else part

    return getitem


def _up_to_first_trainable(right: Any) -> Any:
    """The pullback ends at the first trainable layer, whether or not the gradient of the input is needed."""

    def pullback(self: Any, contexts: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        return right(self, contexts, gy, (False,))

    return pullback


def _up_to_last_trainable(right: Any) -> Any:
    """The pullback ends at the first frozen layer that it reaches."""

    def pullback(self: Any, contexts: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        frozen = [i for i, layer in enumerate(self.layers) if layer.parameters() and not layer.holds_trainable()]
        if not frozen or needs_input_grad[0]:
            return right(self, contexts, gy, needs_input_grad)
        last = frozen[-1]
        right(model.Sequential(self.layers[last:]), contexts[last:], gy, (False,))
        return None

    return pullback


def _everywhere(right: Any) -> Any:
    """Layers before the first trainable one are asked for gradients that nobody needs."""
    return lambda self, contexts, gy, needs_input_grad=(True,): right(self, contexts, gy, (True,))


def _appended(right: Any) -> Any:
    return lambda self, index, value: right(self, len(self), value)


def _first_replaced(right: Any) -> Any:
    return lambda self, index, value: right(self, index if isinstance(index, slice) else 0, value)


def _reversed(right: Any) -> Any:
    return lambda self: iter(reversed(self.layers))


def _by_content(right: Any) -> Any:
    return lambda self, other: isinstance(other, model.ModuleDict) and self.named == other.named


def _children_alone(right: Any) -> Any:
    return lambda self: ((str(i), item) for i, item in enumerate(self.items))


def _one_by_one(right: Any) -> Any:
    def extend(self: Any, values: Any) -> None:
        for value in values:
            self.append(value)

    return extend


# The summary


def _twice(right: Any) -> Any:
    def summarised(net: Any, *inputs: Any) -> str:
        text = right(net, *inputs)
        count = sum(p.size for _, m in net.named_modules() for p in summary._own(m, summary.Parameter))
        first, rest = text.rsplit(" parameters, ", 1)
        return f"{first[: first.rindex(chr(10)) + 1]}{count:,} parameters, {rest}"

    return summarised


def _each_array_anew(right: Any) -> Any:
    return lambda context: (array.copy() for array in right(context))


def _thousands(right: Any) -> Any:
    return lambda nbytes: right(nbytes * 1.024 if nbytes >= 1000 else nbytes)


def _all_trainable(right: Any) -> Any:
    def summarised(net: Any, *inputs: Any) -> Any:
        flags = [(p, p.requires_grad) for _, p in net.named_parameters()]
        try:
            for p, _ in flags:
                p.requires_grad = True
            return right(net, *inputs)
        finally:
            for p, flag in flags:
                p.requires_grad = flag

    return summarised


def _generators_move(right: Any) -> Any:
    return lambda generators, states: None


# Modules


def _children_keep_their_mode(right: Any) -> Any:
    def train(self: Any, mode: bool = True) -> Any:
        vars(self)["training"] = mode
        return self

    return train


def _train_anyway(right: Any) -> Any:
    return lambda self, mode=True: right(self, True)


def _plain_tuples(right: Any) -> Any:
    return lambda value, items: tuple(items) if isinstance(value, tuple) else right(value, items)


def _always_short(right: Any) -> Any:
    return lambda opening, arguments, closing=")": f"{opening}{', '.join(arguments)}{closing}"


def _seeded_again(right: Any) -> Any:
    return lambda: np.random.default_rng(0)


def _not_left(right: Any) -> Any:
    @contextmanager
    def drawing_from(generator: Any) -> Any:
        default._inside.set(generator)
        yield

    return drawing_from


def _every_seed_the_same(right: Any) -> Any:
    return lambda seed=None: right(0)


def _own_generators_alone(right: Any) -> Any:
    def generators_of(net: Any, data: Any = None) -> Any:
        return {name: g for name, g in right(net, data).items() if name == "random/default"}

    return generators_of


FAULTS = [
    *seen_by(
        f"{INIT}::test_values_have_their_documented_range",
        ("fan_out for fan_in", init, "kaiming_uniform_", _fan_out),
        ("the negative slope is ignored", init, "kaiming_uniform_", _options_ignored),
        ("the gain is ignored", init, "xavier_uniform_", _options_ignored),
        ("further axes do not count", init, "xavier_uniform_", _first_axes),
        ("evenly from 0", init, "uniform_", _from_zero),
    ),
    *seen_by(
        f"{INIT}::test_normal_values_have_their_mean_and_standard_deviation",
        ("std is taken for the variance", init, "normal_", _variance),
        ("all rows are the first", init, "normal_", _rows_alike),
    ),
    *seen_by(
        f"{INIT}::test_a_generator_determines_the_values_and_the_default_one_stays",
        ("the generator of initial values is ignored", init, "_source", _own_generator),
    ),
    *seen_by(
        f"{INIT}::test_values_are_written_in_place",
        ("the values are those of a new array", init, "uniform_", _new_array),
    ),
    *seen_by(
        f"{MODEL}::test_a_slice_of_a_sequential_is_one",
        ("the step of a slice is ignored", model.Sequential, "__getitem__", _without_step),
        ("a slice renumbers named layers", model.Sequential, "__getitem__", _renumbered),
    ),
    *seen_by(
        f"{MODEL}::test_layers_before_and_behind_a_frozen_one_get_their_gradients",
        ("no gradient of the input", model.Sequential, "pullback", _up_to_first_trainable),
        ("layers before a frozen one get no gradient", model.Sequential, "pullback", _up_to_last_trainable),
    ),
    *seen_by(
        f"{MODEL}::test_nothing_is_computed_before_the_first_trainable_layer",
        ("gradients before the first trainable layer", model.Sequential, "pullback", _everywhere),
    ),
    *seen_by(
        f"{MODEL}::test_a_module_list_is_a_list_whose_modules_belong_to_the_model",
        ("modules are inserted at the end", model.ModuleList, "insert", _appended),
        ("the first module is replaced", model.ModuleList, "__setitem__", _first_replaced),
        (
            "the last module is removed",
            model.ModuleList,
            "__delitem__",
            lambda right: lambda self, index: right(self, -1),
        ),
    ),
    *seen_by(
        f"{MODEL}::test_sequential_takes_a_list_or_modules_or_names",
        ("layers are iterated from the last", model.Sequential, "__iter__", _reversed),
    ),
    *seen_by(
        f"{MODEL}::test_module_dicts_compare_by_identity",
        ("module dicts compare by content", model.ModuleDict, "__eq__", _by_content),
    ),
    *seen_by(
        f"{MODEL}::test_attributes_of_a_container_subclass_belong_to_the_model",
        ("what a subclass adds is no child", model.ModuleList, "named_children", _children_alone),
    ),
    *seen_by(
        f"{MODEL}::test_a_container_takes_all_of_several_modules_or_none",
        ("several modules are taken in part", model.ModuleList, "extend", _one_by_one),
    ),
    *seen_by(
        f"{MODEL}::test_summary_counts_what_is_shared_once",
        ("shared parameters count twice", summary, "summary", _twice),
        ("arrays that two layers save count twice", summary, "_arrays", _each_array_anew),
    ),
    *seen_by(
        f"{MODEL}::test_sizes_have_binary_units",
        ("sizes in thousands under binary units", summary, "_size", _thousands),
    ),
    *seen_by(
        f"{MODEL}::test_summary_shows_shapes_parameters_and_memory",
        ("frozen parameters count as trainable", summary, "summary", _all_trainable),
    ),
    *seen_by(
        f"{MODEL}::test_summary_counts_the_mask_of_dropout_and_draws_nothing",
        ("a summary draws random numbers", preserve, "set_states", _generators_move),
        ("the generators of layers are not restored", preserve, "generators_of", _own_generators_alone),
    ),
    *seen_by(
        f"{MODEL}::test_repr_of_containers_reads_like_the_constructor_call",
        ("a long repr has one line", model, "constructor_call", _always_short),
    ),
    *seen_by(
        f"{MODULE}::test_train_and_eval_reach_every_module",
        ("layers inside keep their mode", module.Module, "train", _children_keep_their_mode),
        ("eval() trains", module.Module, "train", _train_anyway),
    ),
    *seen_by(
        f"{NESTED}::test_flatten_and_unflatten_round_trip",
        ("named tuples become tuples", nested, "_like", _plain_tuples),
    ),
    *seen_by(
        "test_random.py::test_the_default_generator_goes_on",
        ("the default generator starts anew at every call", default, "default_generator", _seeded_again),
    ),
    *seen_by(
        "test_random.py::test_drawing_from_ends_with_its_block",
        ("drawing_from goes on after its block", default, "drawing_from", _not_left),
    ),
    *seen_by(
        "test_random.py::test_manual_seed_determines_the_draws",
        ("every seed is 0", default, "manual_seed", _every_seed_the_same),
        ("no seed is the seed 0", default, "manual_seed", lambda right: lambda seed=None: right(seed or 0)),
    ),
    *seen_by(
        "test_random.py::test_what_is_no_seed_is_refused",
        ("any seed is accepted", default, "manual_seed", instead(lambda seed=None: np.random.default_rng(0))),
    ),
]
