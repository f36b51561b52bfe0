"""What the page says, as HTML. What comes from a request or a file is escaped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape

from cosmos_exp.config.key_docs import documented_keys
from cosmos_exp.remote.wire import JobInfo, Status
from cosmos_exp.serving.requests import Limits

SHORT = 90
"""Characters of a prompt in the list of jobs."""


def header_html(limits: Limits, views: int) -> str:
    """views: that the model makes together."""
    contract = limits.contract
    clip = f"{contract.width}×{contract.height}, {contract.video_frames.describe()}, {limits.fps:g} per second"
    several = f", or all {views} views" if views else ""
    return (
        f"<h1>cosmos-exp</h1><p>Model <b>{escape(limits.model)}</b>: the front view in {escape(clip)}{several}. "
        '<a href="docs" target="_blank">API</a></p>'
    )


def help_of(key: str) -> str:
    """What a key of the config means."""
    return documented_keys()[key][0].text


def state_html(text: str, *, failed: bool = False, share: float | None = None, notes: tuple[str, ...] = ()) -> str:
    bar = "" if share is None else f'<div class="bar"><i style="width:{share:.0%}"></i></div>'
    small = "".join(f"<small>{escape(note)}</small>" for note in notes)
    return f'<div class="state{" failed" if failed else ""}">{escape(text)}{bar}{small}</div>'


def job_html(job: JobInfo, said: str, notes: tuple[str, ...]) -> str:
    """said: where it is."""
    failed = job.status in (Status.FAILED, Status.CANCELLED, Status.BLOCKED)
    return state_html(said, failed=failed, share=None if failed else job.progress, notes=notes)


def list_html(jobs: list[tuple[JobInfo, str, str]]) -> str:
    """jobs: with the prompt of each and the address of its video."""
    if not jobs:
        return '<div class="state">None yet.</div>'
    return f'<div class="jobs">{"".join(_rows(jobs))}</div>'


def _rows(jobs: list[tuple[JobInfo, str, str]]) -> Iterator[str]:
    for job, prompt, link in jobs:
        text = prompt if len(prompt) <= SHORT else f"{prompt[:SHORT]}…"
        state = f"{job.progress:.0%}" if job.status is Status.RUNNING else job.status.value
        video = f' <a href="{escape(link)}" target="_blank">video</a>' if link else ""
        age = _age(time.time() - job.created)
        shown = f"<b>{state}</b><span>{escape(text)}{video}</span><small>{age}</small>"
        yield f'<div class="{job.status.value}">{shown}</div>'


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"
