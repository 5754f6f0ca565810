"""Every fault planted in the harness itself is seen by the test that must see it.

Every third fault is planted here; all of them with ``FAULTS=all``, as ``tox -e faults`` does.
"""

from __future__ import annotations

import planted
import pytest


@pytest.mark.parametrize("name", ["checks", "comparison", "runs"])
def test_fault_is_seen_by_its_test(name: str) -> None:
    assert planted.unseen(name) == []
