"""A recurrent cell: nested inputs and outputs, once as a layer and once as a model."""

import numpy as np

from numpyml.nn import Module, Parameter, layers
from numpyml.nn.init import uniform_


class LSTMCell(Module):
    """One step of long short-term memory: ``y, (h, c) = cell(x, (h0, c0))``.

        i, f, g, o = split(x weight_ihᵀ + bias_ih + h0 weight_hhᵀ + bias_hh)
        c = σ(f) c0 + σ(i) tanh(g),   h = σ(o) tanh(c),   y = h

    Shapes: x (N, input_size), h and c (N, hidden_size). PyTorch: nn.LSTMCell, whose output is (h, c).
    """

    def __init__(self, input_size, hidden_size, *, dtype=None):
        self.input_size, self.hidden_size, self.dtype = input_size, hidden_size, dtype
        self.weight_ih = Parameter(np.zeros((4 * hidden_size, input_size)), dtype=dtype)
        self.weight_hh = Parameter(np.zeros((4 * hidden_size, hidden_size)), dtype=dtype)
        self.bias_ih = Parameter(np.zeros(4 * hidden_size), dtype=dtype)
        self.bias_hh = Parameter(np.zeros(4 * hidden_size), dtype=dtype)
        for p in self.parameters():
            uniform_(p, -1, 1)

    def compute(self, x, state):
        h0, c0 = state
        z = x @ self.weight_ih.data.T + self.bias_ih.data + h0 @ self.weight_hh.data.T + self.bias_hh.data
        i, f, g, o = np.split(z, 4, axis=-1)
        i, f, o, g = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o)), np.tanh(g)
        c = f * c0 + i * g
        t = np.tanh(c)
        h = o * t
        return (h, (h.copy(), c)), (x, h0, c0, i, f, g, o, t)

    def pullback(self, context, gys, needs_input_grad):
        x, h0, c0, i, f, g, o, t = context
        gy, (gh, gc) = gys
        gh = gy + gh
        gc = gc + gh * o * (1 - t * t)
        gz = np.concatenate(
            [gc * g * i * (1 - i), gc * c0 * f * (1 - f), gc * i * (1 - g * g), gh * t * o * (1 - o)], axis=-1
        )
        self.weight_ih.accumulate(gz.T @ x)
        self.weight_hh.accumulate(gz.T @ h0)
        for bias in (self.bias_ih, self.bias_hh):
            bias.accumulate(gz.sum(axis=0))
        wants_x, (wants_h, wants_c) = needs_input_grad
        return (
            gz @ self.weight_ih.data if wants_x else None,
            (gz @ self.weight_hh.data if wants_h else None, gc * f if wants_c else None),
        )


class Recurrent(Module):
    """A model of such cells: a dict of outputs, the state a list of pairs."""

    def __init__(self, size, depth=2):
        self.size, self.depth = size, depth
        self.first, self.second = LSTMCell(size, size, dtype=np.float64), LSTMCell(size, size, dtype=np.float64)
        self.head = layers.Dense(size, 1, dtype=np.float64)

    def forward(self, x, states):
        x, first = self.first(x, states[0])
        x, second = self.second(x, states[1])
        return {"y": self.head(x), "states": [first, second], "nothing": None}
