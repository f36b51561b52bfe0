"""A server of Cosmos3-Nano-Transfer-Auto without a network: the documented rules, jobs, and videos that tell where they
come from.

A frame of a view is the inverse of its World Scenario map, with a square at the top left whose grey says which camera
it is; given frames stay as they are. Rules are written from the documentation, apart from those of the client.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.video import read_video, write_video
from helpers.patient_server import PatientServer

TABLE = (
    *("front_wide_120fov", "cross_right_120fov", "rear_right_70fov", "rear_tele_30fov", "rear_left_70fov"),
    *("cross_left_120fov", "front_tele_30fov", "front_fisheye_200fov", "left_fisheye_200fov", "right_fisheye_200fov"),
    "rear_fisheye_200fov",
)
BUCKETS = {
    "480": {(1, 1): (640, 640), (4, 3): (736, 544), (3, 4): (544, 736), (16, 9): (832, 480), (9, 16): (480, 832)},
    "720": {(1, 1): (960, 960), (4, 3): (1104, 832), (3, 4): (832, 1104), (16, 9): (1280, 720), (9, 16): (720, 1280)},
}
MULTIVIEW = {
    *("views", "resolution", "aspect_ratio", "num_frames"),
    *("condition_video_as_image", "condition_frame_indexes_vision"),
}
VIEW = {"camera_key", "prompt", "control_reference_index", "vision_reference_index", "control_path", "vision_path"}
PHRASES = r"captured from|follow the wsm|video has a (resolution|duration)|seconds long|camera_view|<\||<camera"
SQUARE = 32  # pixels


def mark(view: str) -> int:
    """Grey of a camera's square."""
    return 20 + 20 * TABLE.index(view)


class Refusal(Exception):
    """status, detail."""


@dataclass
class Job:
    id: str
    form: dict[str, str]
    files: list[bytes]
    looks: int
    status: str = "queued"
    http_status: int = 200
    error: dict[str, Any] | None = None
    content: bytes = b""
    created_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def extra(self) -> dict[str, Any]:
        return json.loads(self.form["extra_params"])

    def told(self) -> dict[str, Any]:
        progress = {"queued": 0, "in_progress": 50, "completed": 100}.get(self.status, 0)
        return {
            "id": self.id, "object": "video", "status": self.status, "progress": progress, "error": self.error,
            "created_at": self.created_at, "model": "cosmos3", "prompt": self.form["prompt"], "size": "832x480",
            "file_name": f"{self.id}.mp4", "media_type": "video/mp4", "inference_time_s": 1.5, "stage_durations": {},
        }  # fmt: skip


class Cosmos3Server:
    """model, key: what it serves, and to whom. looks: at a job before it is finished.

    jobs: all that were accepted. troubles: functions of (method, path, handler) that are asked in turn before a call
    is answered; one that returns True has answered it, and goes. lost_answers: of POST that are cut off after the job
    was accepted. pending_deletes: answers of DELETE with 409. held: whether jobs stay where they are. fails: {number of
    a job: (HTTP status, code, message)}. shorter: frames that a video has too few.
    """

    def __init__(self, *, model: str = "cosmos3", key: str = "", looks: int = 1):
        self.model, self.key, self.looks = model, key, looks
        self.jobs: dict[str, Job] = {}
        self.submitted: list[Job] = []
        self.deleted: list[str] = []
        self.calls: list[str] = []
        self.troubles: list[Callable[[str, str, Any], bool]] = []
        self.lost_answers = 0
        self.pending_deletes = 0
        self.held = False
        self.fails: dict[int, tuple[int, str, str]] = {}
        self.shorter = 0
        self._lock = threading.Lock()
        self._server = PatientServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Cosmos3Server:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # Calls

    def create(self, form: dict[str, str], files: list[bytes]) -> Job:
        """Refusal for what is checked before a job is made."""
        if "prompt" not in form:
            raise Refusal(422, [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}])
        if form.get("model", self.model) != self.model:
            raise Refusal(400, f"The model {form['model']} does not exist.")
        if "negative_prompt" in form:
            raise Refusal(400, "negative_prompt is not supported for multi-view")
        if len(files) > 24:
            raise Refusal(400, "at most 24 references")
        try:
            views = json.loads(form["extra_params"])["multiview"]["views"]
        except (KeyError, ValueError, TypeError):
            raise Refusal(400, "extra_params is no JSON with multiview.views") from None
        used = sorted(view[key] for view in views for key in view if key.endswith("_reference_index"))
        if used != list(range(len(files))):
            raise Refusal(400, "every upload must be referenced exactly once")
        with self._lock:
            job = Job(f"video_gen_{len(self.submitted):04d}", form, files, self.looks)
            self.jobs[job.id] = job
            self.submitted.append(job)
        return job

    def look(self, job: Job) -> None:
        """Time passes from one look to the next."""
        with self._lock:
            if job.status in ("completed", "failed") or self.held:
                return
            job.looks -= 1
            job.status = "in_progress"
            if job.looks >= 0:
                return
            number = self.submitted.index(job)
            try:
                if number in self.fails:
                    raise Refusal(*self.fails[number])
                job.content = self._generate(job)
                job.status = "completed"
            except Refusal as refusal:
                job.http_status, code, message = refusal.args
                job.status, job.error = "failed", {"code": code, "message": message}

    def _generate(self, job: Job) -> bytes:
        """Refusal for what is checked by the pipeline."""
        form, extra = job.form, job.extra
        multiview = extra["multiview"]
        views = multiview["views"]
        self._check(form, extra, multiview, views)
        frames = int(multiview.get("num_frames", form.get("num_frames", 201)))
        frames = 1 + 4 * -(-(frames - 1) // 4)
        width, height = int(form["width"]), int(form["height"])
        indices = multiview.get("condition_frame_indexes_vision", [0, 1])
        given = [view for view in views if "vision_reference_index" in view]
        if given and not all(0 <= index <= (frames - 1) // 4 for index in indices):
            raise Refusal(500, "generation_error", "condition frame index outside of the clip")
        kept = 1 + 4 * max(indices) if given else 0
        made = []
        with TemporaryDirectory() as folder:
            for view in views:
                video = 255 - _frames(job.files[view["control_reference_index"]], frames, folder)
                if given:
                    vision = _frames(job.files[view["vision_reference_index"]], frames, folder)
                    video[:kept] = vision[:kept]
                if video.shape[1:3] != (height, width):
                    raise Refusal(500, "generation_error", "tests send videos of the size that is made")
                grey = mark(view["camera_key"].removeprefix("camera_"))
                video[kept:, :SQUARE, :SQUARE] = grey
                made.append(video)
            whole = np.concatenate(made)
            path = write_video(Path(folder) / "made.mp4", whole[: len(whole) - self.shorter], 30, crf=8)
            return path.read_bytes()

    def _check(self, form: dict[str, str], extra: dict[str, Any], multiview: dict[str, Any], views: list[Any]) -> None:
        def wrong(message: str) -> Refusal:
            return Refusal(500, "generation_error", message)

        for key in ("fps", "num_frames", "num_inference_steps", "guidance_scale", "flow_shift", "seed"):
            if key not in form or not float(form[key]) >= 0:
                raise wrong(f"{key} is missing or negative: nothing should be left to defaults")
        if unknown := set(multiview) - MULTIVIEW:
            raise wrong(f"unknown fields {unknown}")
        ratio = tuple(map(int, re.split("[:,]", multiview["aspect_ratio"])))
        if BUCKETS[multiview["resolution"]][ratio] != (int(form["width"]), int(form["height"])):
            raise wrong("width and height are not those of resolution and aspect_ratio")
        if set(extra) & {"edge", "blur", "depth", "seg"} or extra["wsm"].keys() != {"weight"}:
            raise wrong("exactly one hint, with a weight")
        if not extra["wsm"]["weight"] > 0:
            raise wrong("the weight must be positive")
        cameras = [view["camera_key"] for view in views]
        if (
            not views
            or len(set(cameras)) < len(cameras)
            or not {c.removeprefix("camera_") for c in cameras} <= set(TABLE)
        ):
            raise wrong("camera keys must be known, and each once")
        for view in views:
            if unknown := set(view) - VIEW:
                raise wrong(f"unknown fields {unknown} of a view")
            text = view.get("prompt", "")
            if not text.strip() or text.startswith("{") or re.search(PHRASES, text.lower()) or "camera_" in text:
                raise wrong(f"prompt refused: {text}")
            if "control_reference_index" not in view:
                raise wrong("a control is needed of every view")
        if len({"vision_reference_index" in view for view in views}) != 1:
            raise wrong("partial vision needs complete videos")


def _frames(content: bytes, frames: int, folder: str) -> np.ndarray:
    """So many frames of a video file, its last one repeated where it is shorter."""
    path = Path(folder) / "upload.mp4"
    path.write_bytes(content)
    video = read_video(path)
    return video[np.minimum(np.arange(frames), len(video) - 1)]


def form_of(content_type: str, body: bytes) -> tuple[dict[str, str], list[bytes]]:
    """Fields and input_references of a multipart form."""
    boundary = re.search(r"boundary=([^;]+)", content_type)
    assert content_type.startswith("multipart/form-data") and boundary
    fields: dict[str, str] = {}
    files: list[bytes] = []
    for part in body.split(b"--" + boundary.group(1).encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        name = re.search(r'name="([^"]*)"', head.decode())
        assert name
        if b"filename=" in head:
            assert name.group(1) == "input_references"
            files.append(content)
        else:
            fields[name.group(1)] = content.decode()
    return fields, files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Cosmos3Server

    def _answer(self) -> None:
        owner, body = self.owner, self.rfile.read(int(self.headers.get("content-length", 0)))
        owner.calls.append(f"{self.command} {self.path}")
        if owner.troubles and owner.troubles[0](self.command, self.path, self):
            owner.troubles.pop(0)
            return
        if owner.key and self.headers.get("authorization") != f"Bearer {owner.key}":
            return self.send(401, {"error": {"message": "Unauthorized"}})
        _, _, job_id, *rest = [*self.path.strip("/").split("/"), ""]
        if self.command == "POST":
            return self._post(body)
        job = owner.jobs.get(job_id)
        if job is None:
            return self.send(404, {"detail": f"Video {job_id} not found"})
        if self.command == "DELETE":
            return self._delete(job)
        if rest[:1] == ["content"]:
            return self.send(200, job.content, "video/mp4") if job.content else self.send(404, {"detail": "no video"})
        owner.look(job)
        return self.send(job.http_status, job.told())

    do_GET = do_POST = do_DELETE = _answer

    def _post(self, body: bytes) -> None:
        owner = self.owner
        try:
            job = owner.create(*form_of(self.headers["content-type"], body))
        except Refusal as refusal:
            return self.send(refusal.args[0], {"detail": refusal.args[1]})
        if owner.lost_answers:
            owner.lost_answers -= 1
            self.close_connection = True
            return None
        return self.send(200, job.told())

    def _delete(self, job: Job) -> None:
        owner = self.owner
        if owner.pending_deletes:
            owner.pending_deletes -= 1
            return self.send(409, {"detail": "cancellation pending"})
        del owner.jobs[job.id]
        owner.deleted.append(job.id)
        return self.send(200, {"id": job.id, "deleted": True, "object": "video.deleted"})

    def send(self, status: int, content: Any, kind: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def overloaded(method: str, path: str, handler: Any) -> bool:
    handler.send(503, {"detail": "busy"})
    return True


def hangs_up(method: str, path: str, handler: Any) -> bool:
    handler.close_connection = True
    return True
