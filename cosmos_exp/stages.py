"""Every stage bound to its part of the config and to its inputs, so that its result can be looked up in the cache.

A stage's key covers its version, the config values that change its result, and the keys of what goes in. Values that
only say where and how fast (device, threads, folders, tracking) are no part of any key. What is loaded or built once
(scene, renderer, model) is made on first need and kept for the next run of the process: a run whose results are all in
the cache makes none of them, and the cells of a sweep share them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import safetensors.numpy

from cosmos_exp import gpu, torchrun
from cosmos_exp.cache import Entry, StageCache, stage_key
from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.controls.class_filter import is_file
from cosmos_exp.controls.ready import camera_file, read_ready_video, view_file
from cosmos_exp.errors import UserError
from cosmos_exp.generate.chunks import Chunk, join
from cosmos_exp.generate.shares import effective_weights
from cosmos_exp.history import Cost, History
from cosmos_exp.kept import Kept
from cosmos_exp.places import Places
from cosmos_exp.progress import Tick
from cosmos_exp.render.types import OPTIONAL_OUTPUTS, OUTPUTS, CameraRender
from cosmos_exp.scene.edits import edit_identity
from cosmos_exp.scene.source import own_options
from cosmos_exp.scene.sources import SOURCES, load_rig, load_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.carla_yaml import configured_cameras, placed
from cosmos_exp.sensors.rigs import cameras_of_views, rig_of_views
from cosmos_exp.shapes import Shape, Video, Videos, front_aspect, videos_of
from cosmos_exp.validate import model_folder, read_contract
from cosmos_exp.video import resize, write_video
from cosmos_exp.world.contract import SIGMA_MAX, Contract
from cosmos_exp.world.memory import Memory

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.generate.sampler import SamplerParams
    from cosmos_exp.metrics.types import GeneratedClip
    from cosmos_exp.world.model import WorldModel
    from cosmos_exp.world.speed import Speed

# Raise a number when the stage's code changes what it computes from the same input.
VERSIONS = {
    "scene": 1,
    "render": 2,
    "controls": 2,
    "videos": 1,
    "captions": 1,
    "hints": 1,
    "input": 1,
    "text": 1,
    "single_view": 2,
    "multi_view": 2,
    "metrics": 1,
}

OPTIONAL_CONTROLS = (*OPTIONAL_OUTPUTS, "keypoint", "upscale")  # made only where asked for

GIVEN_VIDEOS = ("input", "first_frames")  # of the sampler group
NETWORK_STAGES = ("hints", "input", "text", "single_view", "multi_view")

ARRAYS, VALUES = "result.safetensors", "result.json"

Arrays = dict[str, np.ndarray]

_scenes, _renderers, _models = Kept(), Kept(), Kept()


class Take(NamedTuple):
    """One view, drawn for one network."""

    view: str
    shape: Shape


class Stages:
    """cfg: resolved config as plain values. hits, misses: {stage: cache lookups}, counted here."""

    def __init__(self, cfg: Mapping[str, Any], cache: StageCache, hits: Counter[str], misses: Counter[str]):
        self.cfg = cfg
        self.cache = cache
        self.history = History(cache.root)
        self.computed = 0.0  # seconds spent on results that were not there
        self.hits = hits
        self.misses = misses
        model = cfg["model"]
        self.model_folder = model_folder(model["name"], model["weights"])
        self.contract: Contract = read_contract(self.model_folder)
        self.fps: float = model["fps"] or self.contract.fps
        self.reference_compat: bool = model["reference_compat"]
        self._texts: dict[str, Entry] = {}
        self.threads = num_threads(cfg["hardware"]["threads"])
        self.views: tuple[str, ...] = tuple(cfg["views"]["names"])
        self.front = self.views[0]
        self.styles: tuple[str, ...] = tuple(cfg["captions"]["styles"])
        self.weights: dict[str, float] = {k: c["weight"] for k, c in cfg["controls"].items() if c["weight"] > 0}
        self.places = Places(cfg, cache, lambda render: load_arrays(render)["semantic"])
        given = cfg["captions"]["negative_prompt"]
        self.negative_prompt: str | None = self.contract.negative_prompt if given is None else given

    @property
    def multi_view_controls(self) -> tuple[str, ...]:
        """Controls with a weight that the multi-view net reads; none where only one view is asked for."""
        read = self.contract.multi_view_controls if len(self.views) > 1 else ()
        return tuple(name for name in self.weights if name in read)

    @property
    def controls(self) -> tuple[str, ...]:
        """Controls to make: all but the optional ones that have no weight and are no preview."""
        asked = {*self.weights, *self.cfg["previews"]["names"]}
        return tuple(name for name in self.cfg["controls"] if name in asked or name not in OPTIONAL_CONTROLS)

    def is_ready(self, name: str) -> bool:
        """Whether videos of the user's take the control's place."""
        return self.cfg["controls"][name]["file"] is not None

    def control_takes(self, name: str) -> tuple[Take, ...]:
        """Those that a control is made for: all, or where it is ready, those that a network reads."""
        if not self.is_ready(name):
            return self.takes
        read = self.multi_takes.values() if name in self.multi_view_controls else ()
        return tuple(dict.fromkeys([self.front_take, *read]))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of the renderer: what the controls and previews show."""
        return (*OUTPUTS, *(name for name in self.controls if name in OPTIONAL_OUTPUTS))

    def control_params(self, name: str) -> dict[str, Any]:
        """What makes a control's video from a render: its config without weight and ready video."""
        return {k: v for k, v in self.cfg["controls"][name].items() if k not in ("weight", "weight_map", "file")}

    # What is made once, when first needed

    @cached_property
    def videos(self) -> Videos:
        """What the two networks make."""
        aspect = front_aspect(self.cfg["scene"], self.cfg["sensors"], self.front)
        return videos_of(self.cfg["model"], self.contract, len(self.views), aspect)

    @property
    def front_take(self) -> Take:
        """What the single-view net draws over."""
        return Take(self.front, self.videos.single_view.shape)

    @property
    def multi_takes(self) -> dict[str, Take]:
        """{view: what the multi-view net draws over}; empty where it does not run."""
        video = self.videos.multi_view
        return {view: Take(view, video.shape) for view in self.views} if video else {}

    @property
    def takes(self) -> tuple[Take, ...]:
        """Each once: the front view is drawn twice where the networks differ in frames or pixels."""
        return tuple(dict.fromkeys([self.front_take, *self.multi_takes.values()]))

    @cached_property
    def scene(self) -> Scene:
        return _scenes.get(self.scene_key, lambda: load_scene(self.cfg["scene"]))

    @cached_property
    def rig(self) -> Rig:
        """The cameras of the views, named by these, at the size of the single view."""
        shape = self.videos.single_view.shape
        sensors, size = self.cfg["sensors"], (shape.width, shape.height)
        rig = placed(load_rig(self.cfg["scene"], sensors, size=size), sensors, lambda: self.scene)
        return rig_of_views(rig, sensors["views"], self.views)

    def camera(self, take: Take) -> Camera:
        """A view's camera at the take's size, as a resized picture would show it: other pixels, the same borders."""
        camera = self.rig.camera(take.view)
        return replace(camera, model=camera.model.resized(take.shape.width, take.shape.height))

    @cached_property
    def times(self) -> np.ndarray:
        """[F] seconds, of the longest video."""
        frames = self.videos.single_view.shape.frames
        times = self.scene.frame_times(frames, self.fps)
        if times[-1] > self.scene.end + 1e-6:
            needed, longest = times[-1] - times[0], self.scene.duration
            raise UserError(
                f"{frames} frames at {self.fps:g} Hz need {needed:.2f} s, the scene is {longest:.2f} s long: "
                "choose a longer time window, fewer frames (model.num_frames) or a higher model.fps"
            )
        return times

    @cached_property
    def renderer(self):
        from cosmos_exp.render.renderer import Renderer

        return _renderers.get(self.scene_key, lambda: Renderer(self.scene))

    @cached_property
    def model(self) -> WorldModel:
        import torch

        from cosmos_exp.world.model import WorldModel

        hardware = self.cfg["hardware"]
        torch.set_num_threads(self.threads)
        if hardware["device"] != "cpu":
            gpu.limit_memory(hardware["device"], hardware["memory_gb"])
        folder, options, key = self.model_source
        return _models.get(key, lambda: WorldModel.from_folder(folder, device=hardware["device"], **options))

    @cached_property
    def model_source(self) -> tuple[Path, dict[str, Any], str]:
        """What every process of the run loads, each on its own device: folder, options, and a key of files and all."""
        import torch

        files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in self.model_folder.iterdir())
        key = json.dumps([str(self.model_folder), files, self.cfg["hardware"], asdict(self.speed)])
        dtype = getattr(torch, self.cfg["hardware"]["dtype"])
        return self.model_folder, {"dtype": dtype, "speed": self.speed, "memory": self.memory}, key

    @cached_property
    def memory(self) -> Memory:
        return Memory(**{field.name: self.cfg["hardware"][field.name] for field in fields(Memory)})

    @cached_property
    def speed(self) -> Speed:
        """compile: null in the config stands for: on a GPU."""
        from cosmos_exp.world.speed import Speed

        speed = self.cfg["speed"]
        fuse = self.cfg["hardware"]["device"] != "cpu" if speed["compile"] is None else speed["compile"]
        return Speed(attention=speed["attention"], linears=speed["linears"], compile=fuse)

    @cached_property
    def sampler(self) -> SamplerParams:
        from cosmos_exp.generate.sampler import SamplerParams

        speed = self.cfg["speed"]
        interval = speed["guidance_interval"]
        return SamplerParams(
            **{k: v for k, v in self.cfg["sampler"].items() if k not in ("seed", *GIVEN_VIDEOS)},
            reference_compat=self.reference_compat,
            guidance_interval=tuple(interval) if interval else None,
            cache_threshold=speed["cache_threshold"],
        )

    @property
    def multi_view_sampler(self) -> SamplerParams:
        """The other views always depart from noise alone."""
        return replace(self.sampler, sigma_max=self._multi_view_sigma_max)

    @property
    def _multi_view_sigma_max(self) -> float:
        sampler = self.cfg["sampler"]
        return sampler["sigma_max"] if sampler["input"] is None else SIGMA_MAX

    @cached_property
    def effective_weights(self) -> dict[str, dict[str, float]]:
        """{network: {control: weight as it counts}}: weights that sum to more than 1 are scaled down, net by net."""
        names = {"single_view": tuple(self.weights), "multi_view": self.multi_view_controls}
        return {net: effective_weights({name: self.weights[name] for name in own}) for net, own in names.items() if own}

    # What time and space go with

    @property
    def passes(self) -> int:
        """Of the network, to sample a clip."""
        sampler = self.cfg["sampler"]
        return (sampler["num_steps"] + 1) * (2 if sampler["guidance"] else 1)

    @property
    def size(self) -> float:
        """Million pixels of all that is generated for one style."""
        videos = self.videos
        views = len(self.views) * megapixels(videos.multi_view.shape) if videos.multi_view else 0.0
        return megapixels(videos.single_view.shape) + views

    # Keys

    @cached_property
    def scene_key(self) -> str:
        """Of the scene's parameters; files count by name and content, wherever they lie."""
        scene = self.cfg["scene"]
        source = SOURCES[scene["source"]]
        paths = {key: Path(scene[key]) for key in source.files}
        config = own_options(scene) | {k: p.name for k, p in paths.items()} | {"source": scene["source"]}
        for folder in source.folders:
            del config[folder]
        edits, edit_files = edit_identity(scene)
        config |= {"edits": edits} if edits else {}
        files = [*paths.values(), *source.contents(own_options(scene)), *edit_files]
        return stage_key("scene", VERSIONS["scene"], config, [self.cache.file_identity(path) for path in files])

    def camera_config(self, view: str) -> Any:
        """What a view's camera follows from, besides the scene: its own values, or those that choose the clip's."""
        sensors = self.cfg["sensors"]
        if sensors["camera_type"]:
            return {"camera_type": sensors["camera_type"], "views": sensors["views"]}
        cameras = configured_cameras(sensors)
        camera = cameras[cameras_of_views(list(cameras), sensors["views"])[view]]
        return {"camera": camera, "actor_origin": sensors["actor_origin"]} if sensors["file"] else camera

    def weights_identity(self, *patterns: str) -> str:
        """Of the model's description and of the weights files that match."""
        listing = self.model_files(*patterns)
        return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()

    def model_files(self, *patterns: str) -> dict[str, str]:
        """{file: sha256} of the same."""
        files = [self.model_folder / "model.json"]
        files += sorted(p for pattern in patterns for p in self.model_folder.glob(f"{pattern}.safetensors"))
        return {p.name: self.cache.file_identity(p) for p in files}

    def noise_seeds(self, clip: str) -> dict[str, list[int]]:
        """{stage: seed of each chunk's initial noise}."""
        videos = {"single_view": self.videos.single_view, "multi_view": self.videos.multi_view}
        return {name: [self._seed(name, clip, c) for c in video.chunks] for name, video in videos.items() if video}

    def setting(self, stage: str) -> str:
        """What the time of a stage depends on, besides its size and passes."""
        if stage not in NETWORK_STAGES:
            return ""
        model = self.cfg["model"]
        name = self.model_folder.name if model["weights"] else model["name"]
        hardware = {k: v for k, v in self.cfg["hardware"].items() if k != "threads"}
        hardware["device"] = hardware["device"].partition(":")[0]
        return json.dumps([name, hardware, self.cfg["speed"]], sort_keys=True)

    def _stage(
        self,
        stage: str,
        config: Mapping,
        inputs: list[str],
        compute: Callable[[], Arrays | dict],
        *,
        size: float = 1.0,
        passes: int = 1,
    ) -> Entry:
        """Look a result up, or compute and store it: arrays, or where `compute` returns other values, JSON.

        size: million pixels it is made of, passes: of a network; with them its cost goes into the history.
        """

        def measured(folder: Path) -> None:
            started = time.monotonic()
            _save(folder, compute())
            seconds, stored = time.monotonic() - started, sum(path.stat().st_size for path in folder.iterdir())
            self.computed += seconds
            self.history.add(Cost(stage, self.setting(stage), size, passes, seconds, stored))

        key = stage_key(stage, VERSIONS[stage], config, inputs)
        entry = self.cache.get_or_compute(stage, key, measured)
        (self.hits if entry.hit else self.misses)[stage] += 1
        return entry

    # Stages

    def render(self, take: Take, weather: str, outputs: tuple[str, ...]) -> Entry:
        """One camera's pixels. outputs: which of the renderer's."""
        front, shape = self.videos.single_view.shape, take.shape
        config = {
            "camera": self.camera_config(take.view),
            "size": [shape.width, shape.height],
            "frames": shape.frames,
            "fps": self.fps,
            "weather": weather if "rgb" in outputs else None,
            "outputs": sorted(outputs),
        }
        if (shape.height, shape.width) != (front.height, front.width):
            config["resized_from"] = [front.width, front.height]

        def compute() -> Arrays:
            from cosmos_exp.render.renderer import render_camera

            times = self.times[: shape.frames]
            options = {"weather": weather, "outputs": outputs, "threads": self.threads}
            render = render_camera(self.renderer, self.camera(take), times, **options)
            return {"times": render.times} | {name: getattr(render, name) for name in outputs}

        return self._stage("render", config, [self.scene_key, take.view], compute, size=megapixels(shape))

    def control(self, name: str, view: str, render: Entry) -> Entry:
        """A control's video, `video` uint8 [F,H,W,3], from a camera's render."""
        params = self.control_params(name)
        config, files = self._params_key(params)
        config, inputs = {"control": name, **config}, [render.key, *files]

        def compute() -> Arrays:
            from cosmos_exp.controls import make_control

            return {"video": make_control(name, load_render(render, view), **params)}

        return self._stage("controls", config, inputs, compute, size=megapixels(self.videos.single_view.shape))

    def _params_key(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """A control's parameters as a part of a key, and identities of the files they name."""
        if not is_file(params.get("class_filter")):
            return dict(params), []
        return {**params, "class_filter": "file"}, [self.cache.file_identity(params["class_filter"])]

    def control_file(self, control: Entry) -> Entry:
        """A control's video as a file, `mp4` uint8 [bytes]."""
        return self._video_file(lambda: load_arrays(control)["video"], {}, [control.key])

    def preview_file(self, name: str, view: str, render: Entry) -> Entry:
        """A preview of a render as a file, `mp4` uint8 [bytes]."""
        params = {control: self.control_params(control) for control in ("edge", "seg")}
        keys = {control: self._params_key(values) for control, values in params.items()}
        config = {"preview": name, **{control: config for control, (config, _) in keys.items()}}

        def draw() -> np.ndarray:
            from cosmos_exp.controls.previews import preview

            return preview(name, load_render(render, view), **params)

        return self._video_file(draw, config, [render.key, *(file for _, files in keys.values() for file in files)])

    def _video_file(self, draw: Callable[[], np.ndarray], config: Mapping[str, Any], inputs: list[str]) -> Entry:
        def compute() -> Arrays:
            with TemporaryDirectory() as folder:
                path = write_video(Path(folder) / "video.mp4", draw(), self.fps)
                return {"mp4": np.frombuffer(path.read_bytes(), np.uint8)}

        size = megapixels(self.videos.single_view.shape)
        return self._stage("videos", {"fps": self.fps, **config}, inputs, compute, size=size)

    def ready_control(self, name: str, take: Take, clip: str) -> Entry:
        """The same from `controls.<name>.file`."""
        path, (frames, height, width) = camera_file(self.cfg["controls"][name]["file"], take.view, clip), take.shape
        config = {"control": name, "ready": True, "frames": frames, "size": [width, height]}

        def compute() -> Arrays:
            return {"video": read_ready_video(path, name, frames=frames, height=height, width=width)}

        inputs = [self.cache.file_identity(path)]
        return self._stage("controls", config, inputs, compute, size=megapixels(take.shape))

    def caption(self) -> dict[str, str]:
        """`clip`: name of the clip; `description`: the sentence that every style's prompt is built from."""

        def compute() -> Arrays:
            return {"clip": self.scene.clip_id, "description": describe(self.scene)}

        facts = load_json(self._stage("captions", {}, [self.scene_key], compute))
        return facts | {"description": self.cfg["captions"]["prompt"] or facts["description"]}

    def prompts(self, description: str) -> dict[str, str]:
        """{style: prompt} of the front view."""
        own = self.cfg["captions"]["view_prompts"][self.front] or description
        return {style: self._styled(own, style) for style in self.styles}

    def view_prompts(self, style: str, description: str) -> dict[str, str]:
        """{view: prompt}, each with the sentence that says which way its camera looks."""
        captions = self.cfg["captions"]
        given, others = captions["view_prompts"], description if captions["other_views"] == "same" else None
        texts = {view: given[view] or (description if view == self.front else others) for view in self.views}
        return {view: view_prompt(view, self._styled(text, style) if text else "") for view, text in texts.items()}

    def _styled(self, text: str, style: str) -> str:
        return rewrite(text, style, self.cfg["captions"]["variant"])

    def hint(self, control: Entry, video: Video, chunk: Chunk) -> Entry:
        """A control video's latents over one chunk, `latents` float32 [16,T,h,w]."""

        def compute() -> Arrays:
            return {"latents": self._encoded(chunk.of(load_arrays(control)["video"])).numpy()}

        inputs = [control.key, self.weights_identity("tokenizer")]
        size = megapixels(video.shape._replace(frames=chunk.size))
        return self._stage("hints", chunk_config(video, chunk), inputs, compute, size=size)

    def start(self, render: Entry, chunk: Chunk) -> Entry | None:
        """Latents of the video that a chunk of the front view departs from, `latents` float32 [16,T,h,w]; None: of
        noise alone. render: of the front view."""
        given, video = self.cfg["sampler"]["input"], self.videos.single_view
        if given is None:
            return None
        config, source = chunk_config(video, chunk), render.key
        if given != "rgb":
            config |= {"shape": list(video.shape)}
            source = self.cache.file_identity(given)

        def compute() -> Arrays:
            if given == "rgb":
                frames = load_arrays(render)["rgb"]
            else:
                frames = read_ready_video(Path(given), "rgb", **video.shape._asdict())
            return {"latents": self._encoded(chunk.of(frames)).numpy()}

        size = megapixels(video.shape._replace(frames=chunk.size))
        return self._stage("input", config, [source, self.weights_identity("tokenizer")], compute, size=size)

    def first_frames(self, renders: Mapping[str, Entry]) -> Entry | None:
        """Latents of what all views begin with, `latents` float32 [V,16,T,h,w]; None: of nothing. renders: {view}."""
        given, video = self.cfg["sampler"]["first_frames"], self.videos.multi_view
        if given is None:
            return None
        shape, sources = video.shape._replace(frames=video.overlap), [renders[view].key for view in self.views]
        if given != "rgb":
            files = {view: view_file(given, view, self.views) for view in self.views}
            sources = [self.cache.file_identity(path) for path in files.values()]

        def frames(view: str) -> np.ndarray:
            if given == "rgb":
                return load_arrays(renders[view])["rgb"][: shape.frames]
            return read_ready_video(files[view], "rgb", **shape._asdict())

        def compute() -> Arrays:
            return {"latents": np.stack([self._encoded(frames(view)).numpy() for view in self.views])}

        inputs, size = [*sources, self.weights_identity("tokenizer")], len(self.views) * megapixels(shape)
        return self._stage("input", {"first_frames": list(shape)}, inputs, compute, size=size)

    def text(self, prompt: str) -> Entry:
        """A prompt's embedding, `text` float32 [S,D]; looked up once a run."""

        def compute() -> Arrays:
            return {"text": self.model.encode_text(prompt).cpu().numpy()}

        if prompt not in self._texts:
            dtype = self.cfg["hardware"]["text_encoder_dtype"]
            config = {"prompt": prompt} | ({} if dtype == "float32" else {"dtype": dtype})
            self._texts[prompt] = self._stage("text", config, [self.weights_identity("text_encoder")], compute)
        return self._texts[prompt]

    def single_view(
        self,
        clip: str,
        chunk: Chunk,
        hints: Mapping[str, Entry],
        text: Entry,
        negative: Entry | None,
        start: Entry | None,
        before: Entry | None,
        tick: Tick,
        *,
        render: Entry,
        regions: Sequence[Entry] = (),
    ) -> Entry:
        """One chunk of the front view: `latents` float32 [16,T,h,w], `video` uint8 [F,H,W,3].

        hints: {control: latents}. negative: embedding of the negative prompt; None for all-zero text. start: latents
        of the video to depart from. before: the chunk that this one continues. render: of the whole front view.
        regions: embeddings of the regional prompts.
        """
        video, places, renders = self.videos.single_view, self.places, {self.front: render}

        def compute() -> Arrays:
            from cosmos_exp.generate.single_view import sample_single_view

            latents = self._sample(
                sample_single_view,
                {name: self._tensor(entry, "latents") for name, entry in hints.items()},
                places.shared_weights(hints, renders, video.shape, chunk),
                self._tensor(text, "text"),
                self._tensor(negative, "text") if negative else None,
                self.sampler,
                self._seed("single_view", clip, chunk),
                tick=tick,
                fps=self.fps,
                given=self._encoded(load_arrays(before)["video"][-video.overlap :]) if before else None,
                start=self._tensor(start, "latents") if start else None,
                regions=places.token_regions([self._tensor(t, "text") for t in regions], renders, video.shape, chunk),
            )
            return {"latents": latents.float().cpu().numpy(), "video": self.model.decode(latents)}

        inputs = [entry.key for _, entry in sorted(hints.items())] + [text.key, negative.key if negative else "zeros"]
        inputs += [self.weights_identity("tokenizer", "base", "control_*")]
        own = places.of_weights(hints, renders) + places.of_regions(keys(*regions), renders)
        config = self._sampling(clip, hints) | given_config(video, chunk) | own.config
        work = {"size": megapixels(video.shape._replace(frames=chunk.size)), "passes": self.passes}
        return self._stage("single_view", config, [*inputs, *keys(start, before), *own.inputs], compute, **work)

    def multi_view(
        self,
        clip: str,
        chunk: Chunk,
        front: Sequence[Entry],
        hints: Mapping[str, Mapping[str, Entry]],
        texts: Mapping[str, Entry],
        first: Entry | None,
        before: Entry | None,
        tick: Tick,
        *,
        renders: Mapping[str, Entry],
    ) -> Entry:
        """One chunk of all views: `latents` float32 [V,16,T,h,w] and one `video/<view>` uint8 [F,H,W,3] each.

        front: the chunks of the single view, resized where this net has another size. hints: {control: {view:
        latents}}. texts: {view: embedding}. The views beside the front begin with `first`, latents, or with the end of
        `before`, the chunk that this one continues. renders: {view: render}.
        """
        video = self.videos.multi_view

        def compute() -> Arrays:
            import torch

            from cosmos_exp.generate.multi_view import sample_multi_view

            first_frames = self._tensor(first, "latents") if first else None
            if before:
                arrays = load_arrays(before)
                given = [self._encoded(arrays[f"video/{view}"][-video.overlap :]) for view in self.views]
                first_frames = torch.stack(given)
            latents = self._sample(
                sample_multi_view,
                self._encoded(resize(chunk.of(self.front_video(front)), video.shape.height, video.shape.width)),
                {
                    name: torch.stack([self._tensor(views[view], "latents") for view in self.views])
                    for name, views in hints.items()
                },
                self.places.shared_weights(hints, renders, video.shape, chunk),
                torch.stack([self._tensor(texts[view], "text") for view in self.views]),
                self.multi_view_sampler,
                self._seed("multi_view", clip, chunk),
                tick=tick,
                fps=self.fps,
                first_frames=first_frames,
            )
            videos = {f"video/{view}": self.model.decode(part) for view, part in zip(self.views, latents)}
            return {"latents": latents.float().cpu().numpy(), **videos}

        inputs = [*(entry.key for entry in front), *(texts[view].key for view in self.views)]
        inputs += [views[view].key for _, views in sorted(hints.items()) for view in self.views]
        inputs += [self.weights_identity("tokenizer", "multiview_*")]
        own = self.places.of_weights(hints, renders)
        config = self._sampling(clip, hints) | {"sigma_max": self._multi_view_sigma_max}
        config |= given_config(video, chunk) | own.config
        shape = video.shape._replace(frames=chunk.size)
        work = {"size": len(self.views) * megapixels(shape), "passes": self.passes}
        return self._stage("multi_view", config, [*inputs, *keys(first, before), *own.inputs], compute, **work)

    def front_video(self, chunks: Sequence[Entry]) -> np.ndarray:
        """uint8 [F,H,W,3] of the single view."""
        video = self.videos.single_view
        return join([load_arrays(entry)["video"] for entry in chunks], video.overlap, video.shape.frames)

    def view_videos(self, chunks: Sequence[Entry]) -> dict[str, np.ndarray]:
        """{view: uint8 [F,H,W,3]} of the multi-view net."""
        video, made = self.videos.multi_view, [load_arrays(entry) for entry in chunks]
        return {
            view: join([arrays[f"video/{view}"] for arrays in made], video.overlap, video.shape.frames)
            for view in self.views
        }

    def metrics(self, inputs: list[str], make_clip: Callable[[], GeneratedClip]) -> Entry:
        """{metric: value} of one generated clip; `make_clip` loads it. inputs: keys of all that it holds."""
        names = list(self.cfg["metrics"]["names"])

        def compute() -> dict[str, float]:
            from cosmos_exp.metrics import evaluate

            return evaluate(make_clip(), names)

        return self._stage("metrics", {"names": names}, inputs, compute, size=self.size)

    def _sampling(self, clip: str, hints: Mapping[str, Any]) -> dict[str, Any]:
        weights = effective_weights({name: self.weights[name] for name in hints})
        own = {"fps": self.fps, "clip": clip, "weights": weights, "dtype": self.cfg["hardware"]["dtype"]}
        own |= {"reference_compat": True} if self.reference_compat else {}
        sampler = {key: value for key, value in self.cfg["sampler"].items() if key not in GIVEN_VIDEOS}
        return sampler | own | changing_speed(self.cfg["speed"])

    def _seed(self, stage: str, clip: str, chunk: Chunk) -> int:
        return item_seed(self.cfg["sampler"]["seed"], stage, f"{clip}/{chunk.index}" if chunk.index else clip)

    def _encoded(self, video: np.ndarray) -> Tensor:
        """Latents [16,T,h,w] of a video uint8 [F,H,W,3]. The tokenizer is causal: the first frames are encoded alone
        as they are within a longer video."""
        return self.model.encode_video(video).float().cpu()

    def _sample(self, sample: Callable[..., Tensor], *inputs: Any, tick: Tick, **options: Any) -> Tensor:
        """What a sampling function returns, computed here or by all processes of the run. inputs: on the CPU."""
        hardware = self.cfg["hardware"]
        processes = torchrun.processes() or hardware["processes"] or 1
        if processes == 1:
            return sample(self.model, *inputs, progress=tick, **options)

        from cosmos_exp.generate.processes import crew_of

        crew = crew_of(processes, hardware["device"])
        work = {"progress": tick, "threads": self.threads, "memory_gb": hardware["memory_gb"]}
        return crew.sample(sample, self.model, self.model_source, *inputs, **work, **options)

    def _tensor(self, entry: Entry, name: str):
        import torch

        return torch.from_numpy(load_arrays(entry)[name])


def _save(folder: Path, result: Arrays | dict) -> None:
    if any(isinstance(value, np.ndarray) for value in result.values()):
        arrays = {name: np.ascontiguousarray(value) for name, value in result.items()}
        (folder / ARRAYS).write_bytes(safetensors.numpy.save(arrays))
    else:
        (folder / VALUES).write_text(json.dumps(result))


def megapixels(shape: Shape) -> float:
    return round(shape.frames * shape.height * shape.width / 1e6, 6)


def load_arrays(entry: Entry) -> Arrays:
    return safetensors.numpy.load_file(entry.path / ARRAYS)


def load_json(entry: Entry) -> dict[str, Any]:
    return json.loads((entry.path / VALUES).read_text())


def load_render(entry: Entry, camera: str) -> CameraRender:
    arrays = load_arrays(entry)
    return CameraRender(camera=camera, times=arrays.pop("times"), **arrays)


def changing_speed(speed: Mapping[str, Any]) -> dict[str, Any]:
    """What of the `speed` group changes a result by more than rounding; of the attention kernels, the 8-bit one."""
    changing = {key: speed[key] for key in ("guidance_interval", "cache_threshold") if speed[key]}
    changing |= {key: speed[key] for key in ("attention", "linears") if speed[key] == "fp8"}
    return {"speed": changing} if changing else {}


def chunk_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which frames a chunk has, in a key; nothing where it is the whole video."""
    return {} if chunk.covers(video.shape.frames) else {"start": chunk.start, "size": chunk.size}


def given_config(video: Video, chunk: Chunk) -> dict[str, int]:
    """Which chunk is made and from how many given frames, in a key; nothing of the first."""
    return {"chunk": chunk.index, "overlap": video.overlap} if chunk.index else {}


def keys(*entries: Entry | None) -> list[str]:
    return [entry.key for entry in entries if entry]


def item_seed(seed: int, stage: str, item: str) -> int:
    """Seed (32 bits) of one item of one stage: neighbours in any of the three are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{item}".encode()).digest()[:4], "little")


def num_threads(threads: int | None) -> int:
    """The given number, or as many as this process may use: its cores, or OMP_NUM_THREADS where that is set."""
    available = len(os.sched_getaffinity(0))
    return threads or min(available, int(os.environ.get("OMP_NUM_THREADS", available)))
