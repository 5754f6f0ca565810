"""Every planted fault is seen by the test that must see it: the files of numpyml that no contract row covers.

Every third fault is planted here; all of them with ``FAULTS=all``, as ``tox -e faults`` does.
"""

from importlib import import_module
from pathlib import Path

import faults
import planted
import pytest

import numpyml
from conformance.faults import faults as seen_by_checks

NAMES = ["checkpoint", "data", "foundations", "generation", "gradcheck", "modules", "schedules", "training"]


@pytest.mark.parametrize("name", NAMES)
def test_fault_is_seen_by_its_test(name):
    assert planted.unseen(name) == []


def test_fault_that_is_not_seen_is_a_problem(monkeypatch):
    monkeypatch.setenv("FAULTS", "all")
    passed, crashed, gone, *left = planted.unseen("not_seen")
    sizes = "test_data.py::test_split_has_the_requested_sizes_and_each_row_once"
    assert passed == f"no fault at all: {sizes} passed"
    assert crashed.startswith(f"a crash: {sizes} ended in an error instead of an assertion: TypeError: ")
    assert gone == "a test that is gone: test_data.py::test_that_is_gone is no test"
    assert left == ["test_data.py::test_bad_options_are_refused: Failed: DID NOT RAISE OptionError without a fault"] * 2


def test_every_file_without_rows_has_a_fault():
    root = Path(numpyml.__file__).parent
    files = [path for folder in ("", "training", "nn") for path in (root / folder).glob("*.py")]
    modules = {".".join(path.relative_to(root.parent).with_suffix("").parts) for path in files}
    modules = {name for name in modules if not name.endswith(("__init__", "typing", "estimators"))}
    planted_in = {fault.component for name in NAMES for fault in import_module(f"faults.{name}").FAULTS}
    planted_in |= {faults.module_of(fault.owner, fault.attribute) for fault in seen_by_checks()}
    assert modules - planted_in == set()
    assert "numpyml.autograd.gradcheck" in planted_in
