"""Handwritten digits, 1,797 images of 8 x 8 pixels: train on three quarters, report on the rest."""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import torch
from torch import from_numpy, nn
from torch import optim as optimizers

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
rng = np.random.default_rng(seed)
torch.manual_seed(seed)

images, digits = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(images, digits, test_size=0.25, stratify=digits, random_state=seed)
scaler = StandardScaler().fit(X_train)  # the test images have no say in it
X_train, X_test = (scaler.transform(X).astype(np.float32) for X in (X_train, X_test))

net = nn.Sequential(
    nn.Linear(64, 256),
    nn.ReLU(),
    nn.Dropout(0.5),
    nn.Linear(256, 10),
)
loss_fn = nn.CrossEntropyLoss()
optim = optimizers.Adam(net.parameters(), lr=0.001)

net.train()
for _epoch in range(40):
    for rows in np.array_split(rng.permutation(len(X_train)), len(X_train) // 32):
        outputs = net(from_numpy(X_train[rows]))
        loss = loss_fn(outputs, from_numpy(y_train[rows]))
        optim.zero_grad()
        loss.backward()
        optim.step()

net.eval()
with torch.no_grad():
    predictions = net(from_numpy(X_test)).numpy().argmax(axis=1)
print(f"digits: test accuracy {np.mean(predictions == y_test):.4f} on {len(y_test)} images")
