"""A hook of MkDocs: a link from a page to a file of the repository outside docs/ leads to that file in the repository.

On the repository's own pages such links work as they stand. A link to a file that does not exist is a warning, with
which a strict build fails.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.links")

LINK = re.compile(r"\]\((\.\./[^)\s#]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    root = Path(config.config_file_path).parent
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def leads(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        if target.startswith("docs/"):
            return match[0]
        if not (root / target).exists():
            log.warning("%s: no file %s in the repository", page.file.src_uri, target)
        return f"]({config.repo_url.rstrip('/')}/blob/main/{target}{match[2] or ''})"

    return LINK.sub(leads, markdown)
