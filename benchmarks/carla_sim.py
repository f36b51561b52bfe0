"""Ticks per second of the embedded CARLA server with the real client, beside the renderer alone; and its soak test.

python -m benchmarks.carla_sim                     # six cameras 1280x704 with depth, semantic and instance
python -m benchmarks.carla_sim --log drive.log --map Town01.xodr --ego 174
python -m benchmarks.carla_sim --soak              # 1000 spawns and destroys, 50 clients, 2000 ticks

Without a log, the small street of `cosmos-exp example`. The two are measured in turns, and the least of each counts.
CPU seconds count all threads of both processes, so they can be compared on a machine that is shared with others; wall
time cannot.
"""

from __future__ import annotations

import argparse
import os
import queue
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.carla_sim.process import ServerProcess, server_process
from cosmos_exp.common.cores import usable_cores
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.carla.example import EGO, TOWN, example_log, example_map
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.sensors.rigs import build_rig

SIZE = (1280, 704)
FPS = 24
YAWS = (0, -60, 60, 180, 120, -120)  # degrees in CARLA's axes
OUTPUTS = {"semantic_segmentation": "semantic", "instance_segmentation": "instance", "depth": "depth"}
PLACE = (0.5, 1.8)  # x, z of the cameras in the ego actor's frame, metres
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Drive:
    map: Path
    log: Path
    ego: int
    start: float


@dataclass(frozen=True)
class Cost:
    """Of one tick: wall seconds, and CPU seconds of the renderer or server and of the client."""

    wall: float
    cpu: float
    client: float = 0.0


def add_drive_options(parser: argparse.ArgumentParser) -> None:
    """Those that `drive_of` reads."""
    parser.add_argument("--log", type=Path, help="a recorder log, with --map and --ego")
    parser.add_argument("--map", type=Path)
    parser.add_argument("--ego", type=int, default=0)
    parser.add_argument("--start", type=float, default=0.0)


@contextmanager
def drive_of(given: argparse.Namespace) -> Iterator[Drive]:
    if given.log:
        yield Drive(given.map, given.log, given.ego, given.start)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / f"{TOWN}.xodr").write_text(example_map())
        (folder / "drive.log").write_bytes(example_log())
        yield Drive(folder / f"{TOWN}.xodr", folder / "drive.log", EGO, 0.0)


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_of(pid: int) -> float:
    """Resident MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def handles_of(pid: int) -> tuple[int, int]:
    """Threads and open files."""
    return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))


def renderer_alone(drive: Drive, ticks: int) -> Cost:
    """The same pictures without server and client, frames of a tick in parallel as the server draws them."""
    scene = load_carla_scene(drive.log, drive.map, ego=drive.ego, start=drive.start)
    renderer = Renderer(scene)
    cameras = {
        f"camera_{i}": {"hfov": 90, "position": [PLACE[0], 0, PLACE[1]], "rotation": [0, 0, -yaw]}
        for i, yaw in enumerate(YAWS)
    }
    rig = build_rig("six", cameras, size=SIZE)

    def draw(camera, t: float) -> None:
        gbuffer = renderer.gbuffer(camera, t)
        for output in OUTPUTS.values():
            gbuffer.output(output)

    with ThreadPoolExecutor(usable_cores()) as pool:

        def tick(i: int) -> None:
            t = drive.start + i / FPS
            renderer.frame_at(t)
            list(pool.map(lambda camera: draw(camera, t), rig.cameras))

        tick(0)
        wall, cpu = time.perf_counter(), time.process_time()
        for i in range(1, ticks + 1):
            tick(i)
    return Cost((time.perf_counter() - wall) / ticks, (time.process_time() - cpu) / ticks)


def connected(server: ServerProcess):
    import carla

    client = carla.Client(server.host, server.port)
    client.set_timeout(120)
    return client


def synchronous(world) -> None:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1 / FPS
    world.apply_settings(settings)


def six_cameras(world, ego: int, kinds: Sequence[str]) -> Iterator[tuple]:
    import carla

    carrier = world.get_actor(ego)
    for yaw in YAWS:
        for kind in kinds:
            blueprint = world.get_blueprint_library().find(f"sensor.camera.{kind}")
            for name, value in zip(("image_size_x", "image_size_y"), SIZE):
                blueprint.set_attribute(name, str(value))
            place = carla.Transform(carla.Location(x=PLACE[0], z=PLACE[1]), carla.Rotation(yaw=yaw))
            sensor, images = world.spawn_actor(blueprint, place, attach_to=carrier), queue.Queue()
            sensor.listen(images.put)
            yield sensor, images


def through_the_server(drive: Drive, ticks: int) -> Cost:
    arguments = ["--map", str(drive.map), "--log", str(drive.log), "--port", "0"]
    with server_process(arguments) as server:
        client = connected(server)
        world = client.get_world()
        synchronous(world)
        client.replay_file(str(drive.log), drive.start, 0.0, drive.ego, False)
        while world.get_actor(drive.ego) is None:
            time.sleep(0.01)
        sensors = list(six_cameras(world, drive.ego, list(OUTPUTS)))

        def tick() -> None:
            frame = world.tick()
            for _, images in sensors:
                image = images.get(timeout=120)
                assert image.frame == frame and len(image.raw_data) == 4 * SIZE[0] * SIZE[1]

        tick()
        pid = server.process.pid
        wall, cpu, own = time.perf_counter(), cpu_of(pid), time.process_time()
        for _ in range(ticks):
            tick()
        cost = Cost(
            (time.perf_counter() - wall) / ticks, (cpu_of(pid) - cpu) / ticks, (time.process_time() - own) / ticks
        )
        for sensor, _ in sensors:
            sensor.destroy()
    return cost


def soak(drive: Drive, spawns: int, clients: int, ticks: int) -> Iterator[str]:
    """What grows, if anything: threads, files and memory of the server after each part."""
    import carla

    arguments = ["--map", str(drive.map), "--log", str(drive.log), "--port", "0"]
    with server_process(arguments) as server:
        pid = server.process.pid
        client = connected(server)
        world = client.get_world()
        synchronous(world)
        library = world.get_blueprint_library()
        camera = library.find("sensor.camera.depth")
        camera.set_attribute("image_size_x", "64")
        camera.set_attribute("image_size_y", "48")
        car = library.filter("vehicle.*")[0]

        def state(what: str) -> str:
            threads, files = handles_of(pid)
            return f"{what:40} {threads:4} threads {files:4} files {memory_of(pid):7.1f} MiB"

        def spawn_once(i: int) -> None:
            place = carla.Transform(carla.Location(x=20 + i % 50, y=1.75, z=0.2))
            vehicle = world.spawn_actor(car, place)
            sensor, images = world.spawn_actor(camera, carla.Transform(), attach_to=vehicle), queue.Queue()
            sensor.listen(images.put)
            frame = world.tick()
            assert images.get(timeout=60).frame == frame
            assert sensor.destroy() and vehicle.destroy()

        for i in range(20):
            spawn_once(i)
        yield state("at the start")
        for i in range(spawns):
            spawn_once(i)
        yield state(f"{spawns} vehicles and cameras, destroyed")
        for _ in range(clients):
            other = connected(server)
            other.get_world().tick()
            del other
        time.sleep(1.0)
        yield state(f"{clients} clients, gone")
        for part in range(1, 5):
            for _ in range(ticks // 4):
                world.tick()
            yield state(f"{part * (ticks // 4)} ticks")


def least(costs: Sequence[Cost]) -> Cost:
    """What others on the machine have added least to, wall and CPU each for itself."""
    best = min(costs, key=lambda cost: cost.cpu + cost.client)
    return Cost(min(cost.wall for cost in costs), best.cpu, best.client)


def report(name: str, cost: Cost, against: Cost | None = None) -> str:
    text = f"{1 / cost.wall:7.2f} ticks/s  {cost.cpu:6.3f} CPU s/tick"
    if cost.client:
        text += f" + {cost.client:.3f} of the client"
    if against is not None:
        text += (
            f"  ({100 * (cost.cpu / against.cpu - 1):+.0f} % CPU, {100 * (cost.wall / against.wall - 1):+.0f} % time)"
        )
    return f"{text}  {name}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.carla_sim", description=(__doc__ or "").split("\n")[0])
    add_drive_options(parser)
    parser.add_argument("--ticks", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--soak", action="store_true", help="the soak test instead")
    parser.add_argument("--spawns", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--soak-ticks", type=int, default=2000)
    given = parser.parse_args(arguments)
    print(f"{usable_cores()} threads, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
    with drive_of(given) as drive:
        if given.soak:
            for line in soak(drive, given.spawns, given.clients, given.soak_ticks):
                print(line, flush=True)
            return
        measured: dict[str, Callable[[], Cost]] = {
            "renderer alone": lambda: renderer_alone(drive, given.ticks),
            "server and client": lambda: through_the_server(drive, given.ticks),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in measured}
        for _ in range(given.repeats):
            for name, measure in measured.items():
                costs[name].append(measure())
        alone = None
        for name, found in costs.items():
            cost = least(found)
            print(report(name, cost, alone), flush=True)
            alone = alone or cost


if __name__ == "__main__":
    main(sys.argv[1:])
