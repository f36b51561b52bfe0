"""Segmentation control: a colour per class or per object, plain or shaded (class colours are in `render.palette`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.threads import map_frames
from cosmos_exp.controls.class_filter import SHADED, find_filter
from cosmos_exp.rendering.palette import colorize
from cosmos_exp.rendering.types import CameraRender

SEG_MODES = ("semantic", "instance", "shaded")
GOLDEN_RATIO = 0.6180339887498949
PRISM_SEED = 140
PRISM_LEVELS = 256


def seg_control(
    render: CameraRender,
    *,
    mode: str = "semantic",
    palette: str = "distinct",
    class_filter: str | Path | None = None,
    reference_compat: bool = False,
) -> np.ndarray:
    """Colours of what is seen, uint8 [F,H,W,3].

    mode: `semantic` gives each class its CityScapes colour, `instance` each object its own; `shaded` gives the
    `shaded_segmentation_classes` of class_filter (a file; None or `carla` for the usual ones) their class colour and
    the rest its object's, shaded by the normals. palette: of the objects. reference_compat: object ids are
    merged as in the CARLA exporter, and only classes whose RGB colour is in the filter are kept.
    Raises UserError on an unknown mode or palette, or a bad filter.
    """
    if mode not in SEG_MODES:
        raise UserError(unknown_name("seg control mode", mode, SEG_MODES))
    if palette not in PALETTES:
        raise UserError(unknown_name("instance palette", palette, PALETTES))
    if mode == "semantic":
        return map_frames(colorize, render.output("semantic"))

    def objects(tags: np.ndarray, ids: np.ndarray) -> np.ndarray:
        return instance_colors(merged_ids(tags, ids) if reference_compat else ids, palette)

    clips = render.output("semantic"), render.output("instance")
    if mode == "instance":
        return map_frames(objects, *clips)
    kept = find_filter(class_filter).required(SHADED)
    keeps = kept.keeps_literally if reference_compat else kept.keeps

    def draw(tags: np.ndarray, ids: np.ndarray, normals: np.ndarray) -> np.ndarray:
        return shaded(colorize(tags), objects(tags, ids), keeps(tags), stored_normals(normals))

    return map_frames(draw, *clips, render.output("normals"))


@lru_cache(maxsize=1)
def distinct_palette() -> np.ndarray:
    """uint8 [65536,3]: black for 0, else hues in golden-ratio steps, so that neighbouring ids differ clearly."""
    ids = np.arange(65536)
    hue = (ids * GOLDEN_RATIO) % 1.0
    value = 1.0 - 0.15 * (ids % 4)
    saturation = 0.65 + 0.35 * ((ids // 4) % 2)
    distance = np.abs((hue[:, None] * 6.0 + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    rgb = value[:, None] * (1.0 - saturation[:, None] * (1.0 - np.clip(distance, 0.0, 1.0)))
    rgb[0] = 0.0
    return np.round(255.0 * rgb).astype(np.uint8)


@lru_cache(maxsize=1)
def prism_palette() -> np.ndarray:
    """uint8 [65536,3] of the CARLA exporter: black for 0, else matplotlib's colour map `prism` in a shuffled order.

    The map is sampled at 65,536 points from 0 to 1 of its 256 levels; the order is that of numpy's legacy generator
    with seed 140, here one of its own.
    """
    x = np.linspace(0.0, 1.0, PRISM_LEVELS)
    phase = x * 20.9
    waves = [
        0.75 * np.sin((phase + 0.25) * np.pi) + 0.67,
        0.75 * np.sin((phase - 0.25) * np.pi) + 0.33,
        -1.1 * np.sin(phase * np.pi),
    ]
    levels = np.clip(np.stack(waves, axis=1), 0.0, 1.0)
    sampled = levels[np.minimum((np.linspace(0.0, 1.0, 65536) * PRISM_LEVELS).astype(int), PRISM_LEVELS - 1)]
    order = np.random.RandomState(PRISM_SEED).permutation(np.arange(1, 65536))
    palette = np.zeros((65536, 3), np.uint8)
    palette[1:] = (sampled[order] * 255.0).astype(np.uint8)
    return palette


PALETTES = {"distinct": distinct_palette, "prism": prism_palette}


def instance_colors(ids: np.ndarray, palette: str = "distinct") -> np.ndarray:
    """[...] uint16 object ids -> uint8 [...,3]; id 0 (no object) is black."""
    return np.take(PALETTES[palette](), ids, axis=0)


def merged_ids(semantic: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """[...] uint16 ids as the CARLA exporter reads them: tag and upper byte, so that many objects share one."""
    return (semantic.astype(np.uint16) << 8) | (ids >> 8)


def shaded(classes: np.ndarray, objects: np.ndarray, keep: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Class colours where `keep` [...] is True, object colours elsewhere, times a shade; uint8 [...,3], truncated.

    classes, objects: uint8 [...,3] colours. normals: uint8 [...,3], -1 to 1 of each axis stored as 0 to 255. The
    shade is their first axis, to the right in the camera frame, over 255: light from the right.
    """
    shade = (normals[..., 0].astype(np.float32) / np.float32(255.0)).astype(np.float64)
    return (np.where(keep[..., None], classes, objects) * shade[..., None]).astype(np.uint8)


def stored_normals(normals: np.ndarray) -> np.ndarray:
    """[...,3] int8 unit vectors x127 -> uint8: each axis from -1..1 to 1..255; no normal (the sky) is 128."""
    return (normals.astype(np.int16) + 128).astype(np.uint8)
