"""rich's console for tables, styles and bars, on which foreign text has no control over the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

import rich.console
from rich.segment import Segment
from rich.text import Text

from cosmos_exp.common.terminal import PlainStream, plain


class Console(rich.console.Console):
    """Control characters in what it is given are shown as `terminal.plain` does; its own codes stay."""

    @property
    def file(self) -> IO[str]:
        """Where it writes: past a stream that would escape its own codes, also while bars or a live table are shown."""
        file = super().file
        return file.rich_proxied_file if isinstance(file, PlainStream) else file

    @file.setter
    def file(self, file: IO[str]) -> None:
        rich.console.Console.file.fset(self, file)  # type: ignore[attr-defined]  # a property

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))
