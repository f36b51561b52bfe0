"""Every published weight has its place in our networks, at full size, and nothing of ours is left without one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from cosmos_exp.models.checkpoints.checkpoint import own_tensors
from cosmos_exp.models.transfer25.checkpoint import from_released
from cosmos_exp.models.transfer25.config import AUTO_MULTIVIEW_2B, GENERAL_2B, NetConfig
from cosmos_exp.models.transfer25.network import ControlledNet

BRANCHES = ("edge", "vis", "depth", "seg")
GENERAL = {
    "current release, image context": replace(GENERAL_2B, image_width=1152, controls=("edge",)),
    "first release": replace(GENERAL_2B, controls=("edge",)),
    "multibranch": replace(GENERAL_2B, controls=BRANCHES),
}


def published(table: dict, prefix: str = "") -> dict[str, torch.Tensor]:
    """Tensors on the meta device; `{i}` stands for the first `count` blocks."""
    names = {name.replace("{i}", str(i)): v for name, v in table.items() for i in range(v.get("count", 1))}
    return {prefix + name: torch.empty(value["shape"], device="meta") for name, value in names.items()}


def shapes(state) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def network(config: NetConfig) -> ControlledNet:
    with torch.device("meta"):
        return ControlledNet(config)


def test_the_multi_view_network(shared):
    table = json.loads((shared / "t25" / "keys_25_auto_multiview.json").read_text())
    net = network(AUTO_MULTIVIEW_2B)
    assert shapes(from_released(published(table["keys"], "net."), ("wsm",))) == shapes(own_tensors(net))
    assert sum(tensor.numel() for tensor in net.parameters()) == table["num_parameters"]
    assert sum(tensor.numel() for tensor in net.controls.parameters()) == table["control_parameters"]


@pytest.mark.parametrize("kind", GENERAL)
def test_the_single_view_networks(shared, kind):
    nets = json.loads((shared / "t25" / "keys_25_general_control.json").read_text())["nets"]
    (table,) = (table for name, table in nets.items() if kind in name)
    net = network(GENERAL[kind])
    assert shapes(from_released(published(table["keys"]), GENERAL[kind].controls)) == shapes(own_tensors(net))
    assert sum(tensor.numel() for tensor in net.parameters()) == table["num_parameters"]
