"""Breast cancer, 569 tumours by 30 measurements: benign or malignant? Train on three quarters, report on the rest."""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import torch
from torch import from_numpy, nn
from torch import optim as optimizers

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
rng = np.random.default_rng(seed)
torch.manual_seed(seed)

measurements, benign = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    measurements, benign, test_size=0.25, stratify=benign, random_state=seed
)
scaler = StandardScaler().fit(X_train)  # the test tumours have no say in it
X_train, X_test = (scaler.transform(X).astype(np.float32) for X in (X_train, X_test))
y_train, y_test = (y[:, np.newaxis].astype(np.float32) for y in (y_train, y_test))

net = nn.Sequential(
    nn.Linear(30, 32),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(32, 1),
)
loss_fn = nn.BCEWithLogitsLoss()
optim = optimizers.Adam(net.parameters(), lr=0.001, weight_decay=0.03)

net.train()
for _epoch in range(80):
    for rows in np.array_split(rng.permutation(len(X_train)), len(X_train) // 32):
        outputs = net(from_numpy(X_train[rows]))
        loss = loss_fn(outputs, from_numpy(y_train[rows]))
        optim.zero_grad()
        loss.backward()
        optim.step()

net.eval()
with torch.no_grad():
    predictions = net(from_numpy(X_test)).numpy() > 0
print(f"breast cancer: test accuracy {np.mean(predictions == y_test):.4f} on {len(y_test)} tumours")
