"""The states of a run; `RunFolder` says what they mean."""

from __future__ import annotations

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
PREEMPTED, INTERRUPTED, CANCELLED, KILLED = "preempted", "interrupted", "cancelled", "killed"
UNREADABLE = "unreadable"
"""What a reader says of a run whose files it cannot read."""
