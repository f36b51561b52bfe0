"""Which job of a server a request has become. Servers name jobs by chance, so their ids are kept on disk."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from cosmos_exp.common.files import write_atomic
from cosmos_exp.models.remote.server import endpoint_hash, servers_folder

log = logging.getLogger(__name__)


class JobRecord:
    """Of one request. digest: of its content. A record that cannot be read counts as none."""

    def __init__(self, endpoint: str, digest: str):
        self.path: Path = servers_folder() / "jobs" / endpoint_hash(endpoint) / f"{digest}.json"

    def job(self) -> str | None:
        """Id of the job that was submitted for it."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        job = found.get("job") if isinstance(found, dict) else None
        return job if isinstance(job, str) and job else None

    def keep(self, job: str) -> None:
        """Logs where it cannot be kept: the run goes on without."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, json.dumps({"job": job}).encode())
        except OSError as error:
            log.warning("job %s is not on record, and not found again if this run is stopped: %s", job, error)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
