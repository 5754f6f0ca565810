"""Handwritten digits read column by column: the same two layers at every column, sequences of any length."""

import argparse

import numpy as np
import task

import torch
from torch import from_numpy, nn
from torch import optim as optimizers


class Reader(nn.Module):
    """Recurrent classifier of sequences."""

    def __init__(self, width, dtype):
        super().__init__()
        self.width = width
        self.input = nn.Linear(8, width, dtype=dtype)
        self.hidden = nn.Linear(width, width, bias=False, dtype=dtype)
        self.output = nn.Linear(width, 10, dtype=dtype)

    def forward(self, x, lengths):
        """(batch, time, 8), (batch,) -> logits (batch, 10)."""
        h = torch.zeros((len(x), self.width), dtype=x.dtype)
        for t in range(max(lengths)):
            new = torch.tanh(self.input(x[:, t]) + self.hidden(h))
            h = torch.where((t < lengths)[:, None], new, h)  # finished sequences keep their state
        return self.output(h)


def build(dtype=torch.float32):
    return Reader(64, dtype)


def train(net, data):
    """The loss of every step."""
    loss_fn = nn.CrossEntropyLoss()
    optim = optimizers.Adam(net.parameters(), lr=0.003)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(30):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // 32):
            outputs = net(from_numpy(data.X_train[rows]), from_numpy(data.lengths_train[rows]))
            loss = loss_fn(outputs, from_numpy(data.y_train[rows]))
            optim.zero_grad()
            loss.backward()
            optim.step()
            yield loss.item()


def predict(net, data):
    """Logits of the held-out images."""
    net.eval()
    with torch.no_grad():
        return net(from_numpy(data.X_test), from_numpy(data.lengths_test)).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    data, net = task.data(seed=seed), build()
    *_, loss = train(net, data)
    print(f"loss at the last step {loss:.4f}")
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
