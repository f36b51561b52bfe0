"""Drive a car from waypoint to waypoint and look at it with three cameras, whose images are of the same tick."""

from __future__ import annotations

import queue

import carla
import numpy as np
from common import connect, options, synchronous


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--frames", type=int, default=20)
    given = parser.parse_args()
    world = connect(given).get_world()
    library, plan = world.get_blueprint_library(), world.get_map()
    place = plan.get_spawn_points()[0]
    waypoint = plan.get_waypoint(place.location)
    actors, queues = [], {}
    with synchronous(world):
        try:
            car = world.spawn_actor(library.filter("vehicle.audi.*")[0], place)
            car.set_simulate_physics(False)
            actors.append(car)
            for kind in ("rgb", "semantic_segmentation", "instance_segmentation"):
                lens = library.find(f"sensor.camera.{kind}")
                lens.set_attribute("image_size_x", "320")
                lens.set_attribute("image_size_y", "180")
                mount = carla.Transform(carla.Location(x=-5.5, z=2.8), carla.Rotation(pitch=-15))
                camera = world.spawn_actor(lens, mount, attach_to=car)
                actors.append(camera)
                queues[kind] = queue.Queue()
                camera.listen(queues[kind].put)
            for _ in range(given.frames):
                waypoint = waypoint.next(1.5)[0]
                car.set_transform(waypoint.transform)
                frame = world.tick()
                images = {kind: waiting.get(timeout=60) for kind, waiting in queues.items()}
                assert all(image.frame == frame for image in images.values()), "images of other ticks"
            classes = np.frombuffer(images["semantic_segmentation"].raw_data, np.uint8).reshape(180, 320, 4)[..., 2]
            shares = {int(tag): round(float((classes == tag).mean()), 3) for tag in np.unique(classes)}
            print(f"{given.frames} ticks, road {waypoint.road_id}, lane {waypoint.lane_id}; classes {shares}")
        finally:
            for actor in reversed(actors):
                actor.destroy()


if __name__ == "__main__":
    main()
