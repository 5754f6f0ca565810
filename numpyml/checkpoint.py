"""Checkpoints: a model, and the state that further training needs, in one safetensors file.

The model's arrays have their ``state_dict`` keys in the file, so PyTorch reads what numpyml wrote, and vice versa.
Arrays of the other parts are named by their path there (``optimizer/state/0/exp_avg``); other values are JSON in the
file's metadata. Nothing is pickled: loading a file never executes its content.
"""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import socket
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from numpyml.errors import CheckpointError, DTypeError, StateError, kind_of, missing_package
from numpyml.nn.module import Module
from numpyml.typing import Array, PathLike

__all__ = ["load", "save"]

_VERSION = 1  # of the metadata's format


def save(path: PathLike, model: Module, **parts: Any) -> None:
    """Write a checkpoint. A file of this name is replaced atomically, once the new one is complete and on the disk.

    Args:
        path: of the file.
        model: its arrays are written under their ``state_dict`` keys.
        parts: further objects to save, under names of your choice. Of an object with ``state_dict`` and
            ``load_state_dict`` (an optimizer, a scheduler) and of a ``numpy.random.Generator`` the state is written;
            numbers, strings, None, arrays, and lists, tuples and dicts of these are written as values.
            The generator of ``manual_seed`` is ``numpyml.random.default_generator()``.

    Raises: DTypeError, which names the key, for a value that cannot be written, and for what is no path or no model;
        CheckpointError when the disk is full or fails, or no file can be there, as where a directory or a device is;
        MissingPackageError without the package safetensors. An older file of this name is as it was then. (It also is
        when the process is killed; the next save removes what that process had begun to write.)

    PyTorch loads a file without parts as it is, ``net.load_state_dict(safetensors.torch.load_file(path))``; of one with
    parts it takes the entries that ``net.state_dict()`` has.
    """
    library = require_safetensors()
    target = _path("save", path).resolve()  # the file that a link leads to, so that the link stays
    _check_model("save", model)
    tensors = {name: _storable(array, name) for name, array in model.state_dict().items()}
    kinds = {name: _kind(part) for name, part in parts.items()}
    content = {name: _content(part, name, tensors) for name, part in parts.items()}
    sums = {name: _checksum(array) for name, array in tensors.items()}
    text = json.dumps({"version": _VERSION, "kinds": kinds, "parts": content, "crc32": sums}, allow_nan=False)
    metadata = {"format": "pt", "numpyml": text, "numpyml.crc32": str(zlib.crc32(text.encode()))}
    temporary = target.with_name(f".{target.name}.{_here()}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _check_file("save", target, "save elsewhere")
        _remove_abandoned(target)
        temporary.touch(exist_ok=False)
        mode = (target if target.exists() else temporary).stat().st_mode & 0o777
        library.save_file(tensors, temporary, metadata)
        temporary.chmod(mode)  # the library replaces the file by one that nobody else may read
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # or the new name could outlive a power failure that its contents did not
        temporary.replace(target)
        _sync_folder(target.parent)
    except (OSError, sys.modules["safetensors"].SafetensorError) as error:
        size = sum(array.nbytes for array in tensors.values())
        raise CheckpointError(
            f"save expected to write {size:,} bytes to {target}, got: {_reason(error)}; make room or save elsewhere. "
            "A file that was there is as it was"
        ) from error
    finally:
        with suppress(OSError):  # it may not exist, where the disk failed
            temporary.unlink()


def load(path: PathLike, model: Module | None = None, **parts: Any) -> dict[str, Any]:
    """Read a checkpoint into a model and into ``parts``: into all of them, or into none.

    Args:
        path: of a file that :func:`save` wrote, or any other safetensors file with the model's arrays.
        model: gets its arrays back; None leaves them in the file.
        parts: the objects whose state is restored, under the names that they were saved by.

    Returns:
        The parts saved as values, such as ``epoch=3``, by name. A saved state that is not in ``parts`` is ignored.

    Raises:
        StateError: listing all that is missing, unexpected or misshapen, in the model and every part. Nothing has
            changed then.
        CheckpointError: when the file is cut short, damaged or of another kind, or cannot be read.
        FileNotFoundError: when there is none.
        DTypeError: for what is no path or no model.
        MissingPackageError: without the package safetensors.
    """
    file = _path("load", path)
    if model is not None:
        _check_model("load", model)
    arrays, kinds, saved = _read(file)
    targets = [] if model is None else [("model", model, arrays)]
    problems = []
    for name, part in parts.items():
        if not _kind(part):
            problems.append(f"{name} has no state to load, being {kind_of(part)}; load returns what was saved as it is")
        elif kinds.get(name) != _kind(part):
            there = [other for other, kind in kinds.items() if kind == _kind(part)]
            problems.append(f"{name} is missing; of its kind the file has {there}")
        else:
            targets.append((name, part, saved[name]))
    before = [(part, _state(part)) for _, part, _ in targets]
    try:
        for name, *target in targets:  # Python 3.13 runs no handler for an interrupt between steps of a comprehension
            if error := _error_of_setting(*target):
                problems.append(f"{name}: {error}")
        if problems:
            raise StateError(f"load expected {path} to fit what it is loaded into. " + "; ".join(problems))
    except BaseException:  # Ctrl-C as well
        for part, state in before:
            _set_state(part, state)
        raise
    return {name: value for name, value in saved.items() if not kinds[name]}


def require_safetensors() -> Any:
    """The library, or the error that names the extra that brings it."""
    try:
        import safetensors.numpy
    except ImportError:
        raise missing_package("checkpoints", "safetensors", "checkpoint") from None
    return safetensors.numpy


def _path(function: str, path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise DTypeError(f"{function} expected a path, got {kind_of(path)}; pass a str or a pathlib.Path")
    return Path(path)


def _reason(error: Exception) -> str:
    """The reason of an error, without the name of the temporary file."""
    return getattr(error, "strerror", None) or str(error)


def _check_model(function: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise DTypeError(f"{function} expected a path and a model, got {kind_of(model)}; pass other parts by name")


# What has a state


def _kind(part: Any) -> str:
    """How the part's state is read and set; empty where it is a value, saved as it is."""
    if isinstance(part, np.random.Generator):
        return "generator"
    return "state" if hasattr(part, "state_dict") and hasattr(part, "load_state_dict") else ""


def _state(part: Any) -> Any:
    return part.bit_generator.state if isinstance(part, np.random.Generator) else part.state_dict()


def _set_state(part: Any, state: Any) -> None:
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    else:
        part.load_state_dict(state)


def _error_of_setting(part: Any, state: Any) -> Exception | None:
    """Set the state; return the error that the part raised, if any."""
    try:
        _set_state(part, state)
    except Exception as error:  # noqa: BLE001  # a part may be of any class, and so may what it raises
        return error
    return None


# Between Python's values and JSON, which holds strings, booleans, finite numbers, lists and dicts of string keys.
# Everything else is a dict with one key that begins with a $ and names its type.


def _content(part: Any, name: str, tensors: dict[str, Array]) -> Any:
    """A part, or its state, as a JSON value."""
    try:
        return _to_json(_state(part) if _kind(part) else part, name, tensors)
    except RecursionError:
        raise DTypeError(
            f"save expected {name} to be nested less deeply, got a {type(part).__name__} that contains itself, "
            "or hundreds of levels; save its parts one by one"
        ) from None


def _to_json(value: Any, path: str, tensors: dict[str, Array]) -> Any:
    """The value as a JSON value; its arrays go to ``tensors``, named by their path."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if type(value) is list:
        return [_to_json(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
    if type(value) is tuple:
        return {"$tuple": _to_json(list(value), path, tensors)}
    if isinstance(value, Mapping):
        items = [(key, _to_json(item, f"{path}/{key}", tensors)) for key, item in value.items()]
        if all(type(key) is str and not key.startswith("$") for key in value):
            return dict(items)
        return {"$dict": [[_to_json(key, f"{path}, a key", tensors), item] for key, item in items]}
    if isinstance(value, (np.ndarray, np.generic)):
        array = _storable(value, path)
        while path in tensors:  # a layer of the model has this name
            path += "'"
        tensors[path] = array
        return {"$array" if isinstance(value, np.ndarray) else "$scalar": path}
    raise DTypeError(
        f"save expected {path} to be made of numbers, strings, None, arrays, lists, tuples and dicts, "
        f"or to have state_dict and load_state_dict, got {kind_of(value)}; convert it to these"
    )


def _from_json(written: Any, tensors: dict[str, Array]) -> Any:
    """The value that ``_to_json`` wrote; its arrays are taken out of ``tensors``."""
    if isinstance(written, list):
        return [_from_json(item, tensors) for item in written]
    if not isinstance(written, dict):
        return written
    content: Any
    tag, content = next(iter(written.items()), ("", None))
    if not tag.startswith("$"):
        return {key: _from_json(item, tensors) for key, item in written.items()}
    if tag == "$float":
        return float(content)
    if tag == "$tuple":
        return tuple(_from_json(content, tensors))
    if tag == "$dict":
        return {_from_json(key, tensors): _from_json(item, tensors) for key, item in content}
    if tag not in ("$array", "$scalar"):
        raise ValueError(tag)
    array = tensors.pop(content)
    return array[()] if tag == "$scalar" else array


_STORABLE = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def _storable(value: Any, path: str) -> Array:
    array = np.asarray(value, order="C")  # the library writes the array's memory unchanged
    if array.dtype.str[1:] not in _STORABLE:
        raise DTypeError(
            f"save expected {path} to be an array of a dtype that safetensors files have, float64 at most, "
            f"got {kind_of(array)}; convert it first"
        )
    return array


# The file


def _bytes(array: Array) -> Any:
    """The array's bytes as the file has them: little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)


def _checksum(array: Array) -> int:
    """The checksum of an array's dtype, shape and bytes."""
    return zlib.crc32(_bytes(array), zlib.crc32(f"{array.dtype.str[1:]} {array.shape}".encode()))


def _check(path: Path, expected: str | None, checksum: int, name: str) -> None:
    if expected != str(checksum):
        raise CheckpointError(
            f"load expected {path} as it was written, got another checksum of {name}: the file is damaged; "
            "take an older checkpoint"
        )


def _check_file(function: str, path: Path, remedy: str) -> None:
    """Raise where something other than a file is: replacing a device would destroy it, and a pipe has no end."""
    if path.exists() and not path.is_file():
        what = "a directory" if path.is_dir() else "a device, a pipe or a socket"
        raise CheckpointError(f"{function} expected the path of a file, got {path}: {what} is there; {remedy}")


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of processes of this machine that have died."""
    name = re.compile(re.escape(f".{target.name}.{_here()}-") + r"(\d+)-[0-9a-f]{8}")
    for path in target.parent.iterdir():
        if (written := name.fullmatch(path.name)) and not _runs(int(written[1])):
            with suppress(OSError):  # another process may have removed it
                path.unlink()


def _runs(process: int) -> bool:
    """Whether a process is running; always True on Windows, where the signal 0 would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def _here() -> str:
    """A name of this machine: process numbers are not unique among machines that share the folder."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can: only then is a new name permanent."""
    with suppress(OSError):  # Windows opens no folder, and some file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> tuple[dict[str, Array], dict[str, str], dict[str, Any]]:
    """The model's arrays, and the kind and the value of each part; none of these in a file from elsewhere."""
    require_safetensors()
    from safetensors import SafetensorError, safe_open

    _check_file("load", path, "pass the path of a file that save wrote")
    try:
        path.open("rb").close()  # the library reports whatever cannot be opened as not found
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"load expected a file that can be read, got {path}: {_reason(error)}; "
            "pass the path of a file that save wrote"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"load expected a whole safetensors file, got {path}, where the library reports: {error}; it was cut short "
            "or damaged, or is of another kind; take an older checkpoint, or for another kind its own reader (what "
            "torch.save wrote is a pickle, which may run anything: convert it with safetensors.torch.save_file)"
        ) from error
    except TypeError as error:
        raise CheckpointError(
            f"load expected {path} to have dtypes that NumPy has too, got one it has not ({error}); "
            "convert the arrays where the file was written, to float32 for one"
        ) from error
    text = metadata.get("numpyml")
    if text is None:  # from elsewhere; PyTorch's save_model omits a shared tensor and records the name of its duplicate
        tensors.update({name: tensors[saved] for name, saved in metadata.items() if saved in tensors})
        return tensors, {}, {}
    _check(path, metadata.get("numpyml.crc32"), zlib.crc32(text.encode()), "the description of the parts")
    try:
        return _parsed(path, json.loads(text), tensors)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"load expected {path} to describe its parts as save does, got {error!r} from it: the file was changed "
            "after it was written; take an older checkpoint"
        ) from error


def _parsed(
    path: Path, description: dict[str, Any], tensors: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, str], dict[str, Any]]:
    """The parts as the file describes them; what is left of the tensors are the model's."""
    if description["version"] != _VERSION:
        raise CheckpointError(
            f"load expected {path} to be of version {_VERSION}, got {description['version']}; use a newer numpyml"
        )
    for name, array in tensors.items():
        _check(path, str(description["crc32"].get(name)), _checksum(array), name)
    if missing := set(description["crc32"]) - set(tensors):
        raise KeyError(*sorted(missing))
    kinds = description["kinds"]
    if set(kinds) != set(description["parts"]) or not set(kinds.values()) <= {"", "state", "generator"}:
        raise ValueError(f"kinds {kinds} of parts {list(description['parts'])}")
    return tensors, kinds, {name: _from_json(part, tensors) for name, part in description["parts"].items()}
