"""Packages of the extra `serve`."""

from __future__ import annotations

from importlib.util import find_spec

from cosmos_exp.common.errors import UserError

PACKAGES = ("fastapi", "gradio", "prometheus_client", "uvicorn")


def require_extra() -> None:
    """UserError that names what is not installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"the server needs {', '.join(missing)}: pip install 'cosmos-exp[serve]'")
