"""What goes wrong between clients and server ends in a message, in bounded time, and harms nobody else."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.carla_clients import RawClient, camera, require_carla, synchronous, until

from benchmarks.carla_sim import memory_of
from cosmos_exp.carla_sim.process import ServerProcess, server_process
from cosmos_exp.cli.commands.carla_sim import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.example import EGO, TOWN
from cosmos_exp.scene.carla_live.connection import Server, connect

carla = require_carla()
msgpack = pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process


def handles(server: ServerProcess) -> tuple[int, int]:
    """Threads and open files of the server."""
    process = Path(f"/proc/{server.process.pid}")
    return len(os.listdir(process / "task")), len(os.listdir(process / "fd"))


# Starting


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--map", "Nowhere.xodr"], "OpenDRIVE map 'Nowhere.xodr' not found"),
        (["--map", "ExampleStret", "--maps", "{folder}"], "did you mean 'ExampleStreet'?"),
        ([], "the server needs a map"),
        (["--map", "{map}", "--port", "70000"], "port 70000: 1 to 65534"),
        (["--map", "{map}", "--client", "0.9.9"], "unknown version of CARLA '0.9.9'"),
        (["--map", "{map}", "--log", "none.log"], "recorder log 'none.log' not found"),
        (["--map", "{map}", "--recordings", "{folder}/none"], "no folder of recordings"),
        (["--map", "{map}", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    ],
)
def test_a_server_that_cannot_start_says_why(recordings: Path, options: list[str], said: str) -> None:
    values = {"folder": str(recordings), "map": str(recordings / f"{TOWN}.xodr")}
    with pytest.raises(UserError) as error:
        main([option.format(**values) for option in options])
    assert said in str(error.value)


def test_a_port_in_use(server: ServerProcess, recordings: Path) -> None:
    for port in (server.port, server.port - 1):  # the second one's streams would be on the first one's port
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{server.port}: Address already in use"):
            main(["--map", str(recordings / f"{TOWN}.xodr"), "--port", str(port)])


def test_a_process_that_does_not_start_says_why() -> None:
    with pytest.raises(UserError, match="the server needs a map"), server_process(["--port", "0"]):
        pass


# Calls


def test_unknown_calls_and_wrong_arguments_are_answered_and_the_connection_goes_on(server: ServerProcess) -> None:
    raw = RawClient(server.host, server.port)
    assert raw.call("make_coffee") == [[0, ["the embedded server has no make_coffee()"]]]
    assert "takes 1 arguments, not 2" in str(raw.call("get_actors_by_id", [1], 2))
    assert "arguments of another form" in str(raw.call("get_actors_by_id", None))
    assert "there is no actor 999999" in str(
        raw.call("get_actor_transform_of", 1) and raw.call("get_physics_control", 999999)
    )
    assert "finite" in str(raw.call("set_actor_transform", 1, [[float("nan"), 0, 0], [0, 0, 0]]))
    assert raw.call("version") == [[1, "0.9.16"]]


def test_a_request_in_pieces_and_several_in_one(server: ServerProcess) -> None:
    raw = RawClient(server.host, server.port)
    request = msgpack.packb([0, 7, "version", [[False]]])
    for byte in request:
        raw.socket.sendall(bytes([byte]))
    assert raw.answer() == [[1, "0.9.16"]]
    raw.socket.sendall(3 * request)
    assert [raw.answer() for _ in range(3)] == 3 * [[[1, "0.9.16"]]]


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\xc1\xc1\xc1", b"\x94\x00\x07", msgpack.packb([0, 1, 2, 3]), bytes(100)]
)
def test_garbage_harms_nobody(client, server: ServerProcess, data: bytes) -> None:
    client.get_world()  # its streams are open from now on
    before = handles(server)
    for port in (server.port, server.port + 1):
        with socket.create_connection((server.host, port), timeout=20) as connection:
            connection.sendall(data)
    assert client.get_world().get_map().name.endswith(TOWN)
    until(lambda: handles(server) <= before)


def test_errors_reach_the_python_caller(client) -> None:
    world = client.get_world()
    library = world.get_blueprint_library()
    with pytest.raises(RuntimeError, match="unknown map 'Town99'"):
        client.load_world("Town99")
    with pytest.raises(RuntimeError, match=r"no recording 'missing\.log'"):
        client.replay_file("missing.log", 0, 0, 0, False)
    place = carla.Transform(carla.Location(40, 1.75, 0.1))
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), place)
    with pytest.raises(RuntimeError, match="collision at spawn position"):
        world.spawn_actor(library.find("vehicle.tesla.model3"), place)
    assert world.try_spawn_actor(library.find("vehicle.tesla.model3"), place) is None
    blueprint = library.find("sensor.camera.rgb")
    blueprint.set_attribute("fov", "190")
    with pytest.raises(RuntimeError, match="allowed are 1 to 170 degrees"):
        world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    blueprint.set_attribute("fov", "90")
    blueprint.set_attribute("image_size_x", "1000000")
    with pytest.raises(RuntimeError, match="at most 8192 each way"):
        world.spawn_actor(blueprint, carla.Transform(), attach_to=car)


def test_batches_say_which_commands_failed(client) -> None:
    world = client.get_world()
    synchronous(world)
    command, library = carla.command, world.get_blueprint_library()
    model = library.find("vehicle.tesla.model3")
    place = carla.Transform(carla.Location(40, 1.75, 0.1))
    moved = carla.Transform(carla.Location(60, 1.75, 0.1))
    spawn = command.SpawnActor(model, place).then(command.ApplyTransform(command.FutureActor, moved))
    first, second, third = client.apply_batch_sync([spawn, command.SpawnActor(model, moved), spawn], True)
    assert not first.error and "collision" in second.error and not third.error
    assert world.get_actor(first.actor_id).get_transform().location.x == pytest.approx(60)
    velocity = command.ApplyTargetVelocity(first.actor_id, carla.Vector3D(1, 0, 0))
    answers = client.apply_batch_sync(
        [velocity, command.ApplyImpulse(first.actor_id, carla.Vector3D(1, 0, 0)), command.DestroyActor(999999)], False
    )
    assert [bool(answer.error) for answer in answers] == [False, True, True]
    assert "not physics" in answers[1].error
    client.apply_batch_sync([command.DestroyActor(first.actor_id)], True)
    assert first.actor_id not in [actor.id for actor in world.get_actors()]


def test_maps_change_and_a_client_may_send_one(client, recordings: Path) -> None:
    world = client.load_world("Other")
    assert world.get_map().name.endswith("Other")
    parameters = carla.OpendriveGenerationParameters()
    world = client.generate_opendrive_world((recordings / f"{TOWN}.xodr").read_text(), parameters)
    assert world.get_map().name.endswith("OpenDriveMap") and world.get_map().get_topology()
    with pytest.raises(RuntimeError, match="OpenDRIVE"):
        client.generate_opendrive_world("<no/>", parameters)
    assert client.load_world(TOWN).get_map().name.endswith(TOWN)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside.log", "outside the folder of recordings"),
        ("/etc/passwd", "outside the folder of recordings"),
        ("a/../../b.log", "outside the folder of recordings"),
        (".", "outside the folder of recordings"),
        ("linked/new.log", "outside the folder of recordings"),
        ("round/new.log", "is no file name"),
        ("nul\0.log", "is no file name"),
        (5000 * "x" + ".log", "is no file name"),
    ],
    ids=["..", "absolute", ".. inside", "folder", "symlink", "symlink to itself", "NUL", "too long"],
)
def test_file_names_of_clients_stay_in_the_folder_of_recordings(
    client, recordings: Path, tmp_path: Path, name: str, said: str
) -> None:
    for link, target in (("linked", tmp_path), ("round", recordings / "round")):
        (recordings / link).unlink(missing_ok=True)
        (recordings / link).symlink_to(target)
    calls = (
        lambda: client.start_recorder(name),
        lambda: client.show_recorder_file_info(name, False),
        lambda: client.show_recorder_collisions(name, "a", "a"),
        lambda: client.show_recorder_actors_blocked(name, 1.0, 1.0),
        lambda: client.replay_file(name, 0.0, 0.0, 0, False),
    )
    for call in calls:
        with pytest.raises(RuntimeError, match=said) as error:
            call()
        assert len(str(error.value)) < 300
    assert not list(tmp_path.iterdir()) and client.get_world().get_map().name.endswith(TOWN)


def test_a_recording_needs_a_folder_that_can_be_made(client) -> None:
    with pytest.raises(RuntimeError, match=r"cannot record to .*drive\.log/new"):
        client.start_recorder("drive.log/new.log")


def test_it_listens_on_loopback_alone(server: ServerProcess) -> None:
    """Unless it is told otherwise."""
    assert server.host == "127.0.0.1"
    listening = Path("/proc/net/tcp").read_text()
    for port in (server.port, server.port + 1):
        assert f" 0100007F:{port:04X} 00000000:0000 0A" in listening
        assert f" 00000000:{port:04X} 00000000:0000 0A" not in listening


# Comings and goings


def test_spawns_and_destroys_leave_nothing_behind(client, server: ServerProcess) -> None:
    world = client.get_world()
    synchronous(world)
    car = world.get_blueprint_library().find("vehicle.tesla.model3")
    place = carla.Transform(carla.Location(40, 1.75, 0.1))

    def once() -> None:
        vehicle = world.spawn_actor(car, place)
        sensor, images = camera(world, "depth", vehicle, size=(64, 48), z=1.8)
        frame = world.tick()
        assert images.get(timeout=60).frame == frame
        assert sensor.destroy() and vehicle.destroy()

    once()
    world.tick()
    before, actors = handles(server), len(world.get_actors())
    for _ in range(100):
        once()
    world.tick()
    assert len(world.get_actors()) == actors
    until(lambda: handles(server) <= before)


def test_clients_that_come_and_go_leave_nothing_behind(client, server: ServerProcess) -> None:
    synchronous(client.get_world())
    before = handles(server)
    for _ in range(20):
        other = carla.Client(server.host, server.port)
        other.set_timeout(20)
        other.get_world().tick()
        del other
    until(lambda: handles(server)[1] <= before[1] + 1)
    assert handles(server)[0] <= before[0]


def test_ticks_leave_nothing_behind(client, server: ServerProcess) -> None:
    world = client.get_world()
    synchronous(world)
    cameras = [camera(world, kind, size=(64, 48), x=20.0, z=2.0) for kind in ("rgb", "depth")]

    def ticks(count: int) -> None:
        for _ in range(count):
            frame = world.tick()
            assert {images.get(timeout=60).frame for _, images in cameras} == {frame}

    ticks(60)
    before, held = handles(server), memory_of(server.process.pid)
    ticks(240)
    assert handles(server) == before
    assert memory_of(server.process.pid) - held < 8  # MiB
    for sensor, _ in cameras:
        sensor.destroy()


def test_a_sensor_that_never_answers_holds_up_nobody(client) -> None:
    """There are no collisions here, so its queue stays empty; the sensor beside it measures every tick."""
    world = client.get_world()
    synchronous(world)
    library = world.get_blueprint_library()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), carla.Transform(carla.Location(40, 1.75, 0.1)))
    silent, nothing = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=car), []
    silent.listen(nothing.append)
    sensor, images = camera(world, "depth", car, size=(64, 48), z=2.0)
    frames = [world.tick() for _ in range(5)]
    assert [images.get(timeout=60).frame for _ in frames] == frames and not nothing
    assert silent.destroy() and sensor.destroy()


def test_a_client_that_asks_for_a_stream_and_never_comes_is_waited_for_once(client, server: ServerProcess) -> None:
    world = client.get_world()
    synchronous(world)
    sensor, images = camera(world, "depth", size=(64, 48), x=20.0, z=2.0)
    RawClient(server.host, server.port).call("get_sensor_token", sensor.id)
    began = time.monotonic()
    frames = [world.tick() for _ in range(5)]
    assert time.monotonic() - began < 30  # the first waits for 5 s, not for ever
    assert [images.get(timeout=60).frame for _ in frames] == frames
    sensor.destroy()


DIES = """
import carla, os, queue, sys
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(20)
world = client.get_world()
camera = world.get_blueprint_library().find("sensor.camera.rgb")
sensor = world.spawn_actor(camera, carla.Transform(carla.Location(z=2)))
images = queue.Queue()
sensor.listen(images.put)
world.tick()
images.get(timeout=60)
print("measured", flush=True)
os._exit(1)
"""


def test_a_client_that_dies_with_its_sensors_does_not_stop_the_others(client, server: ServerProcess) -> None:
    world = client.get_world()
    synchronous(world)
    command = [sys.executable, "-c", DIES, server.host, str(server.port)]
    assert "measured" in subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    began = time.monotonic()
    frames = [world.tick() for _ in range(5)]
    assert frames == list(range(frames[0], frames[0] + 5)) and time.monotonic() - began < 20


def test_a_client_that_stops_reading_slows_the_ticks_but_not_for_ever(recordings: Path) -> None:
    options = ["--map", str(recordings / f"{TOWN}.xodr"), "--port", "0", "--patience", "1"]
    with server_process(options) as server:
        client = carla.Client(server.host, server.port)
        client.set_timeout(60)
        world = client.get_world()
        synchronous(world)
        sensor, _ = camera(world, "depth", size=(1280, 704), z=3.0)
        sensor.stop()
        with socket.create_connection((server.host, server.port + 1)) as lazy:
            lazy.sendall(struct.pack("<I", sensor.id))
            time.sleep(0.2)
            began = time.monotonic()
            for _ in range(8):  # 29 MB, more than sockets hold
                world.tick()
            assert time.monotonic() - began < 50
            world.tick()
        sensor.destroy()


LEFT_ALONE = """
import carla, os, sys, time
from helpers.carla_clients import camera, hero, synchronous
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(60)
world = client.get_world()
synchronous(world)
client.replay_file("drive.log", 0.0, 0.0, int(sys.argv[3]), False)
sensor, images = camera(world, "depth", hero(world), size=(64, 48))
world.tick(60)
images.get(timeout=60)
client.set_timeout(3)
print("measured", flush=True)
sys.stdin.readline()
began = time.monotonic()
try:
    world.tick(3)
except RuntimeError:
    print(f"error after {time.monotonic() - began:.0f} s", flush=True)
os._exit(0)
"""


def test_a_server_that_is_killed_ends_the_wait_of_its_client(recordings: Path) -> None:
    """In a process of its own: threads of a client whose server is gone may end the process they are in."""
    options = ["--map", str(recordings / f"{TOWN}.xodr"), "--recordings", str(recordings), "--port", "0"]
    with server_process(options) as server:
        command = [sys.executable, "-c", LEFT_ALONE, server.host, str(server.port), str(EGO)]
        path = os.pathsep.join(sys.path)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        ) as client:
            assert client.stdout is not None and client.stdout.readline() == "measured\n"
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            said, _ = client.communicate("\n", timeout=30)
    assert (found := re.match(r"error after (\d+) s", said)) and int(found[1]) < 15


def test_a_client_of_another_version_is_told(recordings: Path) -> None:
    """CARLA's client only prints a warning; a capture refuses, and says which wheel goes with the server."""
    options = ["--map", str(recordings / f"{TOWN}.xodr"), "--port", "0", "--client", "0.9.15"]
    with server_process(options) as server:
        client = carla.Client(server.host, server.port)
        client.set_timeout(20)
        assert client.get_server_version() == "0.9.15" != client.get_client_version()
        with pytest.raises(UserError, match=r"carla==0\.9\.15"):
            connect(Server(server.host, server.port, 20.0))
        assert RawClient(server.host, server.port).call("version") == [[1, "0.9.15"]]


def test_a_wrong_port(server: ServerProcess) -> None:
    client = carla.Client(server.host, 1)
    client.set_timeout(1)
    with pytest.raises(RuntimeError, match="time-out"):
        client.get_server_version()
