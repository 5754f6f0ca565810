"""Functions that write initial values: bad calls. Their distributions are held to PyTorch's by the harness."""

import numpy as np
import pytest

from numpyml.errors import DTypeError, OptionError, ShapeError
from numpyml.nn import init


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (init.uniform_, {"a": np.nan}, "uniform_ expected a to be a finite number"),
        (init.uniform_, {"a": 2.0, "b": 1.0}, "uniform_ expected b to be a = 2.0 or more"),
        (init.normal_, {"mean": [0.0, 1.0]}, "normal_ expected mean to be a finite number"),
        (init.normal_, {"std": np.nan}, "normal_ expected std to be a finite number of 0 or more"),
        (init.normal_, {"std": -1}, "normal_ expected std to be a finite number of 0 or more"),
        (init.kaiming_uniform_, {"a": "steep"}, "kaiming_uniform_ expected a to be a finite number"),
        (init.xavier_uniform_, {"gain": -1}, "xavier_uniform_ expected gain to be a finite number of 0 or more"),
    ],
)
def test_an_option_out_of_range_is_refused_and_nothing_is_written(function, options, said):
    array = np.full((3, 2), 7.0)
    with pytest.raises(OptionError, match=said):
        function(array, **options)
    assert (array == 7).all()


@pytest.mark.parametrize("function", [init.uniform_, init.normal_, init.kaiming_uniform_, init.xavier_uniform_])
def test_whole_numbers_are_refused(function):
    with pytest.raises(DTypeError, match="expected an array of floats, got an array of int64"):
        function(np.zeros((3, 2), np.int64))


@pytest.mark.parametrize(("function", "axes"), [(init.kaiming_uniform_, 1), (init.xavier_uniform_, 2)])
def test_too_few_axes_are_refused(function, axes):
    with pytest.raises(ShapeError, match=f"expected an array of {axes} axes or more"):
        function(np.zeros((3,) * (axes - 1)))
