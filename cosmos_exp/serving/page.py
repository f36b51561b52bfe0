"""The page on which a person tries the server."""

from __future__ import annotations

from typing import Any

from cosmos_exp.serving.submissions import Submissions

CSS = ""


def theme() -> Any:
    import gradio as gr

    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def add_page(submissions: Submissions, hidden: dict[str, Any]) -> None:
    """The page's components and events, into the Blocks that are open. hidden: arguments of every event."""
    import gradio as gr

    gr.Markdown("# cosmos-exp")
