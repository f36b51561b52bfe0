"""Control weights as they count: those that sum to more than 1 are divided by their sum, network by network.

Every run records them in its status, as the sampler's own function made them
(`cosmos_exp.sampling.weight_normalization`).
"""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.runs.sweep_cells import Cell


def effective_weights(cells: Sequence[Cell]) -> dict[str, dict[int, float]]:
    """{label: {index of a cell: effective weight}} for each network and control whose weight varies between the cells.

    A control that a cell does not use counts 0 there. Left out: cells that recorded nothing, and weights that are in
    every cell what is swept.
    """
    networks = dict.fromkeys(network for cell in cells for network in cell.weights)
    found = {}
    for number, network in enumerate(networks):
        recorded = {i: cell.weights[network] for i, cell in enumerate(cells) if network in cell.weights}
        for control in dict.fromkeys(name for weights in recorded.values() for name in weights):
            values = {i: _rounded(weights.get(control, 0.0)) for i, weights in recorded.items()}
            as_swept = all(cells[i].axes.get(_axis(control)) == value for i, value in values.items())
            if len(set(values.values())) > 1 and not as_swept:
                found[f"{control} weight, effective" + (f" in {_words(network)}" if number else "")] = values
    return found


def acting(cell: Cell) -> dict[str, str]:
    """{swept axis of a control weight: what it acts as}, where that is not what was given."""
    said = {}
    for control in dict.fromkeys(name for weights in cell.weights.values() for name in weights):
        given = cell.axes.get(_axis(control))
        acts = {net: _rounded(weights[control]) for net, weights in cell.weights.items() if control in weights}
        if given is None or all(value == given for value in acts.values()):
            continue
        if len(set(acts.values())) > 1:
            said[_axis(control)] = ", ".join(f"{value:g} in {_words(net)}" for net, value in acts.items())
        else:
            said[_axis(control)] = f"{next(iter(acts.values())):g}"
    return said


def _axis(control: str) -> str:
    return f"controls.{control}.weight"


def _rounded(weight: float) -> float:
    return float(f"{weight:.3g}")


def _words(network: str) -> str:
    return network.replace("_", " ")
