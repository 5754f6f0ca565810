"""Embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from numpyml.errors import DataError, DTypeError, ShapeError, kind_of
from numpyml.nn import init
from numpyml.nn.module import Module
from numpyml.nn.parameter import Parameter
from numpyml.options import flag, generator_or_none, integer, positive, require
from numpyml.typing import Array

__all__ = ["Embedding"]


class Embedding(Module):
    """Table of trainable vectors, looked up by index.

        y = weight[x]
        gweight[i] = Σ gy where x = i              0 for padding_idx; divided by the number of i in x, if
                                                   scale_grad_by_freq

    Args:
        num_embeddings: the number of vectors, 1 or more.
        embedding_dim: the length of each.
        padding_idx: the index of the padding: its vector is initialized with zeros and gets no gradient. Negative
            indices count from the end.
        max_norm: before the look-up, longer vectors are scaled down to this norm, in the weight itself: the one layer
            whose forward writes to a parameter, as PyTorch's does.
        norm_type: the order p of the norm, above 0.
        scale_grad_by_freq: divide a vector's gradient by the number of times it is used in x.
        dtype: of the weight; float32 by default.
        generator: the source of the initial values, N(0, 1); by default that of ``manual_seed``.

    Shapes: x integers of any shape; y (*x.shape, embedding_dim); weight (num_embeddings, embedding_dim).
    Raises: DataError when an index is out of range; DTypeError when x is not of integers.
    PyTorch: nn.Embedding.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        *,
        dtype: DTypeLike | None = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.num_embeddings = integer(self, "num_embeddings", num_embeddings, 1)
        self.embedding_dim = integer(self, "embedding_dim", embedding_dim, 0)
        if padding_idx is not None:
            integer(self, "padding_idx", padding_idx)
            inside = -num_embeddings <= padding_idx < num_embeddings
            require(inside, self, "padding_idx", padding_idx, f"from {-num_embeddings} to {num_embeddings - 1}")
        self.padding_idx = padding_idx
        self.max_norm = None if max_norm is None else positive(self, "max_norm", max_norm)
        self.norm_type = norm_type if norm_type == np.inf else positive(self, "norm_type", norm_type)
        self.scale_grad_by_freq = flag(self, "scale_grad_by_freq", scale_grad_by_freq)
        self.dtype, self.generator = dtype, generator_or_none(self, "generator", generator)
        self.weight = Parameter(np.zeros((num_embeddings, embedding_dim)), dtype=dtype)
        init.normal_(self.weight.data, generator=generator)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, **options: Any) -> Embedding:
        """A layer whose weight is a copy of ``embeddings``, frozen by default; options as those of the class.

        Raises: ShapeError when ``embeddings`` does not have two axes.
        """
        table = np.asarray(embeddings)
        if table.ndim != 2:
            raise ShapeError(
                f"Embedding.from_pretrained expected a table (vectors, length), got {kind_of(table)}; "
                "pass one row for each vector"
            )
        vectors, length = table.shape
        layer = cls(vectors, length, **{"dtype": table.dtype if table.dtype.kind == "f" else None, **options})
        layer.weight.data = table
        layer.weight.requires_grad = not flag(cls.__name__, "freeze", freeze)
        return layer

    def compute(self, x: Array) -> tuple[Array, Array]:
        if x.dtype.kind not in "iu":
            raise DTypeError(f"expected integer indices, got {kind_of(x)}; convert them: x.astype(np.int64)", self)
        lowest, highest = (int(x.min()), int(x.max())) if x.size else (0, 0)
        if lowest < 0 or highest >= self.num_embeddings:
            raise DataError(
                f"expected indices from 0 to {self.num_embeddings - 1}, got {lowest if lowest < 0 else highest}; "
                "count from 0, or build the layer with more embeddings",
                self,
            )
        if self.max_norm is not None:
            self._shorten(np.unique(x), self.max_norm)
        return self.weight.data[x], x

    def pullback(self, x: Array, gy: Array) -> None:
        if not self.weight.requires_grad or not x.size:
            return
        ids: Array = x.reshape(-1)
        order = np.argsort(ids, kind="stable")  # equal indices are adjacent, and the gradient of a vector is one sum
        ids = ids[order]
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        sums = np.add.reduceat(gy.reshape(ids.size, self.embedding_dim)[order], starts, axis=0)
        used = ids[starts]
        if self.scale_grad_by_freq:
            sums /= np.diff(starts, append=ids.size)[:, np.newaxis].astype(sums.dtype)
        if self.padding_idx is not None:
            sums[used == self.padding_idx % self.num_embeddings] = 0
        self.weight.grad[used] += sums

    def _shorten(self, used: Array, max_norm: float) -> None:
        """Scale vectors whose norm is above max_norm down to it."""
        weight = self.weight.data
        norms = np.linalg.norm(weight[used], self.norm_type, axis=1)
        long = norms > max_norm
        # 1e-7 as in PyTorch
        weight[used[long]] *= (max_norm / (norms[long] + 1e-7)).astype(weight.dtype)[:, np.newaxis]
