"""Checkpoints: what comes back is what was saved, bit by bit, or an error and nothing."""

import errno
import json
import os
import re
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import numpyml
from numpyml.errors import CheckpointError, DTypeError, MissingPackageError, NumpymlError, StateError
from numpyml.nn import Module, activations, layers, losses, model, optimizers
from numpyml.random import default_generator


def net(hidden=6, dtype=np.float32):
    stack = layers.Dense(4, hidden, dtype=dtype), activations.ReLU(), layers.Dropout(0.3), layers.Dense(hidden, 2)
    return model.Sequential(*stack)


def adam(module, **options):
    return optimizers.Adam(module.parameters(), module.gradients(), **{"learning_rate": 0.01, **options})


class Decay:
    """A scheduler as they all are: a state in a dict, and a count."""

    def __init__(self, optimizer):
        self.optimizer, self.count, self.best, self.seen = optimizer, 0, float("inf"), {}

    def step(self):
        self.count += 1
        self.seen[self.count] = ("rate", self.count / 3)
        self.optimizer.param_groups[0]["learning_rate"] *= 0.9

    def state_dict(self):
        return {"count": self.count, "best": self.best, "seen": dict(self.seen)}

    def load_state_dict(self, state):
        if set(state) != {"count", "best", "seen"}:
            raise StateError(f"Decay expected count, best and seen, got {sorted(state)}")
        self.count, self.best, self.seen = state["count"], state["best"], state["seen"]


class Run:
    """A training with everything that has a state."""

    def __init__(self):
        self.net = net()
        self.optimizer = adam(self.net, amsgrad=True)
        self.scheduler = Decay(self.optimizer)
        self.rng = np.random.Generator(np.random.MT19937(7))

    def train(self, steps):
        loss_fn = losses.MeanSquaredError()
        for _ in range(steps):
            x = self.rng.standard_normal((5, 4), np.float32)
            loss_fn.forward(self.net.forward(x), x[:, :2])
            self.optimizer.zero_grad()
            self.net.backward(loss_fn.backward())
            self.optimizer.step()
            self.scheduler.step()

    def parts(self):
        return {
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "data_order": self.rng,
            "dropout": default_generator(),
        }

    def everything(self):
        """All that a step could change, as one text."""
        with np.printoptions(floatmode="unique", threshold=sys.maxsize):
            states = self.net.state_dict(), self.optimizer.state_dict(), self.scheduler.state_dict()
            return repr((*states, self.rng.bit_generator.state, default_generator().bit_generator.state))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(path):
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
def test_every_random_generator_goes_on_where_it_was(path, kind):
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    rng.integers(0, 100, 7, dtype=np.int16)
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
def test_values_come_back_as_they_were(path, name):
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


def test_names_that_a_layer_has_taken_are_left_to_it(path):
    class Odd(Module):
        def __init__(self):
            self.inside = model.ModuleDict({"optimizer/state": layers.Dense(1, 1)})

    odd, fresh = Odd(), Odd()
    taken = {"inside": {"optimizer/state.weight": np.arange(3)}, "inside.optimizer/state.weight": np.arange(4)}
    numpyml.save(path, odd, **taken)
    back = numpyml.load(path, fresh)
    assert np.array_equal(back["inside.optimizer/state.weight"], np.arange(4))
    assert np.array_equal(fresh.parameters()[0], odd.parameters()[0])


def test_weights_stand_under_the_keys_of_the_state_dict(path):
    module = net()
    numpyml.save(path, module)
    written = load_file(path)
    assert {name: array.tolist() for name, array in written.items()} == {
        name: array.tolist() for name, array in module.state_dict().items()
    }
    with safe_open(path, "np") as file:
        assert file.metadata()["format"] == "pt"
        assert json.loads(file.metadata()["numpyml"])["parts"] == {}


def test_a_file_from_elsewhere_is_read(path):
    module, other = net(), net(dtype=np.float64)
    save_file(module.state_dict(), path, {"format": "pt"})
    assert numpyml.load(path, other) == {}
    assert all(np.array_equal(p, q) for p, q in zip(module.parameters(), other.parameters(), strict=True))


def test_a_shared_parameter_that_pytorch_left_out_is_found_under_its_other_name(path):
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


def test_all_that_does_not_fit_is_listed_and_nothing_changes(path):
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


def test_a_part_that_fits_is_put_back_when_another_does_not(path):
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


def test_a_file_whose_tied_weights_disagree_is_refused_with_all_else_that_is_wrong(path):
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
def test_what_cannot_be_written_is_refused_and_the_old_file_stays(path, bad):
    numpyml.save(path, net(), epoch=1)
    with pytest.raises(DTypeError, match="save expected bad"):
        numpyml.save(path, net(), bad=bad)
    assert numpyml.load(path) == {"epoch": 1}
    assert list(path.parent.iterdir()) == [path]


def test_a_value_that_holds_itself_is_refused(path):
    endless = [1]
    endless.append(endless)
    with pytest.raises(DTypeError, match="save expected bad to end somewhere, got a list that holds itself"):
        numpyml.save(path, net(), bad=endless)
    assert not path.exists()


def test_weights_wider_than_float64_are_refused(path):
    with pytest.raises(DTypeError, match=r"expected 0\.weight to be an array of a dtype that safetensors files have"):
        numpyml.save(path, net(dtype=np.longdouble))
    assert not path.exists()


@pytest.mark.parametrize("function", [numpyml.save, numpyml.load])
def test_anything_but_a_model_is_refused(path, function):
    with pytest.raises(DTypeError, match=r"expected a path and a model, got \{"):
        function(path, {})


# The file itself


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1, -200])
def test_a_file_cut_short_is_told(path, length):
    module = net()
    numpyml.save(path, net(), epoch=1)
    path.write_bytes(path.read_bytes()[:length])
    before = repr(module.state_dict())
    with pytest.raises(CheckpointError, match=r"expected a whole safetensors file.*older checkpoint"):
        numpyml.load(path, module)
    assert repr(module.state_dict()) == before


def test_a_file_of_another_kind_is_told(path):
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    with pytest.raises(CheckpointError, match="another kind"):
        numpyml.load(path.with_suffix(".npz"))


def test_every_flipped_bit_is_noticed(path, rng):
    run = Run()
    run.train(1)
    numpyml.save(path, run.net, **run.parts(), epoch=1)
    whole = path.read_bytes()
    before = run.everything()
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            back = numpyml.load(path, run.net, **run.parts())
        except NumpymlError:
            continue
        assert back == {"epoch": 1} and run.everything() == before  # in the padding, where nothing stands


def test_a_later_version_is_told(path):
    text = json.dumps({"version": 2})
    save_file({}, path, {"numpyml": text, "numpyml.crc32": str(zlib.crc32(text.encode()))})
    with pytest.raises(CheckpointError, match="version 1, got 2; use a newer numpyml"):
        numpyml.load(path)


def test_a_dtype_that_numpy_has_not_is_told(path):
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(CheckpointError, match="dtypes that NumPy has too"):
        numpyml.load(path)


def test_a_place_where_no_file_can_be_is_told_by_its_own_name(path):
    for place in (path.parent / "none" / "file", path.parent):
        with pytest.raises(CheckpointError, match=rf"to {re.escape(str(place))}, got: [^/]+; .*save elsewhere"):
            numpyml.save(place, net())
    numpyml.save(path, net())
    with pytest.raises(CheckpointError, match=rf"to {re.escape(str(path))}/file, got: [^/]+; .*save elsewhere"):
        numpyml.save(path / "file", net())
    with pytest.raises(CheckpointError, match=r"load expected a file that can be read, got .* directory"):
        numpyml.load(path.parent, net())


@pytest.mark.parametrize(("function", "place"), [(numpyml.save, 5), (numpyml.load, None)])
def test_anything_but_a_path_is_refused(function, place):
    with pytest.raises(DTypeError, match=f"{function.__name__} expected a path, got {place}"):
        function(place, net())


def test_no_file_is_pythons_own_error(path):
    with pytest.raises(FileNotFoundError):
        numpyml.load(path, net())


def run(code, *arguments):
    """A script in a process of its own, after what it needs."""
    head = """
        import os, resource, sys
        import numpy as np
        import numpyml
        from numpyml.nn import layers
        path = sys.argv[1]
        def net(epoch):
            layer = layers.Dense(50, 40)
            layer.weight.data[...] = layer.bias.data[...] = epoch
            return layer
        def epoch_of(path):
            layer = layers.Dense(50, 40)
            epoch = numpyml.load(path, layer)["epoch"]
            assert (layer.weight.data == epoch).all()
            return epoch
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to a file's size to be set there")
def test_a_full_disk_is_told_and_leaves_the_old_file(path):
    """The system itself refuses to write more, after more and more bytes."""
    process = run(
        """
        numpyml.save(path, net(2), epoch=2)
        size = os.path.getsize(path)  # not that of another epoch, whose checksum may have a digit more
        numpyml.save(path, net(1), epoch=1)
        for limit in (0, 1, 100, size // 2, size - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                numpyml.save(path, net(2), epoch=2)
            except numpyml.errors.CheckpointError as error:
                assert "save expected to write 8,160 bytes to " + path in str(error) and "make room" in str(error)
            else:
                raise AssertionError(limit)
            assert epoch_of(path) == 1 and os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        numpyml.save(path, net(2), epoch=2)
        assert epoch_of(path) == 2
        print("whole")
        """,
        path,
    )
    assert process.communicate(timeout=60)[0] == "whole\n"


@pytest.mark.parametrize("call", ["touch", "stat", "chmod", "open", "replace", "fsync"])
def test_an_error_of_any_call_on_the_way_leaves_the_old_file(path, monkeypatch, call):
    numpyml.save(path, net(), epoch=1)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os if call == "fsync" else Path, call, full)
        with pytest.raises(CheckpointError, match=f"to {re.escape(str(path))}, got: No space left on device"):
            numpyml.save(path, net(), epoch=2)
    assert numpyml.load(path) == {"epoch": 1}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it takes fork to die at a chosen line")
def test_a_process_that_dies_at_any_line_leaves_the_old_or_the_new_file_whole(path):
    process = run(
        """
        from numpyml import checkpoint
        numpyml.save(path, net(1), epoch=1)
        epochs = []
        for line in range(1, 1000):
            child = os.fork()
            if not child:
                left = line
                def trace(frame, event, argument):
                    global left
                    if frame.f_code.co_filename != checkpoint.__file__:
                        return None
                    if event == "line":
                        left -= 1
                        if not left:
                            os._exit(9)
                    return trace
                sys.settrace(trace)
                numpyml.save(path, net(2), epoch=2)
                os._exit(0)
            died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            epochs.append(epoch_of(path))
            if not died:
                break
        assert died == 0 and epochs[0] == 1 and epochs[-1] == 2 and epochs == sorted(epochs), epochs
        print(len(epochs) > 30)
        """,
        path,
    )
    assert process.communicate(timeout=120)[0] == "True\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a process is killed in another way there")
def test_a_process_that_is_killed_at_any_time_leaves_the_old_or_the_new_file_whole(path, rng):
    last = 0
    for _ in range(5):
        process = run(
            """
            start = int(sys.argv[2])
            print("ready", flush=True)
            for epoch in range(start + 1, start + 10**6):
                numpyml.save(path, net(epoch), epoch=epoch)
            """,
            path, last,
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.03)))
        process.kill()
        process.communicate()
        layer = layers.Dense(50, 40)
        epoch = numpyml.load(path, layer)["epoch"]
        assert (layer.weight.data == epoch).all() and epoch >= last
        last = epoch
    assert last > 0


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")
def test_a_file_may_be_read_by_whom_other_files_may(path):
    plain = path.with_name("plain")
    plain.touch()
    numpyml.save(path, net())
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    numpyml.save(path, net())
    assert path.stat().st_mode & 0o777 == 0o640


def forged(path, change):
    """The checkpoint, its description changed and the checksum of it mended."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    description = json.loads(metadata["numpyml"])
    text = change(description) or json.dumps(description)
    save_file(load_file(path), path, {"numpyml": text, "numpyml.crc32": str(zlib.crc32(text.encode()))})


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(),
        lambda d: d.pop("kinds") and None,
        lambda d: d.pop("crc32") and None,
        lambda d: d["crc32"].update(more=1),
        lambda d: d["kinds"].update(epoch="program"),
        lambda d: d["kinds"].clear(),
        lambda d: d["parts"].update(optimizer={"$array": "nowhere"}),
        lambda d: d["parts"].update(optimizer={"$call": "os.system"}),
        lambda d: d["parts"].update(epoch={"$tuple": 3}),
        lambda d: d["parts"].update(epoch={"$float": []}),
        lambda d: d["parts"].update(epoch={"$dict": [[[], 1]]}),
        lambda d: "[" * 100_000,
        lambda d: "[1]",
        lambda d: "no JSON",
    ],
)
def test_a_description_that_somebody_changed_is_told_and_nothing_changes(path, change):
    run = Run()
    run.train(1)
    numpyml.save(path, run.net, optimizer=run.optimizer, epoch=1)
    forged(path, change)
    run.train(1)
    before = run.everything()
    with pytest.raises(CheckpointError, match="describe its parts as save does"):
        numpyml.load(path, run.net, optimizer=run.optimizer)
    assert run.everything() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["parts"].update(optimizer=[]),
        lambda d: d["parts"]["optimizer"].pop("state") and None,
        lambda d: d["parts"].update(data_order={"bit_generator": "MT19937", "state": {"key": [1], "pos": -5}}),
        lambda d: d["parts"].update(data_order=7),
    ],
)
def test_a_state_that_somebody_changed_is_told_and_nothing_changes(path, change):
    run = Run()
    run.train(1)
    numpyml.save(path, run.net, optimizer=run.optimizer, data_order=run.rng)
    forged(path, change)
    run.train(1)
    before = run.everything()
    with pytest.raises(NumpymlError):
        numpyml.load(path, run.net, optimizer=run.optimizer, data_order=run.rng)
    assert run.everything() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_one(path):
    link = path.with_name("latest")
    link.symlink_to(path)
    numpyml.save(link, net(), epoch=1)
    assert link.is_symlink() and numpyml.load(path) == {"epoch": 1}


def test_without_safetensors_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: numpyml.save(path, net()), lambda: numpyml.load(path)):
        with pytest.raises(MissingPackageError, match=r"pip install 'provengrad\[checkpoint\]'") as caught:
            call()
        assert isinstance(caught.value, ImportError)


def test_import_does_not_look_for_safetensors():
    code = "import numpyml.checkpoint, sys; assert 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
