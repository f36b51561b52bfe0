"""The description of the API as a page: its OpenAPI description as HTML, without a script or a file from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def api_page(description: Mapping[str, Any], url: str) -> str:
    """description: OpenAPI 3.1. url: where it is as JSON."""
    info = description["info"]
    title = escape(f"{info['title']} {info['version']}")
    about = "".join(f"<p>{_text(text)}</p>" for text in info["description"].split("\n\n"))
    routes = "".join(_routes(description["paths"]))
    types = "".join(_type(name, schema) for name, schema in sorted(description["components"]["schemas"].items()))
    return PAGE.format(title=title, about=about, url=escape(url), routes=routes, types=types)


def _routes(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield f"<section><h3><b>{method.upper()}</b> <code>{escape(path)}</code></h3>"
            yield f"<p>{_text(operation.get('description', ''))}</p><dl>"
            for parameter in operation.get("parameters", ()):
                about = parameter["schema"].get("description") or parameter.get("description", "")
                yield _row(parameter["name"], f"{parameter['in']}, {_kind(parameter['schema'])}", about)
            if body := operation.get("requestBody"):
                yield _row("body", _content(body), "")
            for code, answer in sorted(operation["responses"].items()):
                yield _row(code, _content(answer), answer.get("description", ""))
            yield "</dl></section>"


def _type(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = "".join(
        _row(key, _kind(value) + (", required" if key in needed else ""), value.get("description", ""))
        for key, value in schema.get("properties", {}).items()
    )
    rows += "".join(_row(str(value), "", "") for value in schema.get("enum", ()))
    about = _text(schema.get("description", ""))
    return f'<section id="{escape(name)}"><h3><code>{escape(name)}</code></h3><p>{about}</p><dl>{rows}</dl></section>'


def _row(name: str, kind: str, about: str) -> str:
    """kind: HTML."""
    return f"<dt><code>{escape(name)}</code></dt><dd>{kind}{': ' if kind and about else ''}{_text(about)}</dd>"


def _text(text: str) -> str:
    """HTML of a docstring."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _content(part: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{escape(kind)} {_kind(found['schema'])}" if found.get("schema") else escape(kind)
        for kind, found in part.get("content", {}).items()
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a few words, one that has a name as a link to it. HTML."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    for word in ("anyOf", "allOf", "oneOf"):
        if word in schema:
            return " or ".join(_kind(one) for one in schema[word])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {_kind(values)}"
    if "enum" in schema:
        return " or ".join(escape(str(value)) for value in schema["enum"])
    limits = [f"{sign} {schema[key]}" for key, sign in LIMITS.items() if key in schema]
    return " ".join([escape(str(schema.get("type", "any"))), *(escape(limit) for limit in limits)])


LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "pattern": "like"}

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }}
section {{ border: 1px solid #8886; border-radius: .5rem; padding: .5rem 1rem; margin: .75rem 0; }}
h3 {{ margin: .25rem 0; font-size: 1rem; }}
h3 b {{ color: #059669; }}
p {{ margin: .25rem 0; }}
dl {{ display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .1rem 1rem; margin: .5rem 0; }}
dd {{ margin: 0; }}
@media (max-width: 600px) {{ dl {{ grid-template-columns: 1fr; }} dd {{ margin: 0 0 .25rem 1rem; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
{about}
<p>As JSON: <a href="{url}">{url}</a></p>
<h2>Routes</h2>
{routes}
<h2>Types</h2>
{types}
</body>
</html>
"""
