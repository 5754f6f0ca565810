"""Data and models of the estimators' tests."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def line():
    x = np.random.default_rng(0).standard_normal((120, 3))
    return x, x @ [1.0, -2.0, 0.5]
