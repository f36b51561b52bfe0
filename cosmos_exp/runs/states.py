"""The states of a run; `RunFolder` says what they mean."""

from __future__ import annotations

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
PREEMPTED, INTERRUPTED, CANCELLED, KILLED = "preempted", "interrupted", "cancelled", "killed"
BLOCKED = "blocked"
"""By a guard: what there was of the clip is gone."""
UNREADABLE = "unreadable"
"""What a reader says of a run whose files it cannot read."""
