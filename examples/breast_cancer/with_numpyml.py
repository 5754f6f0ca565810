"""Breast cancer, 569 tumours by 30 measurements: benign or malignant? Train on three quarters, report on the rest."""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import numpyml
from numpyml.nn import activations, layers, losses, model, optimizers

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
rng = np.random.default_rng(seed)
numpyml.manual_seed(seed)

measurements, benign = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    measurements, benign, test_size=0.25, stratify=benign, random_state=seed
)
scaler = StandardScaler().fit(X_train)  # the test tumours have no say in it
X_train, X_test = (scaler.transform(X).astype(np.float32) for X in (X_train, X_test))
y_train, y_test = (y[:, np.newaxis].astype(np.float32) for y in (y_train, y_test))

net = model.Sequential(
    layers.Dense(30, 32),
    activations.ReLU(),
    layers.Dropout(0.2),
    layers.Dense(32, 1),
)
loss_fn = losses.BinaryCrossEntropyWithLogits()
optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=0.001, weight_decay=0.03)

net.train()
for _epoch in range(80):
    for rows in np.array_split(rng.permutation(len(X_train)), len(X_train) // 32):
        outputs = net.forward(X_train[rows])
        loss = loss_fn.forward(outputs, y_train[rows])
        optim.zero_grad()
        net.backward(loss_fn.backward())
        optim.step()

net.eval()
with numpyml.no_grad():
    predictions = net.forward(X_test) > 0
print(f"breast cancer: test accuracy {np.mean(predictions == y_test):.4f} on {len(y_test)} tumours")
