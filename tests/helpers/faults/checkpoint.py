"""Faults in checkpoints."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from faults import instead, seen_by
from numpyml import checkpoint

CONTENTS, FILE = "checkpoint/test_contents.py", "checkpoint/test_file.py"


def _errors_ignored(right: Any) -> Any:
    def error_of_setting(part: Any, state: Any) -> None:
        right(part, state)

    return error_of_setting


def _first_bad_part(right: Any) -> Any:
    """Nothing is set after the first part that fails; what was set before it stays."""

    def load(path: Any, model: Any = None, **parts: Any) -> Any:
        set_state, failed = checkpoint._set_state, False

        def set_once(part: Any, state: Any) -> None:
            nonlocal failed
            if not failed:
                try:
                    set_state(part, state)
                except Exception:
                    failed = True
                    raise

        checkpoint._set_state = set_once
        try:
            return right(path, model, **parts)
        finally:
            checkpoint._set_state = set_state

    return load


def _float32(right: Any) -> Any:
    def storable(value: Any, path: str) -> Any:
        array = right(value, path)
        return array.astype(np.float32) if array.dtype == np.float64 else array

    return storable


def _memory_order(right: Any) -> Any:
    def storable(value: Any, path: str) -> Any:
        array = np.asarray(value)
        right(value, path)
        return array if array.flags.c_contiguous else array.ravel("K").reshape(array.shape)

    return storable


def _flat(right: Any) -> Any:
    return lambda value, path: np.atleast_1d(right(value, path))


def _scalars_as_arrays(right: Any) -> Any:
    def from_json(written: Any, tensors: Any) -> Any:
        if isinstance(written, dict) and "$scalar" in written:
            written = {"$array": written["$scalar"]}
        return right(written, tensors)

    return from_json


def _tuples_as_lists(right: Any) -> Any:
    def to_json(value: Any, path: str, tensors: Any) -> Any:
        return right(list(value) if type(value) is tuple else value, path, tensors)

    return to_json


def _string_keys(right: Any) -> Any:
    def to_json(value: Any, path: str, tensors: Any) -> Any:
        if isinstance(value, Mapping):
            value = {key if type(key) is str else str(key): item for key, item in value.items()}
        return right(value, path, tensors)

    return to_json


def _same_names(right: Any) -> Any:
    def to_json(value: Any, path: str, tensors: Any) -> Any:
        return right(tensors.get(path, value), path, tensors)

    return to_json


def _no_state_of_generators(right: Any) -> Any:
    return lambda part: {} if isinstance(part, np.random.Generator) else right(part)


def _seed_alone(right: Any) -> Any:
    """A generator's buffered half of a draw is not saved."""

    def state(part: Any) -> Any:
        if not isinstance(part, np.random.Generator):
            return right(part)
        return {key: 0 if key in ("has_uint32", "uinteger") else value for key, value in right(part).items()}

    return state


def _not_flushed(right: Any) -> Any:
    return SimpleNamespace(**{**vars(os), "fsync": lambda descriptor: None})


def _link_replaced(right: Any) -> Any:
    class Unresolved(type(Path())):
        def resolve(self, strict: bool = False) -> Any:
            return self

    return lambda function, path: Unresolved(right(function, path))


def _bytes_alone(right: Any) -> Any:
    return lambda array: zlib.crc32(checkpoint._bytes(array))


def _version_ignored(right: Any) -> Any:
    return lambda path, description, tensors: right(path, {**description, "version": 1}, tensors)


def _first_entry_missing(right: Any) -> Any:
    return lambda path: tuple({} if i == 1 else part for i, part in enumerate(right(path)))


def _extra_files(right: Any) -> Any:
    def read(path: Any) -> Any:
        tensors, kinds, saved = right(path)
        return tensors, {**kinds, "path": ""}, {**saved, "path": str(path)}

    return read


def _rounded(right: Any) -> Any:
    def to_json(value: Any, path: str, tensors: Any) -> Any:
        return right(round(value, 12) if type(value) is float and abs(value) < 1 else value, path, tensors)

    return to_json


FAULTS = [
    *seen_by(
        f"{CONTENTS}::test_resumed_run_equals_an_uninterrupted_one_bit_for_bit",
        ("numbers are rounded to 12 digits", checkpoint, "_to_json", _rounded),
        ("load adds a part of its own", checkpoint, "_read", _extra_files),
    ),
    *seen_by(
        f"{CONTENTS}::test_random_generators_continue_with_the_same_draws",
        ("the buffered half of a draw is lost", checkpoint, "_state", _seed_alone),
    ),
    *seen_by(
        f"{CONTENTS}::test_values_are_restored_exactly",
        ("tuples become lists", checkpoint, "_to_json", _tuples_as_lists),
        ("keys become strings", checkpoint, "_to_json", _string_keys),
    ),
    *seen_by(
        f"{CONTENTS}::test_arrays_and_scalars_keep_dtype_shape_and_bits",
        ("float64 is stored as float32", checkpoint, "_storable", _float32),
        ("arrays without axes get one", checkpoint, "_storable", _flat),
        ("scalars become arrays", checkpoint, "_from_json", _scalars_as_arrays),
    ),
    *seen_by(
        f"{CONTENTS}::test_arrays_of_any_memory_layout_are_stored_by_their_indices",
        ("arrays are stored in the order of memory", checkpoint, "_storable", _memory_order),
    ),
    *seen_by(
        f"{CONTENTS}::test_names_of_parts_do_not_collide_with_parameter_names",
        ("a part gets the array of a layer of its name", checkpoint, "_to_json", _same_names),
    ),
    *seen_by(
        f"{CONTENTS}::test_every_mismatch_is_listed_and_nothing_changes",
        ("what comes after a part that fails is not restored", checkpoint, "load", _first_bad_part),
        ("errors of parts are ignored", checkpoint, "_error_of_setting", _errors_ignored),
    ),
    *seen_by(
        f"{FILE}::test_every_flipped_bit_is_detected",
        ("checksums are not compared", checkpoint, "_check", instead(lambda *arguments: None)),
    ),
    *seen_by(
        f"{FILE}::test_every_changed_dtype_or_shape_is_detected",
        ("a checksum of the bytes alone", checkpoint, "_checksum", _bytes_alone),
    ),
    *seen_by(
        f"{FILE}::test_folder_is_synced_after_the_new_name_is_there",
        ("the file is renamed before it is on the disk", checkpoint, "os", _not_flushed),
        ("the folder is not synced", checkpoint, "_sync_folder", instead(lambda folder: None)),
    ),
    *seen_by(
        f"{FILE}::test_what_a_killed_process_began_to_write_is_removed_by_the_next_save",
        ("what a killed process began to write stays", checkpoint, "_remove_abandoned", instead(lambda target: None)),
        ("what a running process writes is removed", checkpoint, "_runs", instead(lambda process: False)),
    ),
    *seen_by(
        f"{FILE}::test_later_version_is_refused",
        ("the version is not compared", checkpoint, "_parsed", _version_ignored),
    ),
    *seen_by(
        f"{FILE}::test_symbolic_link_is_preserved",
        ("a link is replaced by the file", checkpoint, "_path", _link_replaced),
    ),
    *seen_by(
        f"{FILE}::test_argument_that_is_not_a_path_is_refused",
        ("a file descriptor is taken for a path", checkpoint, "_path", instead(lambda function, path: Path(str(path)))),
    ),
]
