"""Captures with CARLA's own client: every picture of every tick, and what happens where one does not come."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.carla_clients import require_carla, until

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.carla_live.cameras import WantedCamera
from cosmos_exp.scene.carla_live.capture import Playing, Wanted, capture
from cosmos_exp.scene.carla_live.connection import CaptureError, Server
from cosmos_exp.scene.carla_live.folder import OUTPUTS, Capture
from cosmos_exp.scene.carla_live.scene import captured_scene
from cosmos_exp.sensors.rigs import build_rig

carla = require_carla()
pytestmark = pytest.mark.own_process

RIG = build_rig(
    "test",
    {
        "front": {"hfov": 100, "size": [64, 40], "position": [0.4, 0.0, 1.8], "rotation": [0, 8, 0]},
        "left": {"hfov": 90, "size": [48, 40], "position": [0.0, 0.5, 1.8], "rotation": [0, 0, 66]},
    },
)
FPS, START, FRAMES = 24.0, 0.5, 13
EGO, PLAYED = 234, 236  # ids in the log


def wanted(*, frames: int | None = FRAMES, outputs: tuple[str, ...] = tuple(OUTPUTS), ego: str | None = None) -> Wanted:
    return Wanted(FPS, frames, ego, lambda origin: [WantedCamera(camera, outputs) for camera in RIG.cameras])


@pytest.fixture(scope="module")
def taken(server: Server, drive, tmp_path_factory) -> Capture:
    playing = Playing(str(drive[0]), START)
    return capture(server, playing, wanted(), tmp_path_factory.mktemp("taken") / "capture")


@contextlib.contextmanager
def second_client(server: Server) -> Iterator[Any]:
    client = carla.Client(server.host, server.port)
    client.set_timeout(20)
    yield client


def is_free(server: Server) -> bool:
    """Whether a capture has left nothing: no synchronous mode, no sensors, no vehicles of the replay."""
    with second_client(server) as client:
        world = client.get_world()
        world.wait_for_tick(20)
        left = [a.type_id for a in world.get_actors() if a.type_id.startswith(("sensor.", "vehicle."))]
        return not world.get_settings().synchronous_mode and not left


def test_every_output_of_every_camera_has_every_frame(taken: Capture) -> None:
    assert list(taken.cameras) == ["front", "left"] and taken.frames == FRAMES
    assert np.diff(taken.about["frames"]).tolist() == [1] * (FRAMES - 1)
    for name, camera in taken.cameras.items():
        assert camera.outputs == tuple(OUTPUTS)
        for output in OUTPUTS:
            assert taken.array(name, output).shape[:3] == (FRAMES, camera.height, camera.width)
        moving = OUTPUTS if name == "front" else ("rgb", "depth", "semantic")
        assert all(np.any(taken.array(name, output)[0] != taken.array(name, output)[-1]) for output in moving)
    taken.verify()


def test_pictures_are_those_of_the_renderer_at_the_log_s_times(taken: Capture, drive) -> None:
    """Frame i shows the log at start + i / fps: no output is a frame early or late."""
    from cosmos_exp.rendering.renderer import render_camera

    scene = load_carla_scene(*drive, start=START, duration=FRAMES / FPS)
    assert scene.ego_origin is not None
    for camera in RIG.cameras:
        pose = camera.camera_to_rig.copy()
        pose[:3, 3] += scene.ego_origin
        times = START + np.arange(FRAMES) / FPS
        drawn = render_camera(scene, replace(camera, camera_to_rig=pose), times, outputs=tuple(OUTPUTS))
        for output in ("semantic", "instance", "normals"):
            assert (taken.array(camera.name, output) == drawn.output(output)).mean() > 0.9999, output
        depth, expected = taken.array(camera.name, "depth"), drawn.output("depth")
        assert (np.isinf(depth) == np.isinf(expected)).mean() > 0.9999
        both = np.isfinite(depth) & np.isfinite(expected)
        assert np.quantile(np.abs(depth[both] - expected[both]), 0.999) < 1e-3
        difference = np.abs(taken.array(camera.name, "rgb").astype(int) - drawn.output("rgb"))
        assert np.quantile(difference, 0.999) <= 1


def test_actors_and_map_are_the_log_s(taken: Capture, drive) -> None:
    scene, log = captured_scene(taken), load_carla_scene(*drive, start=START, duration=(FRAMES - 1) / FPS)
    assert (scene.start, scene.end, scene.source) == (0.0, (FRAMES - 1) / FPS, "carla_live")
    assert scene.clip_id == log.clip_id == "drive_500000_1000000"
    times = np.arange(FRAMES) / FPS
    np.testing.assert_allclose(scene.rig_trajectory.sample(times), log.rig_trajectory.sample(START + times), atol=1e-4)
    ours, theirs = ({(t.actor_class, t.model): t for t in s.tracks} for s in (scene, log))
    assert ours.keys() == theirs.keys() and len(ours) == 3
    for key, track in ours.items():
        np.testing.assert_allclose(track.size, theirs[key].size, atol=1e-4)
        expected = theirs[key].trajectory.sample(START + times)
        np.testing.assert_allclose(track.trajectory.sample(times), expected, atol=1e-4)
    assert [light.states for light in scene.map.traffic_lights] == [
        light.states[:1] for light in log.map.traffic_lights
    ]
    assert len(scene.map.buildings) == len(log.map.buildings) > 0


def test_a_capture_leaves_the_server_as_it_was(taken: Capture, server: Server) -> None:
    assert is_free(server)


def test_a_time_factor_makes_the_log_faster(server: Server, drive, taken: Capture, tmp_path: Path) -> None:
    """Frame i shows the log at start + i factor / fps."""
    fast = capture(server, Playing(str(drive[0]), START, time_factor=2.0), wanted(frames=7), tmp_path / "fast")
    for output in ("depth", "semantic", "instance"):
        expected = taken.array("front", output)[::2]
        assert (fast.array("front", output) == expected).mean() > 0.9999, output


def test_without_a_number_of_frames_the_log_is_played_to_its_end(server: Server, drive, tmp_path: Path) -> None:
    """And not beyond it: the log ends at 5.1 s."""
    until_end = capture(server, Playing(str(drive[0]), 4.0), Wanted(FPS, None), tmp_path / "end")
    assert until_end.frames == 27 and captured_scene(until_end).duration == pytest.approx(26 / 24)


def test_a_camera_of_another_lens_is_resampled(server: Server, drive, tmp_path: Path) -> None:
    """An f-theta camera of 120 degrees, as the renderer sees it itself."""
    from cosmos_exp.rendering.renderer import render_camera

    lens = {"width": 96, "height": 56, "center": [48, 28], "poly": [0, 46, 0, 0, 0, 0], "backward": False}
    (camera,) = build_rig("wide", {"wide": {"ftheta": lens, "position": [0.4, 0, 1.8], "rotation": [0, 0, 0]}}).cameras
    wide = Wanted(FPS, 2, None, lambda origin: [WantedCamera(camera, tuple(OUTPUTS))])
    made = capture(server, Playing(str(drive[0]), START), wide, tmp_path / "wide")
    scene = load_carla_scene(*drive, start=START, duration=2 / FPS)
    pose = camera.camera_to_rig.copy()
    pose[:3, 3] += scene.ego_origin
    drawn = render_camera(scene, replace(camera, camera_to_rig=pose), [START], outputs=tuple(OUTPUTS))
    assert (made.array("wide", "semantic")[0] == drawn.output("semantic")[0]).mean() > 0.95
    near = drawn.output("depth")[0] < 30
    assert np.median(np.abs(made.array("wide", "depth")[0][near] / drawn.output("depth")[0][near] - 1)) < 0.02
    assert np.abs(made.array("wide", "rgb")[0].astype(int) - drawn.output("rgb")[0]).mean() < 8


def test_memory_is_flat_over_the_frames(server: Server, drive, tmp_path: Path) -> None:
    """Images that stayed would be 60 kB each: 30 MB of five outputs from frame 20 on."""
    place = {"position": [0.4, 0, 1.8], "rotation": [0, 0, 0]}
    (camera,) = build_rig("one", {"front": {"hfov": 100, "size": [160, 96], **place}}).cameras
    resident: list[int] = []

    def tick(done: int, total: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE"))

    long = Wanted(FPS, 121, None, lambda origin: [WantedCamera(camera, tuple(OUTPUTS))])
    capture(server, Playing(str(drive[0]), 0.0), long, tmp_path / "long", tick=tick)
    assert len(resident) == 121 and max(resident[20:]) - resident[20] < 8 * 2**20


def test_live_traffic_is_captured_as_it_goes_on(server: Server, tmp_path: Path) -> None:
    """The ego by its role; the vehicle of another client stays where it is."""
    with second_client(server) as client:
        world = client.get_world()
        blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
        blueprint.set_attribute("role_name", "taxi")
        car = world.spawn_actor(blueprint, carla.Transform(carla.Location(30.0, 1.75, 0.2)))
        try:
            live = capture(server, Playing(None, start=0.25), wanted(frames=4, ego="taxi"), tmp_path / "live")
        finally:
            car.destroy()
    scene = captured_scene(live)
    assert (live.about["ego"]["id"], live.frames, live.about["replay"]) == (car.id, 4, None)
    assert scene.clip_id == "live_0_125000" and scene.ego.role == "taxi"
    assert abs(scene.ego.trajectory.poses[0, 0, 3] - 30.0) < 1.0
    assert (live.array("front", "semantic") == 1).mean() > 0.1, "the road"


def test_a_world_in_which_others_drive_is_loaded_anew(start_server, drive, tmp_path: Path) -> None:
    """Also where cameras of an earlier capture have listened in this process."""
    with start_server() as process:
        own = Server(process.host, process.port, timeout=60)
        for i in range(3):
            with second_client(own) as client:
                world = client.get_world()
                blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
                car = world.spawn_actor(blueprint, carla.Transform(carla.Location(30.0, 1.75, 0.2)))
            taken = capture(own, Playing(str(drive[0]), START), wanted(frames=2, outputs=("depth",)), tmp_path / str(i))
            assert taken.frames == 2 and taken.ego != car.id
            assert is_free(own), "the car is gone, too"


# What goes wrong


def refused(server: Server, playing: Playing, tmp_path: Path, message: str, **options: Any) -> None:
    """A capture that fails says why, leaves no folder, and the server as it was."""
    with pytest.raises(UserError, match=message):
        capture(server, playing, wanted(**options), tmp_path / "capture")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("playing", "options", "message"),
    [
        ({"start": 4.9}, {}, r"13 frames .* after the end of .* at most 5 frames from 4\.9 s on"),
        ({"start": 9.0}, {}, "start 9 s lies outside the log, which is 5.1 s long"),
        ({"start": START}, {"ego": "taxi"}, r"'taxi'.*vehicle\.lincoln\.mkz_2020 \(role hero\)"),
        ({"start": START, "log": "nolog.log"}, {}, r"nolog\.log"),
        ({"log": None}, {"frames": None}, "live traffic has no end"),
        ({"log": None}, {}, "no vehicle has the role 'hero'.*there are no vehicles"),
    ],
)
def test_what_cannot_be_played_is_told(playing, options, message, server: Server, drive, tmp_path: Path) -> None:
    refused(server, Playing(**{"log": str(drive[0])} | playing), tmp_path, message, **options)
    assert is_free(server)


def interfering(server: Server, playing: Playing, tmp_path: Path, at: int, interfere) -> str:
    """The message of a capture into which another client comes at a frame."""

    def tick(done: int, total: int) -> None:
        if done == at:
            with second_client(server) as client:
                interfere(client.get_world())

    with pytest.raises(CaptureError) as error:
        capture(replace(server, timeout=5.0), playing, wanted(), tmp_path / "capture", tick=tick)
    assert list(tmp_path.iterdir()) == []
    return str(error.value)


def remove_camera(world: Any) -> None:
    """That of the left view's depth."""

    def found() -> list[Any]:
        cameras = world.get_actors().filter("sensor.camera.depth")
        return [camera for camera in cameras if camera.attributes["image_size_x"] == "48"]

    (camera,) = until(found)
    camera.destroy()


def test_a_camera_that_does_not_answer_is_named(server: Server, drive, tmp_path: Path, taken) -> None:
    """Another client has removed it."""
    message = interfering(server, Playing(str(drive[0]), START), tmp_path, 5, remove_camera)
    assert "left, depth: no image of frame" in message and "within 5.0 s" in message
    assert is_free(server)


def test_another_client_that_ticks_is_noticed(server: Server, drive, tmp_path: Path, taken) -> None:
    message = interfering(server, Playing(str(drive[0]), START), tmp_path, 5, lambda world: world.tick())
    assert "another client moves the world" in message and "2 frames after the last" in message
    assert is_free(server)


@pytest.mark.parametrize(("key", "value"), [("synchronous_mode", False), ("fixed_delta_seconds", 0.1)])
def test_another_client_that_changes_settings_is_noticed(
    key: str, value: Any, server: Server, drive, tmp_path: Path, taken
) -> None:
    def change(world: Any) -> None:
        settings = world.get_settings()
        setattr(settings, key, value)
        world.apply_settings(settings)

    message = interfering(server, Playing(str(drive[0]), START), tmp_path, 5, change)
    assert "another client moves the world" in message and f"{key}={value}"[:24] in message
    assert is_free(server)


def test_a_server_that_dies_ends_the_capture_at_once(start_server, drive, tmp_path: Path, caplog) -> None:
    """While a tick is waited for: the client itself would wait for ten minutes."""
    with start_server() as process:
        server = Server(process.host, process.port, timeout=600)

        def tick(done: int, total: int) -> None:
            if done == 5:
                process.process.kill()
                process.process.wait()

        with pytest.raises(CaptureError, match=f"the server at {server} does not tick: .* is gone .Connection refused"):
            capture(server, Playing(str(drive[0]), START), wanted(), tmp_path / "capture", tick=tick)
        assert list(tmp_path.iterdir()) == []
        assert f"nothing is put back: the server at {server} is gone" in caplog.text


def test_a_server_that_dies_while_an_image_is_waited_for_is_noticed_too(start_server, drive, tmp_path: Path) -> None:
    with start_server() as process:
        server = Server(process.host, process.port, timeout=600)

        def tick(done: int, total: int) -> None:
            if done == 5:
                with second_client(server) as client:
                    remove_camera(client.get_world())
                threading.Timer(1.0, process.process.kill).start()

        with pytest.raises(CaptureError, match=r"left, depth: no image of frame .* is gone"):
            capture(server, Playing(str(drive[0]), START), wanted(), tmp_path / "capture", tick=tick)
        assert list(tmp_path.iterdir()) == []


def test_what_is_no_carla_server_is_told(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(port=listening.getsockname()[1], timeout=2.0)
        refused(server, Playing("drive.log", 0.0), tmp_path, "does not answer as a CARLA server: time-out of 2000ms")


def test_ctrl_c_puts_the_settings_back(server: Server, drive, tmp_path: Path, taken) -> None:
    sensors = tmp_path / "sensors.yaml"
    sensors.write_text("[{sensor: rgb, attributes: {image_size_x: 64, image_size_y: 40}}]")
    arguments = [
        "--sensors",
        str(sensors),
        "-f",
        str(drive[0]),
        "-o",
        str(tmp_path / "out"),
        "--port",
        str(server.port),
    ]
    command = [sys.executable, "-m", "cosmos_exp", "capture", *arguments, "-s", "0", "--fps", "1000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    with second_client(server) as client:
        world = client.get_world()
        while not world.get_actors().filter("sensor.camera.rgb"):
            world.wait_for_tick(60)
            assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130) and "Traceback" not in said
    assert list((tmp_path / "out").iterdir()) == []
    assert is_free(server)
