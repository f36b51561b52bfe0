"""The Gradio interface of Cosmos-Transfer1's server, `/upload_file` and `/generate_video`, and with it the page.

Clients of both Gradio generations see these two endpoints and no other.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.remote.gradio_endpoint import BUSY
from cosmos_exp.remote.wire import JobInfo, Status
from cosmos_exp.serving.extra import require_extra
from cosmos_exp.serving.gradio_files import CACHE, OUTPUT, arrived, handed_out, token_of
from cosmos_exp.serving.page import add_page, theme
from cosmos_exp.serving.page_style import CSS
from cosmos_exp.serving.requests import Translated, from_upstream, parse_upstream
from cosmos_exp.serving.service import Service
from cosmos_exp.serving.store import QueueFull
from cosmos_exp.serving.submissions import ServerEnds, Submissions, told

FOLDER = "gradio"
"""In the state folder, for copies of what arrives and leaves."""
UPLOAD, GENERATE = "upload_file", "generate_video"
CACHE_SECONDS = (600, 24 * 3600)
"""How often Gradio looks for copies to delete, and their age. Uploads and results themselves are kept elsewhere."""


def gradio() -> Any:
    """The package; UserError where the extra is missing."""
    require_extra()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as module

    return module


def mount(app: Any, service: Service, *, path: str = "/") -> Any:
    """The interface and the page below `path` of a FastAPI app, after the app's own routes."""
    folder = (service.state / FOLDER).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ[CACHE] = str(folder)
    gr = gradio()
    blocks = build(Submissions(service))
    given = {"theme": theme(), "css": CSS, "footer_links": []} if _major(gr) >= 6 else {"show_api": False}
    return gr.mount_gradio_app(
        app, blocks, path, max_file_size=service.largest_blob, show_error=True, ssr_mode=False, **given
    )


def build(submissions: Submissions) -> Any:
    """The Blocks."""
    gr = gradio()
    style = {} if _major(gr) >= 6 else {"theme": theme(), "css": CSS}
    with gr.Blocks(title="cosmos-exp", analytics_enabled=False, delete_cache=CACHE_SECONDS, **style) as blocks:
        add_page(submissions, hidden(gr))
        _add_upload(gr, submissions)
        _add_generate(gr, submissions)
    blocks.queue(default_concurrency_limit=None, api_open=False)
    return blocks


def hidden(gr: Any) -> dict[str, Any]:
    """Arguments of an event that clients do not see."""
    return {"api_visibility": "private"} if _major(gr) >= 6 else {"api_name": False}


def _major(gr: Any) -> int:
    return int(gr.__version__.partition(".")[0])


def _add_upload(gr: Any, submissions: Submissions) -> None:
    def upload_file(path: str) -> str:
        try:
            return json.dumps({"path": submissions.upload(arrived(path))})
        except UserError as error:
            return json.dumps({"error": str(error)})

    file, answer = gr.File(visible=False), gr.Textbox(visible=False)
    file.upload(upload_file, file, answer, api_name=UPLOAD, concurrency_limit=None)


def _add_generate(gr: Any, submissions: Submissions) -> None:
    shown = gr.Progress()

    async def generate_video(text: str, request: Any, progress: Any = shown) -> tuple[str | None, str]:
        try:
            values = parse_upstream(text)
            asked = await asyncio.to_thread(from_upstream, values, submissions.service.blobs, submissions.limits)
            job = await asyncio.to_thread(submissions.submit, asked.request, token_of(request), "gradio")
            async for job in submissions.follow(job.id):  # noqa: B020  # the job as it goes on
                progress(job.progress, desc=told(job))
            return await asyncio.to_thread(_answer, submissions, job, asked)
        except (QueueFull, ServerEnds) as error:
            said = str(error) if BUSY in str(error) else f"{error}: {BUSY}"
            raise gr.Error(said, print_exception=False) from None  # which clients repeat, and nothing else
        except UserError as error:
            return None, f"Error: {error}"

    generate_video.__annotations__["request"] = gr.Request  # by which Gradio knows what to give
    text, button = gr.Textbox(visible=False), gr.Button(visible=False)
    video, answer = gr.Video(visible=False), gr.Textbox(visible=False)
    button.click(generate_video, text, [video, answer], api_name=GENERATE, concurrency_limit=None)


def _answer(submissions: Submissions, job: JobInfo, asked: Translated) -> tuple[str | None, str]:
    """The video and a text; of a job without a video None and the reason."""
    if job.status is Status.CANCELLED:
        return None, f"Error: job {job.id} was cancelled"
    if job.status in (Status.FAILED, Status.BLOCKED):
        return None, f"Error: {job.error}"
    video = handed_out(submissions.video(job.id), job.id)
    said = ["Video generated successfully!", f"Job {job.id}.", f"Output saved to {OUTPUT}."]
    said += [f"Note: {note}." for note in asked.notes]
    return str(video), " ".join([*said, f"Final prompt: {asked.request.prompt}"])
