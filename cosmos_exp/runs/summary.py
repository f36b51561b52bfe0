"""What a run prints at its end: where the results lie, the metrics, the time by stage."""

from __future__ import annotations

from rich.table import Table

from cosmos_exp.common.console import Console
from cosmos_exp.filtering.rule import sentences as sentences_of_choices
from cosmos_exp.metrics.captured_scene import sentences
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.runs.run_folder import RunFolder

ARROWS = {"up": "↑", "down": "↓"}


def show(folder: RunFolder) -> None:
    """Print the summary of a finished run to standard output."""
    console = Console(markup=False, emoji=False)
    console.print(metrics_table(folder))
    choices = folder.read_filter()
    for style, choice in choices.items():
        kept, count = choice.winner, len(choice.candidates)
        told = f"{style}: candidate {kept.number} of {count}, seed {kept.seed}: {choice.why}"
        console.print(told, highlight=False, soft_wrap=True)
    for sentence in [*sentences(folder.read_not_measured()), *sentences_of_choices(choices.values())]:
        console.print(sentence, highlight=False, soft_wrap=True)
    status = folder.require_status()
    times = "  ".join(f"{stage} {seconds:.1f}" for stage, seconds in status.seconds.items())
    console.print(f"seconds: {times}  total {sum(status.seconds.values()):.1f}", highlight=False)
    if status.gpu_memory:
        peaks = "  ".join(f"{stage} {peak['allocated']:.1f}" for stage, peak in status.gpu_memory.items())
        reserved = max(peak["reserved"] for peak in status.gpu_memory.values())
        console.print(f"GPU GiB: {peaks}  at most {reserved:.1f} with the allocator's reserve", highlight=False)
    for path in videos(folder):
        console.print(f"video:   {path}", highlight=False, soft_wrap=True)
    console.print(f"folder:  {folder.path}", highlight=False, soft_wrap=True)


def metrics_table(folder: RunFolder) -> Table:
    """One row per metric of the clip, one column per style; values of single views stay in metrics.json."""
    values = folder.read_metrics()
    table = Table("metric", *values)
    for key in dict.fromkeys(key for style in values.values() for key in style if "/" not in key):
        info = metric_info(key)
        label = " ".join(filter(None, (info.label, ARROWS.get(info.direction), info.unit and f"({info.unit})")))
        table.add_row(label, *(f"{style[key]:.3f}" if key in style else "-" for style in values.values()))
    return table


def videos(folder: RunFolder) -> list:
    """The grid of each style, or where only one view was made, that view."""
    found = []
    for clip in folder.clips():
        for style in folder.read_captions(clip):
            grid = folder.grid(clip, style)
            found.append(grid if grid.exists() else folder.single_view(clip, style))
    return found
