"""The page on which a person tries the server: controls from a scene or from files, a prompt, the sampler's values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.remote.request_file import INPUT_KEY, PRESETS
from cosmos_exp.remote.wire import JobInfo, Status
from cosmos_exp.sampling.config import BoundSampler
from cosmos_exp.scene.sources.procedural import ProceduralConfig
from cosmos_exp.serving.gradio_files import handed_out, token_of
from cosmos_exp.serving.page_requests import FRAMES, PageRequests, Shown
from cosmos_exp.serving.page_texts import header_html, help_of, job_html, list_html, state_html
from cosmos_exp.serving.requests import STRENGTH_KEYS, Limits
from cosmos_exp.serving.scene_inputs import RGB
from cosmos_exp.serving.submissions import Submissions

RECENT = 8
"""Jobs in the list."""
LOOK = 3.0
"""Seconds between two looks at it."""
MOST_WEIGHT = 2.0
HEIGHT = 190
"""Pixels of a control's video."""
ONE_VIEW = "front view"
START = "With sigma_max below 80 the generation starts from it. Edge and vis without a video are made from it."


def theme() -> Any:
    """Without fonts from elsewhere."""
    import gradio as gr

    fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return gr.themes.Default(primary_hue="emerald", secondary_hue="emerald", neutral_hue="slate", **fonts)


def add_page(submissions: Submissions, hidden: dict[str, Any]) -> None:
    """The page's components and events, into the Blocks that are open. hidden: arguments of every event."""
    import gradio as gr

    page = Page(gr, submissions, PageRequests(submissions), hidden)
    page.lay_out()
    page.connect()


@dataclass
class Page:
    """Its components by what they mean. gr: the Gradio package.

    knobs: {key of a request: component}. videos, weights, boxes: {control: component}.
    """

    gr: Any
    submissions: Submissions
    requests: PageRequests
    hidden: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)
    videos: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    boxes: dict[str, Any] = field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        return self.submissions.limits

    # Components

    def lay_out(self) -> None:
        gr = self.gr
        gr.HTML(header_html(self.limits, len(self.requests.views)), elem_id="head")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                self._scene()
                self._controls()
                self._prompt()
                self._sampler()
            with gr.Column(scale=5, min_width=320, elem_id="result"):
                self._result()
        self.parts |= {"job": gr.State(""), "prompts": gr.State({})}

    def _scene(self) -> None:
        gr, street = self.gr, ProceduralConfig
        with gr.Group():
            with gr.Row():
                help = f"A street from this seed. {help_of('scene.seed')}"
                self.parts["scene"] = gr.Number(street.seed, label="scene", info=help, precision=0, minimum=0)
                help = "Of the prompt; the street stays the same."
                self.parts["style"] = gr.Dropdown(list(STYLES), value="Sunny", label="style", info=help)
            self.parts["draw"] = gr.Button("Draw the controls of this scene", elem_id="draw")
        if views := self.requests.views:
            read = ", ".join(self.limits.contract.multi_view_controls) or "no control"
            help = f"All views are made of a scene that was drawn here. The other views follow {read}."
            names = [ONE_VIEW, f"all {len(views)} views"]
            self.parts["views"] = gr.Radio(names, value=ONE_VIEW, label="views", info=help, elem_id="views")
        self.parts["said"] = gr.HTML(state_html("Draw a scene, or upload your own videos."))

    def _controls(self) -> None:
        gr, own = self.gr, self.submissions.service.config.controls
        names = list(self.limits.contract.controls)
        used = [name for name in names if name in own.used] or names[:1]
        help = (
            "Drawn from the scene, or your own videos. A weight is 0 or more; above 1 in sum they are scaled down to 1."
        )
        self.parts["chosen"] = gr.CheckboxGroup(names, value=used, label="controls", info=help)
        with gr.Row(elem_id="controls"):
            for name in names:
                with gr.Group(visible=name in used) as self.boxes[name]:
                    self.videos[name] = gr.Video(label=name, sources=["upload"], height=HEIGHT, loop=True)
                    weight = own.used[name].weight if name in own.used else 0.5
                    self.weights[name] = gr.Slider(0.0, MOST_WEIGHT, weight, step=0.05, label=f"weight of {name}")
                    if name in STRENGTH_KEYS:
                        self._strength(name)

    def _strength(self, name: str) -> None:
        """Of a control that can be made from the input video."""
        key = STRENGTH_KEYS[name]
        usual = getattr(self.submissions.service.config.controls, name).strength
        help = f"{help_of(f'controls.{name}.strength')} Where {name} is made from the input video."
        self.knobs[key] = self.gr.Dropdown(list(PRESETS[key]), value=usual, label=key, info=help)

    def _prompt(self) -> None:
        gr, own = self.gr, self.submissions.service.config.captions.negative_prompt
        self.knobs["prompt"] = gr.Textbox(label="prompt", lines=3, elem_id="prompt")
        usual, help = own or self.limits.contract.negative_prompt or "", help_of("captions.negative_prompt")
        self.knobs["negative_prompt"] = gr.Textbox(label="negative prompt", info=help, placeholder=usual)

    def _sampler(self) -> None:
        gr = self.gr
        own = BoundSampler.of(self.submissions.service.config.sampler, self.limits.contract.own_sampling)
        values = {name: getattr(own, name) for name in ("guidance", "num_steps", "sigma_max", "seed")}
        with gr.Accordion("Sampler", open=False), gr.Row():
            for name, value in values.items():
                self._number(name, f"sampler.{name}", value)
            help = "Frames; 0 takes as many as the videos have."
            self.knobs[FRAMES] = gr.Number(0, label=FRAMES, info=help, precision=0, minimum=0, min_width=180)
        with gr.Accordion("Input video", open=False):
            self.knobs[INPUT_KEY] = gr.Video(label="input video", sources=["upload"], height=HEIGHT)
            gr.Markdown(START)

    def _number(self, name: str, key: str, value: float) -> None:
        digits = None if isinstance(value, float) else 0
        self.knobs[name] = self.gr.Number(value, label=name, info=help_of(key), precision=digits, min_width=180)

    def _result(self) -> None:
        gr = self.gr
        with gr.Row():
            self.parts["run"] = gr.Button("Generate", variant="primary", elem_id="generate")
            self.parts["cancel"] = gr.Button("Cancel", interactive=False)
        self.parts["state"] = gr.HTML(state_html("Nothing is generated yet."))
        self.parts["result"] = gr.Video(label="result", interactive=False, autoplay=True, loop=True)
        self.parts["download"] = gr.DownloadButton("Download the video", interactive=False)
        gr.Markdown("### Recent jobs")
        self.parts["recent"] = gr.HTML(list_html([]))

    # Events

    def connect(self) -> None:
        parts, quiet = self.parts, {"show_progress": "hidden", **self.hidden}
        boxes = list(self.boxes.values())
        parts["chosen"].change(self._show_boxes, parts["chosen"], boxes, queue=False, **quiet)
        drawn = [*self.videos.values(), self.knobs[INPUT_KEY], self.knobs["prompt"], parts["prompts"], parts["said"]]
        parts["draw"].click(self._draw, [parts["scene"], parts["style"]], drawn, concurrency_limit=1, **self.hidden)
        styled = [parts["style"], parts["prompts"], self.knobs["prompt"]]
        parts["style"].change(lambda style, texts, now: texts.get(style, now), styled, self.knobs["prompt"], **quiet)
        inputs = {parts[name] for name in ("chosen", "views") if name in parts}
        inputs |= {*self.knobs.values(), *self.videos.values(), *self.weights.values()}
        outputs = [parts[name] for name in ("job", "state", "result", "download", "cancel")]
        parts["run"].click(self._asking(self._generate), inputs, outputs, concurrency_limit=None, **quiet)
        parts["cancel"].click(self._cancel, parts["job"], None, **quiet)
        for event in (self.gr.Timer(LOOK).tick, self.gr.context.Context.root_block.load):
            event(self._asking_once(self._recent), None, parts["recent"], **quiet)

    def _show_boxes(self, chosen: list[str]) -> list[Any]:
        shown = [self.gr.update(visible=name in chosen) for name in self.boxes]
        return shown if len(shown) > 1 else shown[0]

    def _draw(self, seed: float | None, style: str) -> tuple[Any, ...]:
        """The scene's videos, its prompt in a style, its prompts, and what is said of it."""
        try:
            if seed is None or seed != int(seed):
                raise UserError(f"scene={seed}: a whole number of 0 or more")
            made = self.requests.draw(int(seed))
        except UserError as error:
            return (*(None for _ in (*self.videos, RGB)), self.gr.update(), {}, state_html(str(error), failed=True))
        shown = {name: str(video.shown) for name, video in made.videos.items()}
        given = [shown.get(name) for name in (*self.videos, RGB)]
        return (*given, made.prompts[style], made.prompts, state_html(f"The street of seed {int(seed)}."))

    async def _generate(self, given: dict[Any, Any], request: Any) -> AsyncIterator[tuple[Any, ...]]:
        """job, state, result, download, cancel, as the job goes on."""
        submissions, update = self.submissions, self.gr.update
        all_views = given.get(self.parts.get("views"), ONE_VIEW) != ONE_VIEW
        try:
            if all_views:
                yield "", state_html("drawing all views"), update(), update(), update()
            asked = await asyncio.to_thread(self.requests.asked, self._shown(given), all_views=all_views)
            job = await asyncio.to_thread(submissions.submit, asked.request, token_of(request), "page")
            async for now in submissions.follow(job.id):
                live = not now.status.finished
                yield (
                    now.id,
                    job_html(now, submissions.told(now), asked.notes),
                    update(),
                    update(),
                    update(interactive=live),
                )
                if now.status is Status.DONE:
                    video = str(handed_out(submissions.video(now.id), now.id))
                    yield update(), update(), video, update(value=video, interactive=True), update()
        except UserError as error:
            yield "", state_html(str(error), failed=True), update(), update(), update(interactive=False)

    def _shown(self, given: dict[Any, Any]) -> Shown:
        chosen = [name for name in self.videos if name in given[self.parts["chosen"]]]
        return Shown(
            values={key: given[knob] for key, knob in self.knobs.items()},
            controls={name: given[self.weights[name]] for name in chosen},
            videos={name: given[self.videos[name]] for name in chosen if given[self.videos[name]]},
        )

    def _cancel(self, job: str) -> None:
        if job:
            self.submissions.service.store.cancel(job)

    def _recent(self, request: Any) -> str:
        store = self.submissions.service.store
        jobs = store.jobs(token_id=token_of(request), limit=RECENT)
        prompts = {job.id: asked.prompt for job in jobs if (asked := store.request(job.id))}
        return list_html([(job, prompts.get(job.id, ""), self._link(job)) for job in jobs])

    def _link(self, job: JobInfo) -> str:
        """Address of a finished job's video."""
        if job.status is not Status.DONE:
            return ""
        try:
            return f"v1/jobs/{job.id}/result/{self.submissions.video(job.id).name}"
        except UserError:
            return ""

    def _asking(self, event: Callable[..., AsyncIterator[Any]]) -> Callable[..., Any]:
        """The event with the request beside the components, as Gradio gives it by the annotation."""

        async def asking(given: dict[Any, Any], request: Any) -> AsyncIterator[Any]:
            async for shown in event(given, request):
                yield shown

        asking.__annotations__["request"] = self.gr.Request
        return asking

    def _asking_once(self, event: Callable[[Any], Any]) -> Callable[..., Any]:
        def asking(request: Any) -> Any:
            return event(request)

        asking.__annotations__["request"] = self.gr.Request
        return asking
