"""Checkpoint files: damaged, interrupted, and from elsewhere."""

import errno
import json
import os
import re
import stat
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from runs import Run, net
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import numpyml
from numpyml import checkpoint
from numpyml.errors import CheckpointError, DTypeError, MissingPackageError, NumpymlError
from numpyml.nn import layers


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1, -200])
def test_truncated_file_is_refused(path, length):
    module = net()
    numpyml.save(path, net(), epoch=1)
    path.write_bytes(path.read_bytes()[:length])
    before = repr(module.state_dict())
    with pytest.raises(CheckpointError, match=r"expected a whole safetensors file.*older checkpoint"):
        numpyml.load(path, module)
    assert repr(module.state_dict()) == before


def test_file_of_another_format_is_refused(path):
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    with pytest.raises(CheckpointError, match="another kind"):
        numpyml.load(path.with_suffix(".npz"))


def test_every_flipped_bit_is_detected(path, rng):
    run = Run()
    run.train(1)
    numpyml.save(path, run.net, **run.parts(), epoch=1)
    whole = path.read_bytes()
    before = run.everything()
    for position in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            back = numpyml.load(path, run.net, **run.parts())
        except NumpymlError:
            continue
        assert back == {"epoch": 1} and run.everything() == before  # a bit of the padding


def test_later_version_is_refused(path):
    text = json.dumps({"version": 2})
    save_file({}, path, {"numpyml": text, "numpyml.crc32": str(zlib.crc32(text.encode()))})
    with pytest.raises(CheckpointError, match="version 1, got 2; use a newer numpyml"):
        numpyml.load(path)


def test_dtype_that_numpy_lacks_is_refused(path):
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(CheckpointError, match="dtypes that NumPy has too"):
        numpyml.load(path)


def test_path_that_cannot_be_written_is_named(path):
    numpyml.save(path, net())
    for target in (path.parent / "none" / "file", path / "file"):
        with pytest.raises(CheckpointError, match=rf"to {re.escape(str(target))}, got: [^/]+; .*save elsewhere"):
            numpyml.save(target, net())


@pytest.mark.parametrize("kind", ["a directory", "a device, a pipe or a socket"])
def test_what_is_no_file_is_neither_replaced_nor_read(path, kind):
    if kind == "a directory":
        path.mkdir()
    elif hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        pytest.skip("no pipes in this system's folders")
    mode = path.stat().st_mode
    for call in (numpyml.save, numpyml.load):
        message = rf"{call.__name__} expected the path of a file, got {re.escape(str(path))}: {kind} is there; "
        with pytest.raises(CheckpointError, match=message):
            call(path, net())
    assert path.stat().st_mode == mode and list(path.parent.iterdir()) == [path]


def test_file_that_may_not_be_read_is_not_called_missing(path, monkeypatch):
    numpyml.save(path, net())

    def refuse(self, *_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"load expected a file that can be read, got .*: Permission denied; "):
        numpyml.load(path, net())


def test_every_changed_dtype_or_shape_is_detected(path):
    """The header of the library stands outside of the arrays' bytes."""
    numpyml.save(path, net(), x=np.zeros((2, 3), np.int32))
    whole = path.read_bytes()
    for before, after in ((b'"I32","shape":[2,3]', b'"F32","shape":[2,3]'), (b"[2,3]", b"[3,2]"), (b"[2,3]", b"[1,6]")):
        assert before in whole
        path.write_bytes(whole.replace(before, after))
        with pytest.raises(CheckpointError, match="got another checksum of x"):
            numpyml.load(path)


@pytest.mark.skipif(sys.platform == "win32", reason="whether another process runs is not asked there")
def test_what_a_killed_process_began_to_write_is_removed_by_the_next_save(path):
    process = run(
        """
        import safetensors.numpy
        safetensors.numpy.save_file = lambda *_: os._exit(9)
        numpyml.save(path, net(1))
        """,
        path,
    )
    process.communicate()
    (left,) = path.parent.iterdir()
    living = left.with_name(left.name.replace(f"-{process.pid}-", f"-{os.getpid()}-"))
    elsewhere = path.with_name(f".{path.name}.00000000-{process.pid}-12345678")
    another = path.with_name(left.name.replace(path.name, f"{path.name}.old"))
    for other in (living, elsewhere, another):
        other.touch()
    numpyml.save(path, net())
    assert set(path.parent.iterdir()) == {path, living, elsewhere, another}


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not synced there")
def test_folder_is_synced_after_the_new_name_is_there(path, monkeypatch):
    synced = []

    def fsync(descriptor, sync=os.fsync):
        sync(descriptor)
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    numpyml.save(path, net())
    assert synced == [(False, False), (True, True)]


def test_ctrl_c_at_any_line_of_a_load_leaves_the_model_whole(path):
    """At any line of this module but of the restoration: a second Ctrl-C is another matter."""
    trained = Run()
    trained.train(2)
    numpyml.save(path, trained.net, **trained.parts())
    loaded = []
    for line in range(1, 1000):
        run, left = Run(), line
        old = run.everything()

        def trace(frame, event, argument):
            nonlocal left
            if frame.f_code.co_filename != checkpoint.__file__:
                return None
            if event == "line":
                left -= 1
                if not left:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            numpyml.load(path, run.net, **run.parts())
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        new = run.everything() != old
        assert not new or run.everything() == trained.everything()
        loaded.append(new)
        if left > 0:
            break
    assert len(loaded) > 30 and not loaded[0] and loaded[-1]


@pytest.mark.parametrize(("function", "argument"), [(numpyml.save, 5), (numpyml.load, None)])
def test_argument_that_is_not_a_path_is_refused(function, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a file of that name would be
    with pytest.raises(DTypeError, match=f"{function.__name__} expected a path, got {argument}"):
        function(argument, net())


def test_missing_file_is_a_file_not_found_error(path):
    with pytest.raises(FileNotFoundError):
        numpyml.load(path, net())


def run(code, *arguments):
    """Run a script in a new process, after common definitions."""
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
def test_full_disk_is_an_error_and_the_old_file_remains(path):
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
def test_failing_system_call_leaves_the_old_file(path, monkeypatch, call):
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
def test_process_dying_at_any_line_leaves_a_complete_file(path):
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
def test_process_killed_at_any_time_leaves_a_complete_file(path, rng):
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
def test_file_has_the_usual_permissions_and_keeps_its_own(path):
    plain = path.with_name("plain")
    plain.touch()
    numpyml.save(path, net())
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    numpyml.save(path, net())
    assert path.stat().st_mode & 0o777 == 0o640


def modify(path, change):
    """Change the metadata of a checkpoint and correct their checksum."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    description = json.loads(metadata["numpyml"])
    text = change(description) or json.dumps(description)
    save_file(load_file(path), path, {"numpyml": text, "numpyml.crc32": str(zlib.crc32(text.encode()))})


DESCRIPTION = [
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
]
STATE = [
    lambda d: d["parts"].update(optimizer=[]),
    lambda d: d["parts"]["optimizer"].pop("state") and None,
    lambda d: d["parts"].update(data_order={"bit_generator": "MT19937", "state": {"key": [1], "pos": -5}}),
    lambda d: d["parts"].update(data_order=7),
]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [(change, CheckpointError, "describe its parts as save does") for change in DESCRIPTION]
    + [(change, NumpymlError, ".") for change in STATE],
)
def test_modified_metadata_is_refused_and_nothing_changes(path, change, error, message):
    run = Run()
    run.train(1)
    numpyml.save(path, run.net, optimizer=run.optimizer, data_order=run.rng, epoch=1)
    modify(path, change)
    run.train(1)
    before = run.everything()
    with pytest.raises(error, match=message):
        numpyml.load(path, run.net, optimizer=run.optimizer, data_order=run.rng)
    assert run.everything() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_symbolic_link_is_preserved(path):
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


def test_import_does_not_import_safetensors():
    code = "import numpyml.checkpoint, sys; assert 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
