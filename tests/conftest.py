"""What all tests share."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    """A generator at a fixed seed."""
    return np.random.default_rng(1234)
