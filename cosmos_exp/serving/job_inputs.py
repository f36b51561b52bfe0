"""The files of a request as entries of the stage cache: control videos, and the scene as it was rendered."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.errors import UserError, attempt, unknown_name
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.video_decoding import READING_VERSION, video_info
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.controls import make_control
from cosmos_exp.controls.user_videos import check_video, read_user_video
from cosmos_exp.models.base import ByRequest, RenderRequest
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.remote.wire import FRONT, ControlInput, JobRequest
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.serving.blobs import BlobStore

DERIVED = ("edge", "vis")
"""Controls that are made from colour alone."""
TARGET = "target"
OUTPUTS = ("rgb", "semantic", TARGET)


class JobInputs:
    """spec: of the job. blobs: that hold what the request names."""

    def __init__(self, spec: RunSpec, request: JobRequest, blobs: BlobStore):
        self.model = spec.model
        self.spec = spec
        self.request = request
        self.blobs = blobs

    # Which file is read where

    @property
    def control_requests(self) -> dict[str, tuple[RenderRequest, ...]]:
        """{control: where it is read}, of those with a weight."""
        return {name: self.model.control_requests(name) for name in self.spec.config.controls.used}

    def control_video(self, control: ControlInput, own: RenderRequest) -> str | None:
        """The blob that a control's video is read from; None where there is none."""
        alone, together = control.blob, control.blobs.get(own.view)
        if own.view != self.model.front.view:
            return together
        return (alone or together) if own == self.model.front else (together or alone)

    def picture(self, output: str, own: RenderRequest) -> str | None:
        """The same of an output of the renderer."""
        given = self.request.rgb if output == "rgb" else self.request.extra.renders.get(output, {})
        together = given.get(own.view)
        return (given.get(FRONT) or together) if own == self.model.front else together

    @property
    def outputs(self) -> dict[str, tuple[RenderRequest, ...]]:
        """{output of the renderer: where the model, or a derived control, reads it}."""
        model, read = self.model, dict[str, tuple[RenderRequest, ...]]()
        for output in model.reads_renders:
            read[output] = model.render_requests
        if model.reads_targets:
            read[TARGET] = model.render_requests
        derived = [own for name, reads in self.control_requests.items() if self._is_derived(name) for own in reads]
        if derived:
            read["rgb"] = tuple(dict.fromkeys([*read.get("rgb", ()), *derived]))
        return read

    def _is_derived(self, name: str) -> bool:
        return name in self.request.controls and self.request.controls[name].derive

    # What is wrong with them

    def faults(self) -> Iterator[str]:
        """Of what the request names, whatever the model reads of it."""
        places = [(f"controls.{name}", control.blob) for name, control in self.request.controls.items()]
        places += [
            (f"controls.{n}", blob) for n, control in self.request.controls.items() for blob in control.blobs.values()
        ]
        places += [(name, blob) for name, own in self._pictures_given.items() for blob in own.values()]
        for key, blob in places:
            if blob and not self.blobs.path(blob).is_file():
                yield f"{key}: no file {blob} was uploaded"
        for name, control in self.request.controls.items():
            if control.derive and name not in DERIVED:
                yield f"controls.{name}.derive: of colour {' and '.join(DERIVED)} are made; upload a video of {name}"

    def problems(self) -> Iterator[str]:
        """Of the files that are there, where the model reads them."""
        used: dict[RenderRequest, list[tuple[str, str]]] = defaultdict(list)
        for name, reads in self.control_requests.items():
            yield from self._control_problems(name, reads)
            for own in reads:
                if name in self.request.controls and (blob := self.control_video(self.request.controls[name], own)):
                    used[own].append((f"controls.{name}", blob))
        yield from self._picture_problems()
        for output, reads in self.outputs.items():
            for own in reads:
                if blob := self.picture(output, own):
                    used[own].append((output, blob))
        told: set[tuple[str, str]] = set()
        for own, videos in used.items():
            yield from self._video_problems(own, [video for video in videos if video not in told])
            told |= set(videos)

    def _control_problems(self, name: str, reads: tuple[RenderRequest, ...]) -> Iterator[str]:
        control = self.request.controls.get(name)
        if control is None:
            return
        if control.derive:
            return
        missing = [own.view for own in reads if not self.control_video(control, own)]
        if missing:
            key = "blob" if missing == [self.model.front.view] else "blobs"
            yield f"controls.{name}.{key}: lacks {', '.join(dict.fromkeys(missing))}, which {self._name} reads"
        views = list(dict.fromkeys(own.view for own in reads))
        for view in control.blobs:
            if view not in views:
                yield f"controls.{name}.blobs: {unknown_name('view that is read', view, views)}"

    def _picture_problems(self) -> Iterator[str]:
        given = self._pictures_given
        for output, blobs in given.items():
            if output not in OUTPUTS:
                yield f"extra.renders: {unknown_name('output', output, OUTPUTS)}"
            elif blobs and output not in self.outputs:
                yield f"{output} is given, but {self._name} does not read it in this request: leave it out"
        if "rgb" in self.request.extra.renders:
            yield "extra.renders.rgb: give it as rgb"
        for output, reads in self.outputs.items():
            if missing := [own.view for own in reads if not self.picture(output, own)]:
                where = "rgb" if output == "rgb" else f"extra.renders.{output}"
                yield f"{where}: lacks {', '.join(dict.fromkeys(missing))}, which this request needs"
            views = [*dict.fromkeys(own.view for own in reads), FRONT]
            for view in given.get(output, {}):
                if view not in views:
                    yield f"{output}: {unknown_name('view that is read', view, views)}"

    def _video_problems(self, own: RenderRequest, videos: list[tuple[str, str]]) -> Iterator[str]:
        """Of the videos that are read at one place: whether each can be read, and all are as long."""
        lengths: dict[str, int] = {}
        for key, blob in videos:
            path = self.blobs.path(blob)
            if not path.is_file():
                continue  # `faults` tells
            _, errors = attempt(partial(check_video, path, own.shape.frames, self.model.fps))
            yield from (f"{key}: {told(error, path)}" for error in errors)
            if not errors and len(videos) > 1:
                lengths[key] = video_info(path).frames
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} {frames}" for key, frames in lengths.items())
            yield f"the videos of {own.view} have different numbers of frames: {listed}"

    @property
    def _pictures_given(self) -> dict[str, dict[str, str]]:
        return {**self.request.extra.renders, "rgb": self.request.rgb}

    @property
    def _name(self) -> str:
        return self.spec.config.model.name

    # Their entries

    def renders(self, results: Results) -> dict[RenderRequest, Entry]:
        """What the model may look at: the outputs that it reads, and times [F] in seconds."""
        outputs = [output for output in self.outputs if output != TARGET]
        requests = dict.fromkeys(
            [*self.model.render_requests, *(own for reads in self.outputs.values() for own in reads)]
        )
        return {own: self._pictures(results, own, outputs) for own in requests}

    def targets(self, results: Results) -> ByRequest:
        reads = self.outputs.get(TARGET, ())
        return {own: self._pictures(results, own, [TARGET]) for own in reads}

    def _pictures(self, results: Results, own: RenderRequest, outputs: list[str]) -> Entry:
        blobs = {output: blob for output in outputs if (blob := self.picture(output, own))}

        def compute() -> Arrays:
            times = np.arange(own.shape.frames) / self.model.fps
            return {"times": times, **dict(self._array(output, blob, own) for output, blob in blobs.items())}

        config = {"uploaded": sorted(blobs), "shape": list(own.shape), "fps": self.model.fps, "ready": READING_VERSION}
        inputs = [blobs[output] for output in sorted(blobs)]
        return results.get("render", config, inputs, compute, size=own.shape.megapixels)

    def _array(self, output: str, blob: str, own: RenderRequest) -> tuple[str, np.ndarray]:
        """An output's name and pixels as `CameraRender` has them."""
        frames = self._read(blob, "seg" if output == "semantic" else "rgb", own)
        if output != "semantic":
            return "rgb", frames
        tags = frames[..., 0]
        if (frames != tags[..., None]).any():
            raise UserError(f"extra.renders.semantic: {blob} has colours; needed are tags in all channels, lossless")
        return output, tags

    def controls(self, results: Results, renders: ByRequest) -> dict[str, ByRequest]:
        return {
            name: {own: self._control(results, name, own, renders) for own in reads}
            for name, reads in self.control_requests.items()
            if reads
        }

    def _control(self, results: Results, name: str, own: RenderRequest, renders: ByRequest) -> Entry:
        """`video` uint8 [F,H,W,3], under the key that the pipeline has for a control from a file."""
        control, shape = self.request.controls[name], own.shape
        if control.derive:
            return self._derived(results, name, own, renders[own])
        blob = self.control_video(control, own)
        assert blob, "`problems` has told"
        size = [shape.width, shape.height]
        config = {"control": name, "ready": READING_VERSION, "frames": shape.frames, "size": size}
        return results.get(
            "controls", config, [blob], lambda: {"video": self._read(blob, name, own)}, size=shape.megapixels
        )

    def _derived(self, results: Results, name: str, own: RenderRequest, render: Entry) -> Entry:
        strength = asdict(getattr(self.spec.config.controls, name))["strength"]

        def compute() -> Arrays:
            arrays = load_arrays(render)
            seen = CameraRender(own.view, arrays["times"], rgb=arrays["rgb"])
            return {"video": make_control(name, seen, strength=strength)}

        config = {"control": name, "strength": strength}
        return results.get("controls", config, [render.key], compute, size=own.shape.megapixels)

    def _read(self, blob: str, kind: str, own: RenderRequest) -> np.ndarray:
        path = self.blobs.path(blob)
        try:
            return read_user_video(path, kind, **own.shape._asdict(), fps=self.model.fps)
        except UserError as error:
            raise UserError(told(str(error), path)) from error


def aspect_of(request: JobRequest, blobs: BlobStore) -> float | None:
    """Width / height of the first of the front view's videos; None where there is none that can be read."""
    given = [blob for control in request.controls.values() for blob in (control.blob, *control.blobs.values())]
    given += [blob for views in (request.rgb, *request.extra.renders.values()) for blob in views.values()]
    for blob in filter(None, given):
        path = blobs.path(blob)
        info, _ = attempt(partial(video_info, path, 1)) if path.is_file() else (None, [])
        if info:
            return info.size[0] / info.size[1]
    return None


def told(message: str, path: Path) -> str:
    """A message about a file of the server without where it lies."""
    return re.sub(rf"{re.escape(str(path.parent))}/?", "", message)
