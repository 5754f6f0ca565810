"""Every planted fault is seen by the test that must see it: estimators, metrics, plots and bars."""

import planted


def test_fault_is_seen_by_its_test():
    assert planted.unseen("extras") == []
