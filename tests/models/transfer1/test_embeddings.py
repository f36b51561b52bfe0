"""Position tables against their formulas."""

from __future__ import annotations

import math

import torch

from cosmos_exp.models.dit.positions import rope_table
from cosmos_exp.models.transfer1.embeddings import sincos_axis, sincos_positions


def test_rope_angles_follow_the_formula():
    head_dim, grid, scale, fps = 24, (3, 2, 4), (2.0, 1.0, 1.5), 30.0
    cos, sin = rope_table(head_dim, grid, scale=scale, fps=fps)
    frame, row, column = 2, 1, 3
    token = (frame * grid[1] + row) * grid[2] + column
    angles = []
    for position, dim, ratio in zip((frame * 24 / fps, row, column), (8, 8, 8), scale):
        base = 10000 * ratio ** (dim / (dim - 2))
        angles += [position * base ** (-j / dim) for j in range(0, dim, 2)]
    angles = torch.tensor(angles * 2)
    torch.testing.assert_close(cos[token], angles.cos(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(sin[token], angles.sin(), atol=1e-6, rtol=1e-5)


def test_time_restarts_in_each_view():
    one = rope_table(24, (2, 2, 2), scale=(1.0, 1.0, 1.0), fps=24.0)
    three = rope_table(24, (2, 2, 2), scale=(1.0, 1.0, 1.0), fps=24.0, num_views=3)
    for single, several in zip(one, three):
        torch.testing.assert_close(several.reshape(3, 8, 24), single.expand(3, 8, 24))
    extra = sincos_positions(32, (2, 2, 2), num_views=3)
    torch.testing.assert_close(extra.reshape(3, 8, 32), sincos_positions(32, (2, 2, 2)).expand(3, 8, 32))


def test_sincos_axes_stand_side_by_side_frames_first():
    width, grid = 32, (3, 2, 4)  # 10 each for rows and columns, 12 for frames
    table = sincos_positions(width, grid).reshape(*grid, width)
    torch.testing.assert_close(table[2, 0, 0, :12], sincos_axis(3, 12)[2])
    torch.testing.assert_close(table[0, 1, 0, 12:22], sincos_axis(2, 10)[1])
    torch.testing.assert_close(table[0, 0, 3, 22:], sincos_axis(4, 10)[3])
    assert sincos_axis(4, 10)[3, 1].item() == torch.tensor(math.sin(3 * 10000 ** (-1 / 5))).item()
