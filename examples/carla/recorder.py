"""Record some seconds of driving, print what the recording holds, and play it."""

from __future__ import annotations

import carla
from common import connect, options, synchronous


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--name", default="example.log", help="of the recording, on the server")
    parser.add_argument("--frames", type=int, default=40)
    given = parser.parse_args()
    client = connect(given)
    world = client.get_world()
    model = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    model.set_attribute("role_name", "hero")
    with synchronous(world, 20):
        print("recording to", client.start_recorder(given.name, True))
        car = world.spawn_actor(model, world.get_map().get_spawn_points()[0])
        car.apply_control(carla.VehicleControl(throttle=0.6))
        for _ in range(given.frames):
            world.tick()
        end = car.get_location()
        client.stop_recorder()
        car.destroy()
        print(client.show_recorder_file_info(given.name, False))

        print(client.replay_file(given.name, 0.0, 0.0, 0, False))
        for _ in range(2):  # the car was spawned after the first frame
            world.tick()
        (hero,) = [a for a in world.get_actors().filter("vehicle.*") if a.attributes.get("role_name") == "hero"]
        for _ in range(given.frames - 2):
            world.tick()
        print(f"replayed to {hero.get_location().distance(end):.2f} m from the end of the drive")
        client.stop_replayer(False)


if __name__ == "__main__":
    main()
