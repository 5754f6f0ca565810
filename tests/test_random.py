"""The default generator: seeds, draws, and another generator for a while."""

import threading

import numpy as np
import pytest

import numpyml
from numpyml.errors import OptionError
from numpyml.random import default_generator, drawing_from, manual_seed


def draw():
    return default_generator().random(3).tolist()


def test_manual_seed_determines_the_draws():
    draws = []
    for seed in (1, 2, 1, None, None):
        assert manual_seed(seed) is default_generator()
        draws.append(draw())
    assert draws[0] == draws[2] == np.random.default_rng(1).random(3).tolist()
    assert len({tuple(numbers) for numbers in draws}) == 4
    assert numpyml.manual_seed is manual_seed


def test_the_default_generator_goes_on():
    manual_seed(3)
    assert draw() + draw() == np.random.default_rng(3).random(6).tolist()


def test_drawing_from_ends_with_its_block():
    seen = []

    def block():
        with drawing_from(np.random.default_rng(8)):
            assert draw() == np.random.default_rng(8).random(3).tolist()
            thread = threading.Thread(target=lambda: seen.extend(draw()))  # whose default is the one of manual_seed
            thread.start()
            thread.join()
            raise KeyError

    manual_seed(4)
    with pytest.raises(KeyError):
        block()
    assert seen + draw() == np.random.default_rng(4).random(6).tolist()


@pytest.mark.parametrize("seed", [-1, 1.5, "x", object()])
def test_what_is_no_seed_is_refused(seed):
    manual_seed(5)
    with pytest.raises(OptionError, match="manual_seed expected seed to be an integer of 0 or more"):
        manual_seed(seed)
    assert draw() == np.random.default_rng(5).random(3).tolist()
