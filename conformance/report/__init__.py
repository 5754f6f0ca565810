"""How a person reads a run: on the terminal as it goes, and afterwards as a page."""

from __future__ import annotations

from conformance.report.files import NAMES, prepared, read, write
from conformance.report.terminal import failure, footer, table, watched

__all__ = ["NAMES", "failure", "footer", "prepared", "read", "table", "watched", "write"]
