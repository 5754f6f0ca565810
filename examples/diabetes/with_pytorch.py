"""Diabetes, 442 patients by 10 measurements: progression in a year, by cross-validation."""

import argparse

import numpy as np
import task

import torch
from torch import from_numpy, nn
from torch import optim as optimizers


def build(dtype=torch.float32):
    return nn.Sequential(
        nn.Linear(10, 32, dtype=dtype),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(32, 1, dtype=dtype),
    )


def train(net, data):
    """The loss of every step."""
    loss_fn = nn.MSELoss()
    optim = optimizers.Adam(net.parameters(), lr=task.RATE, weight_decay=task.DECAY)
    rng = np.random.default_rng(data.seed)
    net.train()
    for _epoch in range(task.EPOCHS):
        for rows in np.array_split(rng.permutation(len(data.X_train)), len(data.X_train) // task.BATCH):
            outputs = net(from_numpy(data.X_train[rows]))
            loss = loss_fn(outputs, from_numpy(data.y_train[rows]))
            optim.zero_grad()
            loss.backward()
            optim.step()
            yield loss.item()


def predict(net, data):
    """Predicted progression of the held-out patients."""
    net.eval()
    with torch.no_grad():
        return net(from_numpy(data.X_test)).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    results = []
    for fold in range(task.FOLDS):
        data, net = task.data(seed=seed, fold=fold), build()
        *_, loss = train(net, data)
        both = predict(net, data), task.rival(data)
        results.append([figure for y in both for figure in task.scores(y, data).values()])
    ours, rival = np.mean(results, axis=0)
    print(f"mean of {task.FOLDS} folds: held-out R2 {ours:.4f}, scikit-learn's MLPRegressor {rival:.4f}")
