"""A server as that of Cosmos-Transfer1 with CARLA's overrides behaves, written with plain Gradio: `upload_file` answers
with a JSON text, `generate_video` with a video and a text, of a failure with None and a text.

The prompt says what happens: `fail TEXT`, `raise TEXT`. The video is that of the edge control,
or the input video.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

HINTS = ("vis", "seg", "edge", "depth")


class UpstreamServer:
    """requests: those that came. uploads: names of the files that came. url: of the server."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.requests: list[dict] = []
        self.uploads: list[str] = []
        self.url = ""

    def upload(self, file: str) -> str:
        self.uploads.append(Path(file).name)
        folder = self.folder / "uploads" / f"upload_{uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return json.dumps({"path": str(shutil.copy(file, folder))})

    def generate(self, text: str) -> tuple[str | None, str]:
        import gradio as gr

        request = json.loads(text)
        self.requests.append(request)
        told = self._refusal(request)
        if told:
            return None, f"Error: {told}"
        verb, _, rest = request["prompt"].partition(" ")
        if verb == "fail":
            return None, f"Error: {rest}"
        if verb == "raise":
            raise gr.Error(rest)
        output = self.folder / "outputs" / f"generation_{uuid4().hex[:8]}" / "output.mp4"
        output.parent.mkdir(parents=True)
        shutil.copy(request.get("edge", {}).get("input_control") or request["input_video_path"], output)
        return str(output), f"Video generated successfully! Output saved to {output}. Final prompt: {request['prompt']}"

    @staticmethod
    def _refusal(request: dict) -> str:
        for key, value in request.items():
            if isinstance(value, dict) and key not in HINTS:
                return f"Invalid hint_key: {key}"
        return ""


@contextmanager
def upstream_server(folder: Path) -> Iterator[UpstreamServer]:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    server = UpstreamServer(folder)
    with gr.Blocks() as blocks:
        file, path = gr.File(visible=False), gr.Textbox(visible=False)
        file.upload(server.upload, file, path, api_name="upload_file")
        text, button = gr.Textbox(label="request"), gr.Button("generate")
        video, status = gr.Video(), gr.Textbox(label="status")
        button.click(server.generate, text, [video, status], api_name="generate_video", concurrency_limit=4)
    _, server.url, _ = blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, allowed_paths=[str(folder)]
    )
    try:
        yield server
    finally:
        blocks.close(verbose=False)
