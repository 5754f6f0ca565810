"""Checkpoints: weights and states are loaded bit for bit, or refused and nothing changes."""

import json

import numpy as np
import pytest
from runs import Run, adam, net
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import numpyml
from numpyml.errors import DTypeError, StateError
from numpyml.nn import Module, layers, model


def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(path):
    numpyml.manual_seed(3)
    run = Run()
    run.train(7)
    numpyml.save(path, run.net, **run.parts(), epoch=2, step=7)
    run.train(6)
    numpyml.manual_seed(99)
    other = Run()
    other.train(2)
    assert numpyml.load(path, other.net, **other.parts()) == {"epoch": 2, "step": 7}
    other.train(6)
    assert other.everything() == run.everything()


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_random_generators_continue_with_the_same_draws(path, kind):
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    rng.integers(
        0, 100, 7, dtype=np.int32
    )  # an odd number of halves of 64 bits: the last one is left for the next draw
    numpyml.save(path, net(), rng=rng)
    numpyml.load(path, rng=other)
    assert np.array_equal(rng.integers(0, 100, 7, dtype=np.int16), other.integers(0, 100, 7, dtype=np.int16))
    assert np.array_equal(rng.standard_normal(9), other.standard_normal(9))


VALUES = {
    "plain": [None, True, 3, -(2**100), 'text \N{GREEK SMALL LETTER ETA} " / $', 0.1, -0.0, 5e-324, 1e308],
    "unbounded": [float("inf"), -float("inf")],
    "pairs": ((1, (2.5,)), [], {}, ()),
    "dict": {"$array": "x", "": {"deep": [{"er": (1,)}]}},
    "keys": {0: "a", "0": "b", (1, 2): "c", None: "d", 2.5: "e"},
    "model": {"a/b": 1},
}


@pytest.mark.parametrize("name", [name for name in VALUES if name != "model"])
def test_values_are_restored_exactly(path, name):
    numpyml.save(path, net(), **{name: VALUES[name]})
    (back,) = numpyml.load(path).values()
    assert repr(back) == repr(VALUES[name])  # types and the sign of zero included


@pytest.mark.parametrize("dtype", ["b1", "i1", "u8", "f2", "f4", "f8", ">f4", ">i8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_and_scalars_keep_dtype_shape_and_bits(path, rng, dtype, shape):
    array = (rng.standard_normal(shape) * 9).astype(dtype) if shape else np.array(1, dtype)
    laid_out_otherwise = np.asfortranarray(array)[::-1] if shape else array
    numpyml.save(path, net(), a=array, b=[laid_out_otherwise, array.dtype.type(1)], nan=np.float32("nan"))
    back = numpyml.load(path)
    for x, y in ((back["a"], array), (back["b"][0], laid_out_otherwise)):
        assert x.dtype == array.dtype.newbyteorder("=") and x.shape == y.shape and np.array_equal(x, y)
    assert type(back["b"][1]) is array.dtype.type and np.isnan(back["nan"])


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[::-1], lambda x: np.broadcast_to(x[:1], x.shape)])
def test_arrays_of_any_memory_layout_are_stored_by_their_indices(path, rng, layout):
    array = layout(rng.standard_normal((3, 4)))
    numpyml.save(path, net(), array=array)
    assert np.array_equal(numpyml.load(path)["array"], array)


def test_names_of_parts_do_not_collide_with_parameter_names(path):
    class Odd(Module):
        def __init__(self):
            self.inside = model.ModuleDict({"optimizer/state": layers.Dense(1, 1)})

    odd, fresh = Odd(), Odd()
    taken = {"inside": {"optimizer/state.weight": np.arange(3)}, "inside.optimizer/state.weight": np.arange(4)}
    numpyml.save(path, odd, **taken)
    back = numpyml.load(path, fresh)
    assert np.array_equal(back["inside.optimizer/state.weight"], np.arange(4))
    assert np.array_equal(fresh.parameters()[0], odd.parameters()[0])


def test_weights_have_the_keys_of_the_state_dict(path):
    module = net()
    numpyml.save(path, module)
    written = load_file(path)
    assert {name: array.tolist() for name, array in written.items()} == {
        name: array.tolist() for name, array in module.state_dict().items()
    }
    with safe_open(path, "np") as file:
        assert file.metadata()["format"] == "pt"
        assert json.loads(file.metadata()["numpyml"])["parts"] == {}


def test_file_written_by_safetensors_is_loaded(path):
    module, other = net(), net(dtype=np.float64)
    save_file(module.state_dict(), path, {"format": "pt"})
    assert numpyml.load(path, other) == {}
    assert all(np.array_equal(p, q) for p, q in zip(module.parameters(), other.parameters(), strict=True))


def test_shared_parameter_stored_once_is_loaded_under_both_names(path):
    def tied():
        module = model.Sequential(layers.Dense(3, 3), layers.Dense(3, 3))
        module[1].weight = module[0].weight
        return module

    module, other = tied(), tied()
    state = module.state_dict()
    del state["1.weight"]
    save_file(state, path, {"1.weight": "0.weight"})
    numpyml.load(path, other)
    assert np.array_equal(module[1].weight.data, other[1].weight.data)


# What does not fit


def test_every_mismatch_is_listed_and_nothing_changes(path):
    run = Run()
    run.train(2)
    narrow = net(hidden=5)
    numpyml.save(path, narrow, optimizer=adam(narrow), data_order=np.random.default_rng(1), epoch=1)
    before = run.everything()
    gradients = [g.copy() for g in run.net.gradients()]
    with pytest.raises(StateError) as caught:
        numpyml.load(path, run.net, **run.parts(), epoch=0)
    for part in (
        "0.weight should have shape (6, 4), got an array of float32, shape (5, 4)",
        "3.weight should",
        "0.bias should",
        "scheduler is missing; of its kind the file has ['optimizer']",
        "dropout is missing; of its kind the file has ['data_order']",
        "data_order: state must be for a MT19937",
        "epoch has no state to load, being 0; load returns",
        str(path),
    ):
        assert part in str(caught.value)
    assert run.everything() == before
    assert all(np.array_equal(g, h) for g, h in zip(gradients, run.net.gradients(), strict=True))


def test_matching_parts_are_restored_when_another_fails(path):
    run = Run()
    run.train(2)
    numpyml.save(path, run.net, optimizer=run.optimizer, scheduler=run.optimizer)
    run.train(2)
    before = run.everything()
    with pytest.raises(StateError, match=r"scheduler: Decay expected count, best and seen, got \['param_groups'"):
        numpyml.load(path, run.net, optimizer=run.optimizer, scheduler=run.scheduler)
    assert run.everything() == before


def test_missing_and_extra_weights_are_listed(path):
    state = net().state_dict()
    state["4.weight"] = state.pop("3.weight")
    save_file(state, path)
    with pytest.raises(StateError, match=r"3\.weight is missing; 4\.weight is not in this model"):
        numpyml.load(path, net())


def test_disagreeing_tied_weights_are_listed_with_all_other_mismatches(path):
    tied = net()
    tied.tail = layers.Dense(4, 6)
    tied.tail.weight = tied[0].weight
    before = {name: x.tobytes() for name, x in tied.state_dict().items()}
    state = {name: x + 1 for name, x in tied.state_dict().items()}
    state |= {"tail.weight": state["tail.weight"] + 1, "tail.bias": np.zeros(7, np.float32), "more": np.zeros(1)}
    del state["3.bias"]
    save_file(state, path)
    with pytest.raises(StateError) as caught:
        numpyml.load(path, tied)
    for part in ("tail.weight differs from 0.weight", "tail.bias should have shape", "more is not", "3.bias is"):
        assert part in str(caught.value)
    assert {name: x.tobytes() for name, x in tied.state_dict().items()} == before


@pytest.mark.parametrize(
    "bad", [object(), lambda: 0, {1, 2}, 1j, np.longdouble(1), np.array(["a"]), [0, {"x": np.zeros(2, complex)}]]
)
def test_values_that_cannot_be_saved_are_refused_and_the_old_file_remains(path, bad):
    numpyml.save(path, net(), epoch=1)
    with pytest.raises(DTypeError, match="save expected bad"):
        numpyml.save(path, net(), bad=bad)
    assert numpyml.load(path) == {"epoch": 1}
    assert list(path.parent.iterdir()) == [path]


def test_value_that_contains_itself_is_refused(path):
    endless = [1]
    endless.append(endless)
    with pytest.raises(DTypeError, match="save expected bad to be nested less deeply, got a list that contains itself"):
        numpyml.save(path, net(), bad=endless)
    assert not path.exists()


def test_weights_wider_than_float64_are_refused(path):
    with pytest.raises(DTypeError, match=r"expected 0\.weight to be an array of a dtype that safetensors files have"):
        numpyml.save(path, net(dtype=np.longdouble))
    assert not path.exists()


@pytest.mark.parametrize("function", [numpyml.save, numpyml.load])
def test_argument_that_is_not_a_model_is_refused(path, function):
    with pytest.raises(DTypeError, match=r"expected a path and a model, got \{"):
        function(path, {})
