"""Spawn a car at a spawn point, mount a depth camera on it, and write its images as PNG files."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import carla
from common import connect, options, synchronous


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("depth"))
    parser.add_argument("--frames", type=int, default=10)
    given = parser.parse_args()
    world = connect(given).get_world()
    library = world.get_blueprint_library()
    model = random.choice(library.filter("vehicle.*"))
    if model.has_attribute("color"):
        model.set_attribute("color", random.choice(model.get_attribute("color").recommended_values))
    actors = []
    with synchronous(world):
        try:
            car = world.spawn_actor(model, random.choice(world.get_map().get_spawn_points()))
            actors.append(car)
            lens = library.find("sensor.camera.depth")
            lens.set_attribute("image_size_x", "320")
            lens.set_attribute("image_size_y", "180")
            camera = world.spawn_actor(lens, carla.Transform(carla.Location(x=1.5, z=2.4)), attach_to=car)
            actors.append(camera)
            written, all_written = [], threading.Event()

            def write(image: carla.Image) -> None:
                image.save_to_disk(str(given.output / f"{image.frame:06d}.png"), carla.ColorConverter.LogarithmicDepth)
                written.append(image.frame)
                if len(written) == given.frames:
                    all_written.set()

            camera.listen(write)
            car.apply_control(carla.VehicleControl(throttle=0.5))
            for _ in range(given.frames):
                world.tick()
            all_written.wait(60)
            camera.stop()
        finally:
            for actor in reversed(actors):
                actor.destroy()
    print(f"{model.id}: {len(written)} images in {given.output}")


if __name__ == "__main__":
    main()
