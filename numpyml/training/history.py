"""History of training: one record per epoch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from numpyml.errors import missing_package

__all__ = ["History"]

_NOT_PLOTTED = ("epoch", "seconds", "learning_rate")


def figures(record: Mapping[str, Any]) -> list[str]:
    """Name and value of each figure of an epoch, the loss first."""
    return [f"{name} {value:.4g}" for name, value in record.items() if name not in _NOT_PLOTTED]


class History:
    """The epochs of a training: a dict each, with ``epoch`` (from 1), ``loss``, ``learning_rate``, ``seconds``, and
    with validation data ``val_loss`` and ``val_`` and the name of each metric.

    ``history["loss"]`` is a list with an entry for each epoch, ``history[-1]`` the record of the last one.

    Args:
        records: of earlier epochs, which new ones follow.
    """

    def __init__(self, records: list[dict[str, Any]] | None = None) -> None:
        self.records = list(records or [])
        self.best_epoch: int | None = None
        """The epoch with the best monitored figure."""
        self.stopped = ""
        """Why the training ended before its last epoch; empty where it did not."""

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __getitem__(self, key: str | int) -> Any:
        return self.to_dict()[key] if isinstance(key, str) else self.records[key]

    def to_dict(self) -> dict[str, list[Any]]:
        """A list for each figure, None where an epoch lacks it."""
        names = dict.fromkeys(name for record in self.records for name in record)
        return {name: [record.get(name) for record in self.records] for name in names}

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row for each epoch. Raises MissingPackageError without pandas."""
        try:
            import pandas as pd  # optional
        except ImportError:
            raise missing_package("History.to_frame", "pandas", "training") from None
        return pd.DataFrame(self.to_dict()).set_index("epoch") if self.records else pd.DataFrame()

    def plot(self) -> Any:
        """A matplotlib Figure: the losses, and where there are metrics these beside them.

        It needs no display and leaves pyplot alone: ``history.plot().savefig("training.png")``; a notebook shows it.
        Raises MissingPackageError without matplotlib.
        """
        try:
            from matplotlib.figure import Figure  # optional
        except ImportError:
            raise missing_package("History.plot", "matplotlib", "training") from None

        columns = self.to_dict()
        metrics = [name for name in columns if name not in _NOT_PLOTTED and not name.endswith("loss")]
        panels: list[list[str]] = [
            [name for name in ("loss", "val_loss") if name in columns],
            *([metrics] if metrics else []),
        ]
        figure = Figure(figsize=(5 * len(panels), 3.5), layout="constrained")
        vars(figure)["_repr_png_"] = partial(_png, figure)  # a notebook shows it also where pyplot was never imported
        for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for name in names:
                values = [float("nan") if value is None else value for value in columns[name]]
                axes.plot(columns["epoch"], values, label=name, marker="." if len(values) < 20 else None)
            if self.best_epoch is not None:
                axes.axvline(self.best_epoch, color="0.7", linestyle=":", label=f"best: epoch {self.best_epoch}")
            axes.set_xlabel("epoch")
            if names:
                axes.legend()
        return figure

    def __repr__(self) -> str:
        if not self.records:
            epochs = "no epoch"
        else:
            epochs = f"{len(self)} epoch{'s' * (len(self) > 1)}: {', '.join(figures(self.records[-1]))}"
        best = "" if self.best_epoch is None else f"; best: epoch {self.best_epoch}"
        return f"History({epochs}{best}{'; stopped: ' * bool(self.stopped)}{self.stopped})"


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
