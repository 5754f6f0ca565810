"""The package itself: what importing it gives, costs and changes."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import numpyml
from numpyml import memory
from numpyml.nn import storage


def python(code, **environment):
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment or None
    )
    assert not result.returncode, result.stderr
    return result.stdout.strip()


def test_public_names_exist():
    for name in numpyml.__all__:
        assert getattr(numpyml, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        numpyml.nothing  # noqa: B018  # reading it is the test


def test_nn_is_an_attribute_after_the_plain_import():
    assert python("import numpyml; print(numpyml.nn.layers.Dense(2, 1))") == "Dense(2, 1)"


def test_the_framework_needs_neither_torch_nor_the_harness():
    code = """if True:
        import sys, numpyml.nn, numpyml.autograd.gradcheck
        print("torch" in sys.modules, "conformance" in sys.modules)"""
    assert python(code) == "False False"


def test_default_generator_is_created_on_first_use():
    code = """if True:
        import numpy, sys
        before = "numpy.random" in sys.modules
        import numpyml
        print(before == ("numpy.random" in sys.modules))"""
    assert python(code) == "True"


def test_environment_variable_disables_memory_tuning(monkeypatch):
    monkeypatch.setenv("NUMPYML_KEEP_MEMORY", "0")
    memory.keep_freed_memory.cache_clear()
    assert memory.keep_freed_memory() is False
    memory.keep_freed_memory.cache_clear()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_first_optimizer_keeps_freed_memory():
    code = """if True:
        import resource, numpyml, numpy as np
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(5): np.ones(1 << 23)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        faults(); before = faults()
        from numpyml.nn import layers, optimizers
        layer = layers.Dense(1, 1)
        optimizers.SGD(layer.parameters(), layer.gradients(), 0.1)
        faults(); print(before, faults())"""
    before, after = map(int, python(code).split())
    assert after < before / 4  # 5 arrays of 64 MiB: glibc's own threshold rises to 32 MiB; import alone changes nothing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_allocated_in_turn_are_contiguous(dtype):
    dtype = np.dtype(dtype)
    arrays = [storage.allocate(shape, dtype)[0] for shape in ((3, 5), (7,), ())]
    for a, b in pairwise(arrays):
        if a.base is b.base:  # unless a chunk was full
            assert storage.are_contiguous(a, b)
            flat = storage.span(a, b)
            assert np.shares_memory(flat, a) and np.shares_memory(flat, b)
            assert flat[0] == a.flat[0] and flat.dtype == dtype
    assert all(a.ctypes.data % 64 == 0 for a in arrays)
    assert not storage.are_contiguous(arrays[1], arrays[0])
    assert not storage.are_contiguous(np.ones(3, dtype), np.ones(3, dtype))


def test_a_parameter_larger_than_a_chunk_gets_its_own():
    data, grad = storage.allocate((1000, 1000), np.dtype(np.float32))
    assert data.shape == grad.shape == (1000, 1000)
    assert not data.any() and not np.shares_memory(data, grad)
