"""What the examples share: the options of a connection, and a world in synchronous mode."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import carla


def options(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    return parser


def connect(given: argparse.Namespace) -> carla.Client:
    client = carla.Client(given.host, given.port)
    client.set_timeout(60)
    return client


@contextmanager
def synchronous(world: carla.World, fps: float = 24) -> Iterator[None]:
    """The world moves by `tick` alone, 1/fps seconds each time; afterwards its settings are as before."""
    before = world.get_settings()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1 / fps
    world.apply_settings(settings)
    try:
        yield
    finally:
        world.apply_settings(before)
