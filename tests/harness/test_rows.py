"""Rows describe their components, and the lists of components are generated from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from conformance import contracts
from conformance.cases.modules import ModuleCase
from conformance.comparison.rule import Input, arrays_of
from conformance.report import tables
from conformance.rows import ContainerRow, LossRow
from numpyml.nn import schedulers


def soft_margin(**options: Any) -> ModuleCase:
    """A loss with targets of floats, of which PyTorch has no gradient."""
    row = LossRow(type("SoftMargin", (), {}), "nn.SoftMarginLoss", {}, lambda o: st.just(()), **options)
    return ModuleCase(row, {}, (Input(np.array([0.5, -2.0])), Input(np.array([1.0, -1.0]))), np.float32, True, 0)


def test_a_loss_says_which_inputs_are_differentiable() -> None:
    case = soft_margin(differentiable=("outputs",))
    assert case.names == ["outputs", "targets"]
    assert list(map(str, case.torch(arrays_of(case.problem(), case.dtype)))) == ["output", "gradient of outputs"]
    case = soft_margin()
    with pytest.raises(RuntimeError, match="target"):
        case.torch(arrays_of(case.problem(), case.dtype))


def test_only_containers_and_composites_need_no_reference() -> None:
    without = {row.name for row in contracts.module_rows() if row.reference is None}
    assert without == {row.name for row in contracts.module_rows() if row.container or row.composed}
    assert all(isinstance(row, ContainerRow) == row.container for row in contracts.module_rows())


def test_every_component_is_listed_under_its_family() -> None:
    table = tables.components().splitlines()
    for family, rows in contracts.groups().items():
        (line,) = [line for line in table if line.startswith(f"| {family} |")]
        assert [tables.public_name(row) for row in rows] == line.split(" | ")[1].replace("`", "").rstrip(" |").split(
            ", "
        )
        assert all(f"  {row.name} " in tables.listing() for row in rows)


def test_the_page_of_components_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "components.md").read_text("utf-8")
    assert tables.components() in page, f"docs/components.md expects this table:\n{tables.components()}"


def test_public_names_without_a_row_are_read_from_the_source() -> None:
    assert tables.exported("numpyml.nn.schedulers") == schedulers.__all__
    with pytest.raises(ModuleNotFoundError, match=r"there is no module numpyml\.nothing"):
        tables.exported("numpyml.nothing")
