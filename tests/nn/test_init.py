"""Functions that write initial values: their ranges and bad calls. The harness holds the distributions to PyTorch's."""

import numpy as np
import pytest

import numpyml
from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn import Parameter, init
from numpyml.random import default_generator

FUNCTIONS = [init.uniform_, init.normal_, init.kaiming_uniform_, init.xavier_uniform_]


@pytest.mark.parametrize(
    ("name", "options", "low", "high"),
    [
        ("uniform_", {}, 0, 1),
        ("uniform_", {"a": -3.0, "b": 5.0}, -3, 5),
        ("kaiming_uniform_", {}, -((6 / 40) ** 0.5), (6 / 40) ** 0.5),
        ("kaiming_uniform_", {"a": 2.0}, -((6 / 200) ** 0.5), (6 / 200) ** 0.5),
        ("xavier_uniform_", {}, -((6 / 640) ** 0.5), (6 / 640) ** 0.5),
        ("xavier_uniform_", {"gain": 3.0}, -3 * (6 / 640) ** 0.5, 3 * (6 / 640) ** 0.5),
    ],
)
def test_values_have_their_documented_range(rng, name, options, low, high):
    array = np.empty((300, 20, 2))  # fan_in 40, fan_out 600
    getattr(init, name)(array, **options, generator=rng)
    shares = (array.ravel() - low) / (high - low)
    assert 0 <= shares.min() < 1e-3 and 1 - 1e-3 < shares.max() < 1
    np.testing.assert_allclose([shares.mean(), shares.std()], [1 / 2, 12**-0.5], atol=0.01)
    assert len(set(shares)) == array.size


def test_normal_values_have_their_mean_and_standard_deviation(rng):
    array = init.normal_(np.empty((300, 40)), 5.0, 3.0, rng)
    np.testing.assert_allclose([array.mean(), array.std()], [5, 3], atol=0.1)
    assert len(set(array.ravel())) == array.size
    standard = init.normal_(np.empty(12000), generator=rng)
    np.testing.assert_allclose([standard.mean(), standard.std()], [0, 1], atol=0.03)


@pytest.mark.parametrize("name", [function.__name__ for function in FUNCTIONS])
def test_a_generator_determines_the_values_and_the_default_one_stays(name):
    state = numpyml.manual_seed(3).bit_generator.state
    one, same = (getattr(init, name)(np.empty((4, 5)), generator=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, same) and default_generator().bit_generator.state == state
    assert np.array_equal(getattr(init, name)(np.empty((4, 5)), generator=np.random.default_rng(3)),
                          getattr(init, name)(np.empty((4, 5))))  # fmt: skip


@pytest.mark.parametrize("name", [function.__name__ for function in FUNCTIONS])
def test_values_are_written_in_place(rng, name):
    array = np.full((4, 6), np.nan, np.float32)
    assert getattr(init, name)(array[:, ::2], generator=rng).base is array
    assert np.isfinite(array[:, ::2]).all() and np.isnan(array[:, 1::2]).all()


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (init.uniform_, {"a": np.nan}, "uniform_ expected a to be a finite number"),
        (init.uniform_, {"a": 2.0, "b": 1.0}, "uniform_ expected b to be a = 2.0 or more"),
        (init.normal_, {"mean": [0.0, 1.0]}, "normal_ expected mean to be a finite number"),
        (init.normal_, {"std": np.nan}, "normal_ expected std to be a finite number of 0 or more"),
        (init.normal_, {"std": -1}, "normal_ expected std to be a finite number of 0 or more"),
        (init.kaiming_uniform_, {"a": "steep"}, "kaiming_uniform_ expected a to be a finite number"),
        (init.xavier_uniform_, {"gain": -1}, "xavier_uniform_ expected gain to be a finite number of 0 or more"),
        (init.kaiming_uniform_, {"a": 1e200}, "kaiming_uniform_ expected a to be a slope whose square is finite"),
        (
            init.uniform_,
            {"generator": 7},
            "uniform_ expected generator to be a numpy.random.Generator or None",
        ),
        (init.xavier_uniform_, {"generator": 7}, "^xavier_uniform_ expected generator to be"),
        (init.kaiming_uniform_, {"generator": 7}, "^kaiming_uniform_ expected generator to be"),
    ],
)
def test_an_option_out_of_range_is_refused_and_nothing_is_written(function, options, message):
    array = np.full((3, 2), 7.0)
    with pytest.raises(OptionError, match=message):
        function(array, **options)
    assert (array == 7).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("function", "options", "named"),
    [
        (init.uniform_, {"a": -0.6, "b": 0.6}, "a and b"),
        (init.uniform_, {"a": -1.0, "b": 0.1}, "a and b"),
        (init.normal_, {"mean": -1.0, "std": 0.01}, "mean and std"),
        (init.normal_, {"std": 0.1}, "mean and std"),
        (init.xavier_uniform_, {"gain": 0.9}, "gain"),
    ],
)
def test_values_beyond_the_arrays_precision_are_refused_by_the_options_that_were_given(function, options, named, dtype):
    array = np.full((3, 2), 7.0, dtype)
    largest = float(np.finfo(dtype).max)
    options = {name: largest * share for name, share in options.items()}
    with pytest.raises(OptionError, match=f"^{function.__name__} expected values.* of {dtype}, .*pass {named} nearer"):
        function(array, **options)
    assert (array == 7).all()


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (init.uniform_, {"b": 1.0}),
        (init.uniform_, {"a": -1.0, "b": -0.9}),
        (init.normal_, {"mean": 0.9, "std": 0.005}),
        (init.xavier_uniform_, {"gain": 0.45}),
    ],
)
def test_values_up_to_the_arrays_precision_are_finite(function, options, rng):
    array = np.zeros((30, 20), np.float32)
    largest = float(np.finfo(np.float32).max)
    function(array, **{name: largest * share for name, share in options.items()}, generator=rng)
    assert np.isfinite(array).all() and np.abs(array).max() > 0.05 * largest


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[0.0, 0.0]], r"an array to write into, got a list; make one, such as np\.empty\(\(3, 2\), np\.float32\)"),
        (0.0, "an array to write into, got a float; make one"),
        (Parameter(np.zeros((3, 2))), r"an array to write into, got a Parameter; pass its \.data"),
        (
            np.zeros((3, 4), np.int64),
            r"an array of floats, got an array of int64, .*; make it .* as np\.empty\(\(3, 4\)",
        ),
        (np.broadcast_to(0.0, (3, 2)), r"a writable array, got a read-only one, shape \(3, 2\); pass a copy"),
    ],
)
def test_read_only_targets_are_refused_with_a_remedy(function, array, message):
    with pytest.raises(DTypeError, match=f"^{function.__name__} expected {message}"):
        function(array)


@pytest.mark.parametrize(("function", "axes"), [(init.kaiming_uniform_, 1), (init.xavier_uniform_, 2)])
def test_too_few_axes_are_refused(function, axes):
    with pytest.raises(ShapeError, match=f"expected an array of {axes} axes or more, got .*; fill it by uniform_ or"):
        function(np.zeros((3,) * (axes - 1)))
