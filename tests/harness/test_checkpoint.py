"""Checkpoints beside PyTorch: each reads what the other wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import numpyml
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import CheckpointError
from numpyml.nn import activations, layers, losses, model, optimizers
from numpyml.training import fit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def ours() -> Any:
    return model.Sequential(layers.Dense(4, 6), activations.ReLU(), layers.LayerNorm(6), layers.Dense(6, 2))


def theirs() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 2))


def agree(net: Any, other: nn.Module) -> bool:
    """To the last bit, under the same names."""
    state = other.state_dict()
    return list(state) == list(net.state_dict()) and all(
        np.array_equal(array, state[name].numpy()) and array.dtype == state[name].numpy().dtype
        for name, array in net.state_dict().items()
    )


def test_pytorch_reads_the_model(path: Path) -> None:
    net, other = ours(), theirs()
    numpyml.save(path, net)
    other.load_state_dict(safetensors.torch.load_file(path))
    assert agree(net, other)


def test_pytorch_reads_the_model_out_of_a_whole_training(path: Path) -> None:
    net, other = ours(), theirs()
    optim = optimizers.Adam(net.parameters(), net.gradients())
    x = np.random.default_rng(0).standard_normal((20, 4), np.float32)
    loader = DataLoader(ArrayDataset(x, x[:, :2]), 5, shuffle=True, generator=np.random.default_rng(1))
    fit(net, losses.MeanSquaredError(), optim, loader, epochs=2, checkpoint=path, progress=False)
    file = safetensors.torch.load_file(path)
    other.load_state_dict({name: file[name] for name in other.state_dict()})
    assert agree(net, other)
    moments = [torch.from_numpy(np.array(state["exp_avg"])) for state in optim.state]
    assert all(torch.equal(file[f"optimizer/state/{i}/exp_avg"], m) for i, m in enumerate(moments))


def test_we_read_what_pytorch_wrote(path: Path) -> None:
    net, other = ours(), theirs()
    safetensors.torch.save_file(other.state_dict(), path)
    assert numpyml.load(path, net) == {}
    assert agree(net, other)


def test_we_read_a_shared_parameter_that_pytorch_wrote_once(path: Path) -> None:
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    other[1].weight = other[0].weight
    net = model.Sequential(layers.Dense(3, 3), layers.Dense(3, 3))
    net[1].weight = net[0].weight
    safetensors.torch.save_model(other, str(path))
    numpyml.load(path, net)
    assert agree(net, other)


def test_plain_state_dicts_go_both_ways() -> None:
    net, other = ours(), theirs()
    net.load_state_dict(other.state_dict())
    assert agree(net, other)
    fresh = theirs()
    fresh.load_state_dict({name: torch.from_numpy(array) for name, array in net.state_dict().items()})
    assert agree(net, fresh)


def test_dtypes_of_numpy_are_loaded_and_bfloat16_is_refused(path: Path) -> None:
    for dtype in (torch.float16, torch.float64):
        net, other = ours(), theirs().to(dtype)
        safetensors.torch.save_file(other.state_dict(), path)
        numpyml.load(path, net)
        assert agree(net, other.to(torch.float32))
    safetensors.torch.save_file(theirs().to(torch.bfloat16).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"dtypes that NumPy has too.*convert the arrays"):
        numpyml.load(path, ours())


def test_pickle_is_not_loaded(path: Path) -> None:
    torch.save(theirs().state_dict(), path)
    net = ours()
    before = net.state_dict()
    with pytest.raises(CheckpointError, match=r"torch\.save wrote is a pickle, which may run anything: convert it"):
        numpyml.load(path, net)
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())
