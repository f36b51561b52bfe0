"""What a guard says, and what stops a clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cosmos_exp.common.errors import UserError


class Blocked(UserError):
    """A guard has found what it is there for. The clip ends here: nothing of it is shown or sent."""


@dataclass(frozen=True)
class Verdict:
    """guard: its name. found: why the clip is to be blocked; empty where it passes. values: what the guard measured."""

    guard: str
    found: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Plain values, for guardrails.json."""
        return {"passed": not self.found} | ({"found": self.found} if self.found else {}) | self.values
